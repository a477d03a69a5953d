//! The commands that set an app up, and look at what is set up. They need no daemon:
//! `init`, `check`, `doctor`, `nginx`, `proxy`, `service`, `completions` and `man`.

pub(crate) mod args;
pub mod check;
pub mod doctor;
mod external;
pub(crate) mod init;
pub(crate) mod manual;
pub mod nginx;
mod plain;
pub mod proxy;
pub mod report;
pub mod service;
