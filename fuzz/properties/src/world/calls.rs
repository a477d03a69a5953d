//! What the supervisor orders, done or not.

use std::path::Path;
use std::time::Duration;

use nodesockd_core::Time;
use nodesockd_core::action::{CommandOrder, CommandSignal, HookOrder, SpawnOrder, WorkerSignal};
use nodesockd_core::backend::Backend;
use nodesockd_core::config::{
    Config, DevAddress, Log, MetricsAddress, Named, Problem, SocketPattern, StopSignal, Symlinks,
};
use nodesockd_core::env_file::EnvFile;
use nodesockd_core::event::{CpuTime, Event, Failure, Memory, Queue, Vitals};
use nodesockd_core::history;
use nodesockd_core::id::{ConnId, Process, RequestRef, SlotIndex, WorkerId};
use nodesockd_core::notice::Notice;
use nodesockd_core::page::Page;
use nodesockd_core::page::html::html;
use nodesockd_core::release::{Release, ReleaseLink};
use nodesockd_core::state::{Entry, Leftovers};
use nodesockd_core::supervisor::Handoff;
use nodesockd_core::survey::{Own, Survey};
use nodesockd_core::wire::{Reply, ToWorker};

use super::World;
use super::configuration::configuration;
use super::proc::{Proc, Stage};

/// So many processes may have been started; more cost time and show nothing new.
const MOST_PROCESSES: u32 = 200;

