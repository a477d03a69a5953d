//! The loop: poll, perform, feed back. The same in production and in simulation.

use crate::action::Action;
use crate::backend::Backend;
use crate::config::Config;
use crate::event::Event;
use crate::supervisor::{Daemon, Supervisor};

/// Runs a [`Supervisor`] against a [`Backend`].
#[derive(Debug)]
pub struct Driver<B> {
    supervisor: Supervisor,
    backend: B,
}

/// What [`Driver::step`] did.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// It carried out this action and fed back how it went.
    Performed(Action),
    /// It took in this fact.
    Heard(Event),
    /// A deadline passed.
    TimedOut,
    /// The supervisor has quit; there is nothing more to do.
    Quit,
}

impl<B: Backend> Driver<B> {
    /// Drives `supervisor` against `backend`.
    pub fn new(supervisor: Supervisor, backend: B) -> Self {
        Self { supervisor, backend }
    }

    /// Drives a new supervisor that adopts what an earlier daemon left.
    pub fn adopt(config: Config, daemon: Daemon, mut backend: B) -> Self {
        let left = backend.find_leftovers(&config);
        let supervisor = Supervisor::adopt(config, daemon, left, backend.now());
        Self::new(supervisor, backend)
    }

    /// The supervisor, to look at.
    pub fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// The backend.
    pub fn backend(&mut self) -> &mut B {
        &mut self.backend
    }

    /// Puts another supervisor in charge of the same backend, as when a daemon follows one that has died.
    pub fn succeed(&mut self, supervisor: Supervisor) {
        self.supervisor = supervisor;
    }

    /// Runs until the supervisor quits.
    pub async fn run(&mut self) {
        while self.step().await != Step::Quit {}
    }

    /// Carries out one action, or waits for one fact. The points between steps are where a daemon can die.
    pub async fn step(&mut self) -> Step {
        if let Some(action) = self.supervisor.poll_action() {
            if action == Action::Quit {
                return Step::Quit;
            }
            if let Some(completion) = self.perform(&action).await {
                self.supervisor.handle_event(self.backend.now(), completion);
            }
            return Step::Performed(action);
        }
        let deadline = self.supervisor.poll_timeout().map(|(deadline, _)| deadline);
        let event = self.backend.next(deadline).await;
        let now = self.backend.now();
        match event {
            Some(event) => {
                self.supervisor.handle_event(now, event.clone());
                Step::Heard(event)
            }
            None => {
                self.supervisor.handle_timeout(now);
                Step::TimedOut
            }
        }
    }

