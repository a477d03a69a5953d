//! What `check`, `doctor` and `init` ask about this machine: users, rights, and what the kernel offers. The control socket needs
//! the groups.

pub mod accounts;
pub(crate) mod probe;
pub mod rights;
pub(crate) mod usage;
