//! placeholder
pub struct FilesConfig;
