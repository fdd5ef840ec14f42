#![no_main]

libfuzzer_sys::fuzz_target!(
    init: if let Some(directory) = std::env::var_os("BACKUP_FUZZ_SEEDS") {
        backup_engine_fuzz::write_seeds("records", directory.as_ref());
    },
    |data: &[u8]| backup_engine_fuzz::run("records", data)
);
