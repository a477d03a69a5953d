//! The process that takes workers' output: it dies, hangs, and is slow to answer, and none of that may hold up an answer.

use std::collections::BTreeMap;

use nodesockd_core::config::{Config, Log};
use nodesockd_core::event::{Event, Failure};
use nodesockd_core::id::{SlotIndex, WorkerId};
use nodesockd_core::wire::{Body, Reply, Status, WorkerState};

use super::agenda::Lane;
use super::{World, ms, version};
use crate::faults::{Call, Trouble};

/// The sink that there is, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    state: State,
    /// It was not always well.
    troubled: bool,
    /// The version of its program: as that of a daemon.
    program: u32,
    /// Where it writes what is for the log.
    log: Option<Log>,
    /// Which slot each worker serves, as far as it was told.
    slots: BTreeMap<WorkerId, SlotIndex>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Missing,
    Works,
    Hangs,
}

impl World {
    /// Daemons of this history have one.
    pub(crate) fn has_sink(&self) -> bool {
        self.scenario.settings.sink
    }

    pub fn start_sink(&mut self, log: Option<&Log>) -> Result<(), Failure> {
        let called = self.call(Call::StartSink);
        self.sink.troubled |= called.is_err();
        self.log_file(format_args!("start the sink"), &called);
        called?;
        if self.sink.state == State::Missing {
            (self.sink.state, self.sink.program) = (State::Works, self.upgrades.version);
        }
        self.sink.log = log.cloned().or(self.sink.log.take());
        self.sink_is_ready();
        Ok(())
    }

    fn sink_is_ready(&mut self) {
        self.sink_says(Event::SinkReady { version: version(self.sink.program) });
    }

    /// There is one to be told something.
    fn sink_hears(&self) -> bool {
        self.sink.state == State::Works
    }

    pub fn direct_log(&mut self, log: &Log) {
        self.trace.line(self.agenda.now(), "daemon", format_args!("have the log kept {} times", log.keep));
        if self.sink_hears() {
            self.sink.log = Some(log.clone());
            self.marks.count("the log is directed elsewhere");
        }
    }

    pub fn label_output(&mut self, worker: WorkerId, slot: SlotIndex) {
        self.trace.line(
            self.agenda.now(),
            "daemon",
            format_args!("label the lines of {} with {slot}", worker.short()),
        );
        if self.sink_hears() {
            self.sink.slots.insert(worker, slot);
        }
    }

    pub fn upgrade_sink(&mut self) {
        self.trace.line(self.agenda.now(), "daemon", "have the sink become this program");
        if self.sink_hears() {
            self.sink.program = self.upgrades.version;
            self.marks.count("the sink is upgraded");
            self.sink_is_ready();
        }
    }

    pub fn ask_last_lines(&mut self, worker: WorkerId) {
        self.trace.line(self.agenda.now(), "daemon", format_args!("ask the sink about {}", worker.short()));
        let known = self.processes.named(worker);
        let lines = known.map(|worker| format!("the last words of {worker}")).into_iter().collect();
        self.sink_says(Event::LastLines { worker, lines });
    }

    pub fn kill_sink(&mut self) {
        self.trace.line(self.agenda.now(), "daemon", "kill the sink");
        self.end_sink();
    }

    fn sink_says(&mut self, event: Event) {
        if self.sink.state == State::Works {
            let delay = if self.faults_over() { 0 } else { self.faults.sink_delay_ms };
            if delay > 0 {
                self.sink.troubled = true;
                self.tally.count("slow sink");
            }
            self.deliver(Some(Lane::Sink), ms(delay), event);
        }
    }

    pub(super) fn sink_dies(&mut self) {
        if self.sink.state != State::Missing {
            self.tally.count("sink dies");
            self.end_sink();
        }
    }

    pub(super) fn sink_hangs(&mut self) {
        if self.sink.state == State::Works {
            self.tally.count("sink hangs");
            self.trace.line(self.agenda.now(), "world", "the sink hangs");
            (self.sink.state, self.sink.troubled) = (State::Hangs, true);
            self.agenda.lose_facts(is_said);
        }
    }

    fn end_sink(&mut self) {
        self.trace.line(self.agenda.now(), "world", "the sink ends");
        self.sink = Sink { troubled: true, ..Sink::default() };
        self.agenda.lose_facts(is_said);
        self.deliver(Some(Lane::Sink), ms(0), Event::SinkEnded { failure: Failure("it has ended".into()) });
    }

    /// The next program of the daemon's process hears nothing of what was said to the one before.
    pub(super) fn sink_is_left(&mut self) {
        self.agenda.lose_facts(|event| is_said(event) || matches!(event, Event::SinkEnded { .. }));
    }

    /// What the sink knows, if it works, otherwise than it is.
    pub(crate) fn mislogged(&self, config: &Config, status: &Status) -> Vec<String> {
        let (Some(log), State::Works) = (&config.log, self.sink.state) else { return Vec::new() };
        let mut wrong = Vec::new();
        if self.sink.log.as_ref() != Some(log) {
            wrong.push("the log is not written as the configuration says".to_owned());
        }
        if self.sink.program != self.upgrades.version {
            wrong.push("the sink runs a former program".to_owned());
        }
        let serves = |state: WorkerState| state == WorkerState::Online;
        let slots = status.workers.iter().filter(|worker| serves(worker.state));
        let slots = slots.filter_map(|worker| Some((worker.id, worker.slot?)));
        for (worker, slot) in slots.filter(|(worker, slot)| self.sink.slots.get(worker) != Some(slot)) {
            wrong.push(format!("lines of {} are not of slot {slot}", worker.short()));
        }
        wrong
    }

    /// Who asked is told what a worker that failed wrote last, if there was always somebody who knew.
    pub(super) fn check_last_lines(&mut self, reply: &Reply) {
        let Some(Body::Failed(workers)) = &reply.body else { return };
        // A daemon that goes, or is replaced, waits for nothing; one that is held up by a call has waited meanwhile.
        let held_up = self.faults.calls.iter().any(|fault| matches!(fault.trouble, Trouble::Slow(_)));
        let spared = self.sink.troubled || self.scenario.ends_daemons() || held_up;
        if !self.scenario.settings.sink || spared {
            return;
        }
        let mute = workers.iter().find(|worker| {
            worker.lines.is_empty() && worker.stderr.is_none() && self.processes.named(worker.id).is_some()
        });
        if let Some(worker) = mute.map(|worker| worker.id) {
            self.violated(format_args!("nobody is told what {} wrote last", worker.short()));
        }
    }
}

fn is_said(event: &Event) -> bool {
    matches!(event, Event::SinkReady { .. } | Event::LastLines { .. })
}