impl Backend for World<'_> {
    fn now(&self) -> Time {
        self.now
    }

    fn find_leftovers(&mut self, _config: &Config) -> Leftovers {
        Leftovers::default()
    }

    fn spawn(&mut self, order: &SpawnOrder) -> Result<Process, Failure> {
        self.fails()?;
        if self.started == MOST_PROCESSES && !self.is_calm() {
            return Err(Failure("too many".into()));
        }
        self.started += 1;
        // Pids are few, and soon used again.
        let taken: Vec<u32> = self
            .processes
            .values()
            .filter(|its| its.stage != Stage::Reaped)
            .map(|its| its.process.pid)
            .collect();
        let pid = (100..).find(|pid| !taken.contains(pid)).unwrap_or_default();
        let process = Process { pid, started: self.started.into() };
        let suspended =
            order.set.iter().any(|(name, value)| name == "NODESOCKD_SUSPENDED" && value == "true");
        let stage = Stage::Running;
        let proc = Proc {
            process,
            stage,
            suspended,
            online: false,
            channel: true,
            leaving: false,
            requests: Vec::new(),
            pings: None,
            leads: false,
            leadership: None,
        };
        assert!(self.processes.insert(order.worker, proc).is_none(), "{} is started twice", order.worker);
        Ok(process)
    }

    fn watch(&mut self, worker: WorkerId, _process: Process) {
        panic!("{worker} is adopted, and nobody has reported that is not known");
    }

    fn terminate(
        &mut self,
        worker: WorkerId,
        process: Process,
        _socket: Option<&str>,
        _signal: StopSignal,
        _again: bool,
    ) -> Vec<Process> {
        self.signal(worker, process, WorkerSignal::Terminate);
        if self.input.rarely(4) { vec![Process { pid: process.pid + 1, ..process }] } else { Vec::new() }
    }

    fn signal(&mut self, worker: WorkerId, process: Process, _signal: WorkerSignal) {
        let found = self.processes.get_mut(&worker).filter(|found| found.process == process);
        let Some(found) = found else { panic!("a signal to {worker}, which never was {process:?}") };
        assert_ne!(found.stage, Stage::Reaped, "a signal to {worker}, whose pid may be another's");
        found.leaving = true;
    }

    fn examine(&mut self, worker: WorkerId, _process: Process) -> Result<Vitals, Failure> {
        assert!(self.processes.contains_key(&worker), "{worker} is looked at, but never was");
        self.fails()?;
        let state = self.input.one(&['R', 'S', 'T']).unwrap_or('S');
        let cpu = Duration::from_millis(self.input.byte().into());
        Ok(Vitals { state, cpu, waits_in: None, traced: self.input.flag() })
    }

    async fn reap(&mut self, worker: WorkerId, process: Process) {
        let found = self.processes.get_mut(&worker).filter(|found| found.process == process);
        let Some(found) = found else { panic!("{worker} is collected, which never was {process:?}") };
        assert_eq!(found.stage, Stage::Exited, "{worker} is collected");
        found.stage = Stage::Reaped;
    }

    fn mark_serving(&mut self, _worker: WorkerId, _process: Process) {}

    fn measure_memory(&mut self, _worker: WorkerId, _process: Process) -> Result<Memory, Failure> {
        Err(Failure("nobody asks".to_owned()))
    }

    fn publish(&mut self, link: &str, socket: &str, _symlinks: Symlinks) -> Result<(), Failure> {
        self.fails()?;
        let Some(Named::Socket(worker)) = self.config.socket_file.matches(socket) else {
            panic!("{link} is to name {socket}, which is no worker's socket");
        };
        assert!(
            self.processes.get(&worker).is_some_and(|process| process.online),
            "{worker} never was online"
        );
        self.links.insert(link.to_owned(), worker);
        Ok(())
    }

    fn withdraw(&mut self, link: &str) -> Result<(), Failure> {
        self.fails()?;
        self.links.remove(link);
        Ok(())
    }

    fn list_queue(&mut self, _worker: WorkerId, _socket: &str) -> Result<Vec<u64>, Failure> {
        self.fails()?;
        Ok((0..self.input.below(3)).map(|_| self.input.byte().into()).collect())
    }

    fn measure_queue(&mut self, _worker: WorkerId, _socket: &str) -> Queue {
        self.queue()
    }

    fn count_waiting(&mut self, _worker: WorkerId, _socket: &str) -> Queue {
        self.queue()
    }

    fn measure_cpu(&mut self, _worker: WorkerId, _process: Process) -> Result<CpuTime, Failure> {
        self.fails()?;
        let used = Duration::from_secs(self.input.byte().into());
        Ok(CpuTime { used, waited: Duration::ZERO })
    }

    fn listen(&mut self, socket: &str) -> Result<(), Failure> {
        panic!("{socket} is opened, but workers bind their own sockets here")
    }

    fn unlisten(&mut self, socket: &str) -> Result<(), Failure> {
        panic!("{socket} is closed, which never was opened")
    }

    fn remove(&mut self, _socket: &str) -> Result<(), Failure> {
        self.fails()
    }

    fn persist(&mut self, _entry: Option<&Entry>) -> Result<(), Failure> {
        self.fails()
    }

    fn run_hook(&mut self, _order: &HookOrder) -> Result<Process, Failure> {
        Err(Failure("nobody has set options.onEvent".into()))
    }

    fn watch_hook(&mut self, _process: Process) {}

    fn kill_hook(&mut self, _process: Process) {}

    fn record(&mut self, _entry: &history::Entry) -> Result<(), Failure> {
        self.fails()
    }

    fn sweep(&mut self, _pattern: &SocketPattern) -> Result<u32, Failure> {
        self.fails().map(|()| 1)
    }

    fn locate_release(&mut self, named: &Release, _env_files: &[EnvFile]) -> Result<Release, Failure> {
        self.fails().map(|()| named.clone())
    }

    fn has_release(&mut self, _release: &Release) -> bool {
        self.fails().is_ok()
    }

    fn find_release_link(&mut self, named: &Release, folder: &Path) -> Result<ReleaseLink, Failure> {
        let (path, before) = (named.dir.clone(), "before".into());
        self.fails().map(|()| ReleaseLink { path, before, after: folder.to_owned() })
    }

    fn switch_release_link(&mut self, _path: &Path, _from: &Path, _to: &Path) -> Result<(), Failure> {
        self.fails()
    }

    fn run_command(&mut self, _order: &CommandOrder) -> Result<Process, Failure> {
        self.fails().map(|()| Process { pid: 9, started: 9 })
    }

    fn watch_command(&mut self, _process: Process) {}

    fn signal_command(&mut self, _process: Process, _signal: CommandSignal) {}

    fn direct_log(&mut self, _log: &Log) {}

    fn label_output(&mut self, _worker: WorkerId, _slot: SlotIndex) {}

    fn upgrade_sink(&mut self) {}

    fn start_sink(&mut self, _log: Option<&Log>) -> Result<(), Failure> {
        Err(Failure("what workers write goes to a terminal".into()))
    }

    fn ask_last_lines(&mut self, _worker: WorkerId) {}

    fn kill_sink(&mut self) {}

    fn survey(&mut self) -> Survey {
        Survey::default()
    }

    fn restore(&mut self, _what: Own) -> Result<(), Failure> {
        self.fails()
    }

    fn probe(&mut self, worker: WorkerId, _socket: &str, _path: &str) {
        panic!("{worker} is asked whether it is ready, but workers report that here")
    }

    fn tell(&mut self, worker: WorkerId, _over: Option<ConnId>, message: &ToWorker) {
        let other = |(id, its): (&WorkerId, &Proc)| *id != worker && its.stage == Stage::Running && its.leads;
        let led = self.processes.iter().any(other);
        let Some(process) = self.processes.get_mut(&worker) else {
            panic!("{worker} is told something, but never was")
        };
        match message {
            ToWorker::Leader { leads, term } => {
                assert!(!leads || !led, "{worker} is told to lead while another one does");
                process.leads |= leads;
                process.leadership = Some((*leads, *term));
            }
            ToWorker::Shutdown => {
                let named = self.links.values().any(|named| *named == worker);
                assert!(!named, "{worker} is told to shut down while a link names it");
                process.leaving = true;
            }
            ToWorker::AppRequest { id, .. } => process.requests.push(id.clone()),
            ToWorker::Resume { .. }
            | ToWorker::SetName { .. }
            | ToWorker::Detach { .. }
            | ToWorker::AppMessage { .. }
            | ToWorker::Slot { .. }
            | ToWorker::Count { .. }
            | ToWorker::NodeHandleAck => {}
            ToWorker::Ping { seq } => process.pings = Some(*seq),
        }
    }

    fn reply(&mut self, to: &RequestRef, reply: &Reply) {
        let Some((made, finals)) = self.asked.get_mut(to) else {
            panic!("a reply to {to:?}, which nobody asked")
        };
        assert!(*finals < *made, "a reply to {to:?} after its final one");
        *finals += u32::from(reply.done);
    }

    fn load_config(&mut self) -> Result<Config, Vec<Problem>> {
        self.fails().map_err(|failure| vec![Problem::general(failure.0)])?;
        Ok(configuration(&mut self.input))
    }

    fn reopen_logs(&mut self) -> Result<(), Failure> {
        self.fails()
    }

    async fn serve_dev(&mut self, _address: Option<DevAddress>, _links: &[String]) -> Result<(), Failure> {
        self.fails()
    }

    fn show_page(&mut self, page: Option<&Page>) {
        if let Some(page) = page {
            let html = html(page, self.now, true);
            assert_eq!(
                html.matches("<script").count(),
                1,
                "words from outside are in the page as they came: {html}"
            );
        }
    }

    fn serve_metrics(&mut self, _address: Option<&MetricsAddress>) -> Result<(), Failure> {
        self.fails()
    }

    fn notify(&mut self, notice: &Notice) {
        let may_follow = match notice {
            Notice::Ready => matches!(self.phase, None | Some(Notice::Reloading { .. })),
            Notice::Reloading { .. } => self.phase == Some(Notice::Ready),
            Notice::Stopping => self.phase != Some(Notice::Stopping),
            Notice::Status(_) | Notice::Extend(_) | Notice::Alive => return,
        };
        assert!(may_follow, "{notice:?} after {:?}", self.phase);
        self.phase = Some(notice.clone());
    }

    fn preflight(&mut self, _handoff: &Handoff, _limit: Duration) {
        let result = self.fails().map(|()| format!("99.0.{}", self.upgrades));
        self.soon.push_back(Event::Preflighted { result });
    }

    async fn freeze(&mut self) {
        assert!(!std::mem::replace(&mut self.frozen, true), "it is frozen already");
        self.soon.push_back(Event::Frozen);
    }

    async fn thaw(&mut self) {
        assert!(std::mem::take(&mut self.frozen), "it is not frozen");
    }

    async fn hand_off(&mut self, handoff: &Handoff) -> Result<(), Failure> {
        assert!(self.frozen, "facts still come");
        self.fails()?;
        let text = serde_json::to_string(handoff).map_err(|error| Failure(error.to_string()))?;
        let read: Handoff = serde_json::from_str(&text).map_err(|error| Failure(error.to_string()))?;
        assert_eq!(read, *handoff);
        self.handed = Some(read);
        Ok(())
    }

    async fn next(&mut self, deadline: Option<Time>) -> Option<Event> {
        if let Some(event) = self.happens() {
            let moment = u64::from(self.input.byte());
            self.now = self.now + Duration::from_micros(moment * moment);
            return Some(event);
        }
        let early = Duration::from_nanos(u64::from(!self.is_calm() && self.input.rarely(16)));
        if let Some(deadline) = deadline {
            self.now = self.now.max(Time::from_nanos(deadline.as_nanos() - early.as_nanos() as u64));
        }
        None
    }
}
