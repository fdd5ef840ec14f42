//! What the engine promises, seen from outside.

mod crash;
mod damage;
mod support;
