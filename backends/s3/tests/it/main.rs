//! S3 against a real server.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod bucket;
mod conformance;
mod line;
mod live;
mod strict;
mod uploads;
