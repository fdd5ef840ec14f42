//! Which key slot a password opens.

use backup_core::ByteRange;
use backup_engine::format::slot::{KeySlot, SlotType};
use backup_engine::layout;
use backup_engine::repository::{KeySlotInfo, Repository};

use crate::error::CliError;

/// The slot that a password opens. Costs the derivation for each password slot that is tried.
pub(super) async fn opened_by(repository: &Repository, password: &[u8]) -> Result<KeySlotInfo, CliError> {
    let failed =
        |error: &(dyn std::error::Error + 'static)| CliError::from_error("cannot find the key to replace", error);
    let keys = repository.list_keys().await.map_err(|error| failed(&error))?;
    for key in keys.into_iter().filter(|key| key.slot_type == SlotType::Password) {
        let object = repository.store().backend().get(&layout::key_object(&key.id), ByteRange::Full).await;
        let object = object.map_err(|error| failed(&error))?;
        let slot = KeySlot::decode(&object).map_err(|error| failed(&error))?;
        if slot.unlock(password).map_err(|error| failed(&error))?.is_some() {
            return Ok(key);
        }
    }
    Err(CliError::new(crate::exit_code::Exit::Failed, "the key that the repository was opened with is gone")
        .hint("somebody else changed the keys meanwhile; look at `backup key list`"))
}
