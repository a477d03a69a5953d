//! What a person asked for and is in progress: one thing at a time.
//!
//! | room | does |
//! | --- | --- |
//! | `kind`, `requester` | which operations there are, and who waits for one |
//! | `plan` | what is to be rolled out |
//! | `failure` | which worker has failed, and how, in words |
//! | `batches` | how far a rollout is that is done in batches, and whom the next batch replaces |
//! | `rollout` | the set of new workers, and the links that are swapped to them |
//! | `deployment`, `watch` | what a deploy is about, and the watch over its new workers while the old ones are kept |
//! | `command` | the command of a deploy that runs |
//! | `confirmations` | whose word a `resume` waits for |
//! | `current` | the operation in progress, and what waits for its end |
//! | `retirement` | what is left of an operation whose new workers serve |
//! | `running` | sends signals to the command of a deploy |
//! | `news` | tells those who follow a deploy how it goes on |
//! | `release_link` | switches the symlink of a deploy back |
//! | `answer` | says how a deploy has ended that has failed after its workers had taken over |
//! | `in_force` | puts a configuration and a generation in force |
//! | `go_back` | the way back of an operation of which earlier batches have taken over |
//! | `replace` | replaces or adds workers as a set |
//! | `locate` | finds the release that a new generation runs |
//! | `former` | refuses to go back where there is nothing to go back to |
//! | `expiry` | ends a suspension that nobody has ended in time |
//! | `resume` | ends a suspension, and waits until workers have confirmed that |
//! | `upgrade` | replaces the daemon under running workers |
//! | `begin` | starts operations, those that have waited included, and ends them before they are done |
//! | `batch` | goes from one batch to the next |
//! | `migrate` | runs the migration of a deploy, and goes back to the old release if that fails |
//! | `deploy` | switches the release, and goes back if the new workers fail |
//! | `advance` | takes the operation in progress from phase to phase |

pub(super) mod advance;
mod answer;
pub(super) mod batch;
mod batches;
pub(super) mod begin;
pub(super) mod command;
mod confirmations;
mod current;
pub(super) mod deploy;
mod deployment;
pub(super) mod expiry;
mod failure;
mod former;
mod go_back;
mod in_force;
mod kind;
pub(super) mod locate;
pub(super) mod migrate;
mod news;
mod plan;
pub(super) mod quit;
pub(super) mod release_link;
pub(super) mod replace;
mod requester;
pub(super) mod resume;
pub(super) mod retirement;
pub(super) mod rollout;
mod running;
pub(super) mod upgrade;
mod watch;

use current::Queued;
pub(super) use current::{DECIDE, Operation, Operations, Phase, Progress, Step};
pub(super) use kind::Kind;
use requester::reply_to_all;
pub(super) use requester::{Requester, done};
