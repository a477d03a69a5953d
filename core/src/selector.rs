//! Selectors: which workers a message or request is for (docs/06-cli.md).
//!
//! Parts are separated by commas. `2` is a slot; `1-3`, `-3` and `1-` are ranges of slots; `$4711` is a pid; a UUID is a
//! worker; `self` is the sender. `!` before a part takes its workers out again. Chosen are the workers of any plain
//! part — all workers in slots, if there is none — without those of any `!` part.

use crate::id::{SlotIndex, WorkerId};
use crate::text::escape;

/// A parsed selector.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    include: Vec<Part>,
    exclude: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Slots { first: u32, last: u32 },
    Pid(u32),
    Worker(WorkerId),
    Sender,
}

/// What a selector looks at.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// The worker.
    pub id: WorkerId,
    /// The slot whose link names it.
    pub slot: Option<SlotIndex>,
    /// Its process id.
    pub pid: u32,
}

impl Selector {
    /// Parses `text`.
    ///
    /// # Errors
    ///
    /// Names the part that is malformed. One bad part spoils the whole: a message must not reach the wrong workers.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut selector = Self::default();
        for part in text.split(',') {
            let (list, body) = match part.trim().strip_prefix('!') {
                Some(body) => (&mut selector.exclude, body),
                None => (&mut selector.include, part.trim()),
            };
            list.push(Part::parse(body).ok_or_else(|| {
                format!(
                    "`{}` is not a worker selector; write a slot (`2`), a range (`1-3`, `-3`, `1-`), a pid (`$4711`), a \
                     worker's UUID or `self`, and `!` before it to leave it out",
                    escape(part, 60)
                )
            })?);
        }
        Ok(selector)
    }

    /// Whether it is about pids or the sender.
    #[must_use]
    pub fn needs_process(&self) -> bool {
        let mut parts = self.include.iter().chain(&self.exclude);
        parts.any(|part| matches!(part, Part::Pid(_) | Part::Sender))
    }

    /// Whether a line of the log is chosen: of a worker, known by the end of its id, that served this slot.
    #[must_use]
    pub fn chooses_line(&self, slot: Option<u32>, worker: &str) -> bool {
        let names = |part: &Part| match part {
            Part::Slots { first, last } => slot.is_some_and(|slot| (*first..=*last).contains(&slot)),
            Part::Worker(id) => id.to_string().ends_with(worker),
            Part::Pid(_) | Part::Sender => false,
        };
        (self.include.is_empty() || self.include.iter().any(names)) && !self.exclude.iter().any(names)
    }

    /// Whether `candidate` is chosen when `sender` sends.
    #[must_use]
    pub fn chooses(&self, candidate: Candidate, sender: Option<WorkerId>) -> bool {
        let any = |parts: &[Part]| parts.iter().any(|part| part.names(candidate, sender));
        let included = if self.include.is_empty() { candidate.slot.is_some() } else { any(&self.include) };
        included && !any(&self.exclude)
    }
}

impl Part {
    fn parse(text: &str) -> Option<Self> {
        if text == "self" {
            return Some(Self::Sender);
        }
        if let Some(pid) = text.strip_prefix('$') {
            return number(pid).map(Self::Pid);
        }
        if let Some(worker) = WorkerId::parse(text) {
            return Some(Self::Worker(worker));
        }
        let (first, last) = match text.split_once('-') {
            None => {
                let slot = number(text)?;
                (slot, slot)
            }
            Some(("", "")) => return None,
            Some(("", last)) => (0, number(last)?),
            Some((first, "")) => (number(first)?, u32::MAX),
            Some((first, last)) => (number(first)?, number(last)?),
        };
        (first <= last).then_some(Self::Slots { first, last })
    }

    fn names(&self, candidate: Candidate, sender: Option<WorkerId>) -> bool {
        match self {
            Self::Slots { first, last } => {
                candidate.slot.is_some_and(|slot| (*first..=*last).contains(&slot.0))
            }
            Self::Pid(pid) => *pid == candidate.pid,
            Self::Worker(worker) => *worker == candidate.id,
            Self::Sender => sender == Some(candidate.id),
        }
    }
}

/// A decimal number without sign.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{BootId, Ids};

    fn chosen(text: &str) -> Vec<u32> {
        let mut ids = Ids::new(BootId(1));
        let sender = ids.worker();
        let selector = Selector::parse(text).unwrap();
        (0..5)
            .map(|n| Candidate {
                id: if n == 2 { sender } else { ids.worker() },
                slot: (n < 4).then_some(SlotIndex(n)),
                pid: 100 + n,
            })
            .filter(|candidate| selector.chooses(*candidate, Some(sender)))
            .map(|candidate| candidate.pid - 100)
            .collect()
    }

    #[test]
    fn parts_choose_and_exclude() {
        assert_eq!(chosen("2"), [2]);
        assert_eq!(chosen("1-2"), [1, 2]);
        assert_eq!(chosen("-1, 3"), [0, 1, 3]);
        assert_eq!(chosen("2-"), [2, 3]);
        assert_eq!(chosen("$104"), [4]);
        assert_eq!(chosen("self"), [2]);
        assert_eq!(chosen(&Ids::new(BootId(1)).worker().to_string()), [2]);
        assert_eq!(chosen("!self"), [0, 1, 3]);
        assert_eq!(chosen("1-3,!2"), [1, 3]);
    }

    #[test]
    fn lines_are_chosen_by_slot_and_worker() {
        let id = Ids::new(BootId(1)).worker();
        let chosen = |text: &str, slot| Selector::parse(text).unwrap().chooses_line(slot, &id.short());
        assert!(chosen("1-2", Some(2)) && !chosen("1-2", Some(3)) && !chosen("1-2", None));
        assert!(chosen(&id.to_string(), None) && !chosen(&format!("!{id}"), Some(1)));
        assert!(chosen("!2", None) && !chosen("!2", Some(2)));
        let needs_process = |text: &str| Selector::parse(text).unwrap().needs_process();
        assert!(needs_process("1,!$3") && needs_process("self"));
        assert!(!needs_process("1-2") && !needs_process(&id.to_string()));
    }

    #[test]
    fn one_malformed_part_refuses_the_whole() {
        for text in ["", "x", "1,", "-", "3-1", "+1", "$", "$x", "!", "!!1", "1--2", "99999999999"] {
            assert!(Selector::parse(text).is_err(), "{text:?}");
        }
    }
}
