//! Where lines go that the sink has read.

use std::collections::BTreeMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use nodesockd_core::action::Destination;
use nodesockd_core::config;
use nodesockd_core::event::Failure;
use nodesockd_core::id::{SlotIndex, WorkerId};
use nodesockd_core::log_line::{Label, Labelled};

use super::wire::Pipe;
use super::writer::{Room, Writer};
use crate::clock;
use crate::log::Log;

/// Where lines go.
#[derive(Debug, Default)]
pub(super) struct Outlets {
    stderr: Option<(OwnedFd, Log)>,
    log: Option<(config::Log, Writer)>,
    /// Which slot each worker serves, or served last.
    pub slots: BTreeMap<WorkerId, SlotIndex>,
}

/// Lines that could not be written before this program became another one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lost {
    pub stderr: u64,
    pub log: u64,
}

impl Outlets {
    /// Passes on text: lines, the last of which may have no end yet. `continued`: the first one's beginning was passed on before.
    pub fn pass_on(&self, pipe: &Pipe, text: &[u8], continued: bool) {
        match (pipe.to, &self.log) {
            (Destination::Log, Some((log, writer))) => self.log(pipe, text, continued, log, writer),
            // Nobody has said where the log is: rather there than nowhere.
            (Destination::Stderr | Destination::Log, _) => {
                self.stderr.iter().for_each(|(_, log)| log.pass_on(text));
            }
            (Destination::Nowhere, _) => {}
        }
    }

    fn log(&self, pipe: &Pipe, text: &[u8], continued: bool, log: &config::Log, writer: &Writer) {
        let time = clock::wall_ms(clock::now());
        let slot = self.slots.get(&pipe.worker).copied();
        let mut labelled =
            Labelled::new(log.format, &Label { time, slot, worker: pipe.worker, stream: pipe.stream });
        let (mut lines, mut count) = (Vec::with_capacity(2 * text.len()), 0);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let whole = line.strip_suffix(b"\n").unwrap_or(line);
            labelled.push(&mut lines, whole, continued && count == 0);
            count += 1;
        }
        writer.push(lines, count);
    }

    /// What is for standard error goes there. `lost`: lines that are missing before that.
    pub fn stderr_to(&mut self, fd: OwnedFd, lost: u64) {
        if let Ok(log) = Log::to(&fd, missed) {
            if lost > 0 {
                log.missed(lost);
            }
            if let Some((_, before)) = self.stderr.replace((fd, log)) {
                before.end();
            }
        }
    }

    /// What is for the log goes there. `lost`: lines that are missing before that. Returns whether there was no log before.
    pub fn log_to(&mut self, log: config::Log, lost: u64) -> bool {
        match &mut self.log {
            Some((before, _)) if *before == log => false,
            Some((before, writer)) => {
                *before = log.clone();
                writer.direct(log);
                false
            }
            none @ None => {
                *none = Writer::start(log.clone(), lost).ok().map(|writer| (log, writer));
                none.is_some()
            }
        }
    }

    pub fn stderr(&self) -> Option<&OwnedFd> {
        self.stderr.as_ref().map(|(fd, _)| fd)
    }

    pub fn log_settings(&self) -> Option<&config::Log> {
        self.log.as_ref().map(|(log, _)| log)
    }

    /// Readable when there is room in the log that was waited for, or news about it.
    pub fn wakes(&self) -> Option<BorrowedFd<'_>> {
        self.log.as_ref().map(|(_, writer)| writer.wakes())
    }

    /// Whether there is room for more in the log.
    pub fn room(&self) -> Room {
        self.log.as_ref().map_or(Room::Enough, |(_, writer)| writer.room())
    }

    /// Why the log is not written as it is to be, or that it is, if that has changed.
    pub fn news(&self) -> Option<Result<(), Failure>> {
        self.log.as_ref().and_then(|(_, writer)| writer.news())
    }

    /// Why the log is not written as it is to be, if it is not.
    pub fn trouble(&self) -> Option<Failure> {
        self.log.as_ref().and_then(|(_, writer)| writer.trouble())
    }

    /// Waits for a moment until all is written. Returns whether the log is, and what is lost if this process ends.
    pub fn flush(&self, patience: Duration) -> (bool, Lost) {
        let (written, log) = self.log.as_ref().map_or((true, 0), |(_, writer)| writer.flush(patience));
        let stderr = self.stderr.as_ref().map_or(0, |(_, log)| log.flush(patience));
        (written, Lost { stderr, log })
    }
}

fn missed(lines: u64) -> String {
    format!("nodesockd: {lines} lines that workers wrote are missing here, because nobody read them in time")
}
