//! Google Drive's emulator.

mod google_client;
mod oauth;
mod rclone;
mod rest;
