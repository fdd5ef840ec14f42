//! Emulators of online storage for tests, on the loopback interface, with TLS.
//!
//! An emulator keeps everything in memory, has a clock that only tests move, writes down what it was asked and misbehaves when told to. It
//! refuses what the real service would refuse: a test that passes because the emulator overlooks something proves nothing. `docs/emulators.md`
//! tells what is emulated, which programs of other people vouch for it, and what is not.

mod background;
mod certificate;
mod clock;
mod connect_proxy;
pub mod drive;
pub mod dropbox;
mod fault;
mod gate;
mod message;
mod server;
mod trace;

pub use clock::Clock;
pub use connect_proxy::ConnectProxy;
pub use drive::GoogleDrive;
pub use fault::{Effect, Faults, Rule, RuleId};
pub use gate::Gate;
pub use message::{Reply, Request};
pub use trace::{Exchange, Trace};
