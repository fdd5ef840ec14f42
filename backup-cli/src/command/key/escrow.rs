//! Key pairs whose private half is kept elsewhere.

use std::path::Path;

use backup_engine::crypto::escrow::{EscrowPrivateKey, EscrowPublicKey};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::context::Context;
use crate::error::CliError;
use crate::exit_code::Exit;
use crate::unlock;

#[derive(Serialize)]
struct Generated {
    public_key: String,
    private_key_file: String,
}

/// Makes a pair: the private key goes to a file, the public one to standard output.
pub(super) fn generate(context: &Context, out: &Path) -> Result<Exit, CliError> {
    let private = EscrowPrivateKey::generate();
    let public_key = private.public_key().to_string();
    let text = Zeroizing::new(format!(
        "# The private key of a pair. Whoever has it can read every backup to which its public key was added:\n\
         # {public_key}\n\
         # To open such a backup: backup -r REPOSITORY --escrow-key-file THIS_FILE snapshots\n\
         {}\n",
        *private.to_code()
    ));
    unlock::create_private(out, text.as_bytes()).map_err(|error| {
        CliError::from_error(format!("cannot write the private key `{}`", out.display()), &error)
            .hint("name a file that isn't there yet: `--out FILE`")
    })?;
    let output = &context.output;
    let private_key_file = out.display().to_string();
    output.say(format!("private key: {private_key_file}"));
    output.say("   keep it away from the computers whose backups it opens; the public key is:");
    if output.is_json() {
        output.json("summary", &Generated { public_key, private_key_file })?;
    } else {
        output.line(&public_key)?;
    }
    Ok(Exit::Done)
}

/// The public key in an argument.
pub(super) fn recipient(text: &str) -> Result<EscrowPublicKey, CliError> {
    text.parse().map_err(|error| {
        CliError::usage("the public key can't be used")
            .caused_by(&error)
            .hint("`backup key generate-escrow --out FILE` makes a pair and prints its public key")
    })
}
