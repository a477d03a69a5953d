//! Conversations: with workers, clients and the service manager.

pub(crate) mod accept;
pub(crate) mod asker;
pub(crate) mod channel;
pub(crate) mod conversation;
pub(crate) mod ipc;
pub(crate) mod manager;
pub(crate) mod notify;
pub mod outbox;
pub(crate) mod policy;
pub(crate) mod probe_http;
pub mod session;