    async fn perform(&mut self, action: &Action) -> Option<Event> {
        let backend = &mut self.backend;
        match action {
            Action::Spawn(order) => {
                let result = backend.spawn(order);
                Some(Event::Spawned { worker: order.worker, result })
            }
            Action::Publish { slot, worker, link, socket, symlinks } => {
                let result = backend.publish(link, socket, *symlinks);
                Some(Event::Published { slot: *slot, worker: *worker, result })
            }
            Action::Withdraw { slot, link } => {
                let result = backend.withdraw(link);
                Some(Event::Withdrawn { slot: *slot, link: link.clone(), result })
            }
            Action::Listen { slot, socket } => {
                let result = backend.listen(socket);
                Some(Event::Listening { slot: *slot, socket: socket.clone(), result })
            }
            Action::Unlisten { slot, socket } => {
                let result = backend.unlisten(socket);
                Some(Event::Unlistened { slot: *slot, socket: socket.clone(), result })
            }
            Action::StartSink { log } => {
                Some(Event::SinkStarted { result: backend.start_sink(log.as_ref()) })
            }
            Action::DirectLog { log } => {
                backend.direct_log(log);
                None
            }
            Action::LabelOutput { worker, slot } => {
                backend.label_output(*worker, *slot);
                None
            }
            Action::UpgradeSink => {
                backend.upgrade_sink();
                None
            }
            Action::AskLastLines { worker } => {
                backend.ask_last_lines(*worker);
                None
            }
            Action::KillSink => {
                backend.kill_sink();
                None
            }
            Action::MeasureQueue { worker, socket } => {
                let queue = backend.measure_queue(*worker, socket);
                Some(Event::QueueMeasured { worker: *worker, queue })
            }
            Action::CountWaiting { worker, socket } => {
                let queue = backend.count_waiting(*worker, socket);
                Some(Event::WaitingCounted { worker: *worker, queue })
            }
            Action::ListQueue { worker, socket } => {
                let result = backend.list_queue(*worker, socket);
                Some(Event::QueueListed { worker: *worker, result })
            }
            Action::MeasureCpu { worker, process } => {
                let result = backend.measure_cpu(*worker, *process);
                Some(Event::CpuMeasured { worker: *worker, result })
            }
            Action::Terminate { worker, process, socket, signal, again } => {
                let servers = backend.terminate(*worker, *process, socket.as_deref(), *signal, *again);
                Some(Event::Terminated { worker: *worker, servers })
            }
            Action::MarkServing { worker, process } => {
                backend.mark_serving(*worker, *process);
                None
            }
            Action::MeasureMemory { worker, process } => {
                let result = backend.measure_memory(*worker, *process);
                Some(Event::MemoryMeasured { worker: *worker, result })
            }
            Action::Examine { worker, process } => {
                let result = backend.examine(*worker, *process);
                Some(Event::Examined { worker: *worker, result })
            }
            Action::Reap { worker, process } => {
                backend.reap(*worker, *process).await;
                Some(Event::Reaped { worker: *worker })
            }
            Action::Remove { worker, socket } => {
                let result = backend.remove(socket);
                Some(Event::Removed { worker: *worker, result })
            }
            Action::LocateRelease { named, env_files } => {
                Some(Event::ReleaseLocated { named: backend.locate_release(named, env_files) })
            }
            Action::CheckRelease { pinned, named, env_files } => {
                let gone = !backend.has_release(pinned);
                let stand_in = gone.then(|| backend.locate_release(named, env_files));
                Some(Event::ReleaseChecked { stand_in })
            }
            Action::FindReleaseLink { named, folder } => {
                Some(Event::ReleaseLinkFound { result: backend.find_release_link(named, folder) })
            }
            Action::SwitchReleaseLink { path, from, to } => {
                let result = backend.switch_release_link(path, from, to);
                Some(Event::ReleaseLinkSwitched { to: to.clone(), result })
            }
            Action::RunCommand(order) => Some(Event::CommandStarted { result: backend.run_command(order) }),
            Action::WatchCommand { process } => {
                backend.watch_command(*process);
                None
            }
            Action::SignalCommand { process, signal } => {
                backend.signal_command(*process, *signal);
                None
            }
            Action::RunHook(order) => Some(Event::HookStarted { result: backend.run_hook(order) }),
            Action::WatchHook { process } => {
                backend.watch_hook(*process);
                None
            }
            Action::KillHook { process } => {
                backend.kill_hook(*process);
                None
            }
            Action::Sweep { pattern } => Some(Event::Swept { result: backend.sweep(pattern) }),
            Action::Survey => Some(Event::Surveyed(backend.survey())),
            Action::Restore { what } => Some(Event::Restored { what: *what, result: backend.restore(*what) }),
            Action::ServeDev { address, links } => {
                let result = backend.serve_dev(*address, links).await;
                Some(Event::DevServing { address: *address, result })
            }
            Action::ShowPage { page } => {
                backend.show_page(page.as_deref());
                None
            }
            Action::ServeMetrics { address } => {
                let result = backend.serve_metrics(address.as_ref());
                Some(Event::MetricsServing { address: address.clone(), result })
            }
            Action::LoadConfig => {
                let result = backend.load_config().map(Box::new);
                Some(Event::ConfigLoaded { result })
            }
            Action::ReopenLogs => Some(Event::LogsReopened { result: backend.reopen_logs() }),
            Action::Persist { entry } => Some(Event::Persisted { result: backend.persist(entry.as_ref()) }),
            Action::Record(entry) => {
                let result = backend.record(entry);
                Some(Event::Recorded { number: entry.facts.number, result })
            }
            Action::HandOff { handoff } => {
                let failure = backend.hand_off(handoff).await.err()?;
                Some(Event::NotHandedOff { failure })
            }
            Action::Preflight { handoff, limit } => {
                backend.preflight(handoff, *limit);
                None
            }
            Action::Freeze => {
                backend.freeze().await;
                None
            }
            Action::Thaw => {
                backend.thaw().await;
                None
            }
            Action::Probe { worker, socket, path } => {
                backend.probe(*worker, socket, path);
                None
            }
            Action::Tell { worker, over, message } => {
                backend.tell(*worker, *over, message);
                None
            }
            Action::Watch { worker, process } => {
                backend.watch(*worker, *process);
                None
            }
            Action::Signal { worker, process, signal } => {
                backend.signal(*worker, *process, *signal);
                None
            }
            Action::Reply { to, reply } => {
                backend.reply(to, reply);
                None
            }
            Action::Notify(notice) => {
                backend.notify(notice);
                None
            }
            Action::Quit => None,
        }
    }
}
