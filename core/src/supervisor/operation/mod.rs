//! What a person asked for and is in progress: one thing at a time.
//!
//! | room | does |
//! | --- | --- |
//! | `rollout` | the set of new workers, and the links that are swapped to them |
//! | `current` | the operation in progress, and what waits for its end |
//! | `replace` | replaces or adds workers as a set |
//! | `upgrade` | replaces the daemon under running workers |
//! | `begin` | starts operations, those that have waited included, and ends them before they are done |
//! | `advance` | takes the operation in progress from phase to phase |

pub(super) mod advance;
pub(super) mod begin;
mod current;
pub(super) mod replace;
pub(super) mod rollout;
pub(super) mod upgrade;

pub(super) use current::{Kind, Operation, Operations, Phase, Progress, Requester, Step, done};
use current::{Queued, reply_to_all};
