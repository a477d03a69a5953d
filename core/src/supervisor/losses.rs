//! Links and sockets that somebody else has removed, or made: which slots and workers that concerns.
//!
//! A link is made again by the pass that fills slots. A worker whose socket file is gone cannot be connected to, and has to be
//! replaced. A socket of the daemon's own is deserted: workers that are started from now on inherit another one. A worker that
//! boots and does not report may be about to listen when its socket comes.

use std::collections::BTreeSet;

use crate::config::Named;
use crate::id::{SlotIndex, WorkerId};
use crate::survey::{Sight, Survey};

use super::lifecycle;
use super::operation::Operations;
use super::pool::{Pool, boot};
use super::slot::Slot;

/// Takes in what was found at names of links and sockets.
pub(super) fn surveyed(pool: &mut Pool, operations: &mut Operations, survey: &Survey) {
    let names: BTreeSet<String> =
        if survey.complete { expected(pool) } else { survey.entries.keys().cloned().collect() };
    for name in names {
        let Some(sight) = survey.sight(&name) else { continue };
        if let Some(index) = slot_of(pool, &name) {
            let lost = pool.slots.get(index).and_then(|slot| is_lost_now(slot, sight));
            lost.into_iter().for_each(|lost| note_link(pool, index, &name, sight, lost));
        } else if *sight == Sight::Socket {
            socket_seen(pool, &name);
        } else {
            socket_lost(pool, operations, &name);
        }
    }
}

/// All names that ought to be there.
fn expected(pool: &Pool) -> BTreeSet<String> {
    let links = pool.slots.iter().filter_map(|(_, slot)| slot.link());
    let sockets = pool.workers.iter().filter_map(|(_, worker)| worker.socket().map(AsRef::as_ref));
    let listeners = pool.listeners.iter().map(|(name, _)| name);
    links.chain(sockets).chain(listeners).map(str::to_owned).collect()
}

/// The slot whose link has this name.
fn slot_of(pool: &Pool, name: &str) -> Option<SlotIndex> {
    let mut patterns = pool.former_patterns.iter().chain([&pool.config.socket_file]);
    patterns.find_map(|pattern| match pattern.matches(name) {
        Some(Named::Link(index)) => {
            let slot = pool.slots.get(index)?;
            (slot.link() == Some(name)).then_some(index)
        }
        Some(Named::TemporaryLink | Named::Socket(_)) | None => None,
    })
}

/// Whether the slot's link is lost, by what was seen in its place; `None`: as far as one knew already. What was seen of a link that
/// is being changed may be from before that.
fn is_lost_now(slot: &Slot, sight: &Sight) -> Option<bool> {
    let meant = slot.linked_to().map(AsRef::as_ref);
    let lost = !matches!(sight, Sight::Link(target) if Some(target.as_str()) == meant);
    let is_news = !slot.is_changing() && lost != slot.is_lost();
    (is_news && !defect!(LostLinkIgnored)).then_some(lost)
}

fn note_link(pool: &mut Pool, index: SlotIndex, name: &str, sight: &Sight, lost: bool) {
    if lost && pool.is_linked(index) {
        let path = pool.config.socket_dir.join(name);
        let (path, slot) = (path.display(), index.0);
        match sight {
            Sight::Nothing => tracing::warn!(
                slot,
                "the link `{path}` is gone, perhaps by a cleaner of temporary files; it is made again"
            ),
            Sight::Link(_) | Sight::Socket | Sight::Other => {
                tracing::warn!(
                    slot,
                    "somebody has put something else in the place of the link `{path}`; it is made again"
                );
            }
        }
    }
    pool.slots.change(index, |slot| slot.set_lost(lost));
}

/// There is a socket of this name. Whoever boots for it may have bound it just now.
fn socket_seen(pool: &mut Pool, name: &str) {
    let concerned: Vec<WorkerId> = pool.workers.accepting_from(name).map(|(id, _)| id).collect();
    concerned.into_iter().for_each(|id| boot::socket_bound(pool, id));
}

fn socket_lost(pool: &mut Pool, operations: &mut Operations, name: &str) {
    let listener = pool.listeners.get(name).filter(|listener| !listener.is_closing());
    if let Some(listener) = listener.filter(|listener| !listener.is_deserted()) {
        let (slot, path) = (listener.slot(), pool.config.socket_dir.join(name));
        tracing::warn!(
            slot = slot.0,
            "the listening socket `{}` is gone, perhaps by a cleaner of temporary files; the slot gets another one",
            path.display()
        );
        pool.listeners.desert(name);
        pool.slots.touch([slot]);
        pool.slots.touch_naming(name);
        pool.settled.touch_standbys();
    }
    let path = pool.config.socket_dir.join(name).display().to_string();
    let concerned: Vec<WorkerId> = pool.workers.accepting_from(name).map(|(id, _)| id).collect();
    for id in concerned {
        if !defect!(LostSocketIgnored) {
            lifecycle::socket_lost(pool, operations, id, &path);
        }
    }
}
