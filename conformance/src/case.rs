//! The cases, one module a group.

pub(crate) mod body;
pub(crate) mod claim;
pub(crate) mod cold;
pub(crate) mod delete;
pub(crate) mod drop;
pub(crate) mod error;
pub(crate) mod extension;
pub(crate) mod fault;
pub(crate) mod history;
pub(crate) mod list;
pub(crate) mod lock;
pub(crate) mod many;
pub(crate) mod naming;
pub(crate) mod read;
pub(crate) mod write;
