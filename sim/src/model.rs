//! What an operator may rely on, in a few lines: a model of the supervisor that is too simple to be wrong.
//!
//! It knows nothing of processes, links and time. One command after the other is given to it and to the real thing, which
//! comes to rest after each; then both have given the same answer and serve the same slots in the same way.

use nodesockd_core::wire::{Code, Status, WorkerState};

use crate::faults::FaultPlan;
use crate::runner::Run;
use crate::scenario::{Act, Ask, Behaviour, Death, Load, Release, Scenario, Settings};

/// Something an operator does, or that happens to a worker, while all is quiet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A request.
    Ask(Ask),
    /// New code, which works or dies at once.
    Deploy {
        /// It works.
        works: bool,
    },
    /// Other numbers in the configuration file.
    Edit {
        /// `workers`
        workers: u32,
        /// `standby`
        standby: u32,
    },
    /// The n-th live worker, modulo their number, is killed.
    Kill {
        /// Which.
        nth: u32,
    },
}

/// What runs, as far as an operator is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Model {
    running: bool,
    suspended: bool,
    slots: u32,
    standby: u32,
    /// The code that is deployed works.
    works: bool,
    /// The configuration file's numbers of slots and standbys.
    file: (u32, u32),
}

/// How a request ends.
type Answer = Result<(), Code>;

impl Model {
    fn new(settings: &Settings) -> Self {
        let (slots, standby) = (settings.workers, settings.standby);
        Self { running: true, suspended: false, slots, standby, works: true, file: (slots, standby) }
    }

    fn ask(&mut self, ask: &Ask) -> Answer {
        match ask {
            Ask::Start { .. } if self.running => Ok(()),
            Ask::Start { suspended, .. } | Ask::Restart { suspended, .. } => {
                if !self.works {
                    return Err(Code::StartFailed);
                }
                (self.running, self.suspended) = (true, *suspended);
                Ok(())
            }
            // Not among the commands that are given.
            Ask::Migrate { .. } | Ask::DeployChecked { .. } | Ask::Suspend { .. } => Err(Code::Usage),
            // A suspended app is resumed or replaced first, and a stopped one is started.
            Ask::Deploy { .. } if self.suspended || !self.running => Err(Code::Usage),
            // The good release is the first one. Where another one is deployed that does not start, the symlink stays.
            Ask::Deploy { release, .. } => {
                let works = release.map_or(self.works, |release| release == 0);
                if !works {
                    return Err(Code::StartFailed);
                }
                self.works = true;
                Ok(())
            }
            // It reads the configuration, too.
            Ask::Upgrade { .. } if !self.works => Err(Code::StartFailed),
            Ask::Upgrade { suspended } => {
                (self.running, self.suspended) = (true, *suspended);
                (self.slots, self.standby) = self.file;
                Ok(())
            }
            Ask::Resume => {
                self.suspended = false;
                Ok(())
            }
            Ask::Stop => {
                (self.running, self.suspended) = (false, false);
                Ok(())
            }
            Ask::SetWorkers(count) => self.scale(count.get(), self.standby),
            Ask::SetStandby(count) => self.scale(self.slots, *count),
            Ask::Reload => self.scale(self.file.0, self.file.1),
            Ask::AttachDeploy
            | Ask::Status
            | Ask::Metrics
            | Ask::Config
            | Ask::Terminate
            | Ask::Message { .. }
            | Ask::Request { .. } => Ok(()),
        }
    }

    /// More workers run the release of those that run already, which works, whatever is deployed by now.
    fn scale(&mut self, slots: u32, standby: u32) -> Answer {
        (self.slots, self.standby) = (slots, standby);
        Ok(())
    }

    /// What `status` has to say.
    fn expected(&self) -> String {
        let (slots, standby) = if self.running { (self.slots, self.standby) } else { (0, 0) };
        let mood = if self.suspended { WorkerState::Suspended } else { WorkerState::Online };
        let served: Vec<_> = (0..slots).map(|slot| (slot, mood)).collect();
        describe(&served, standby, 0, self.suspended)
    }
}

fn observed(status: &Status) -> String {
    let served: Vec<_> = status.workers.iter().filter_map(|row| Some((row.slot?.0, row.state))).collect();
    let count = |standby| {
        let rows = status.workers.iter().filter(|row| row.slot.is_none() && row.standby == standby);
        u32::try_from(rows.count()).unwrap_or(u32::MAX)
    };
    describe(&served, count(true), count(false), status.suspended)
}

fn describe(served: &[(u32, WorkerState)], standbys: u32, others: u32, suspended: bool) -> String {
    format!("slots {served:?}, {standbys} standbys, {others} others, suspended: {suspended}")
}

/// Gives the commands to the model and to the supervisor, one after the other.
///
/// # Errors
///
/// Where they differ, or what promise was broken.
pub fn rehearse(settings: &Settings, commands: &[Command]) -> Result<(), String> {
    let bad =
        Release { defects: vec![Behaviour::Dies { after_ms: 1, how: Death::Code(1) }], ..Release::good() };
    let scenario = Scenario {
        settings: settings.clone(),
        releases: vec![Release::good(), bad],
        script: Vec::new(),
        load: Load { users: 0, ..Load::default() },
        leftovers: Vec::new(),
        // It ends when the commands do.
        length_ms: u64::from(u32::MAX),
        jitter: 1,
    };
    let mut model = Model::new(settings);
    let mut run = Run::new(&scenario, &FaultPlan::default(), false).map_err(|error| error.to_string())?;
    run.settle()?;
    for (index, command) in commands.iter().enumerate() {
        let differs = |what: &str, real: String, model: String| {
            format!("command {index}, {command:?}: {what} {real}, but ought to be {model}")
        };
        match command {
            Command::Ask(ask) => {
                run.world().ask(1, ask, false, None);
                run.settle()?;
                let (answer, expected) = (run.world().last_answer(), Some(model.ask(ask)));
                if answer != expected {
                    return Err(differs("the answer is", format!("{answer:?}"), format!("{expected:?}")));
                }
            }
            Command::Deploy { works } => {
                run.world().act(Act::Deploy { release: usize::from(!works) });
                model.works = *works;
            }
            Command::Edit { workers, standby } => {
                let settings = Settings { workers: *workers, standby: *standby, ..settings.clone() };
                run.world().act(Act::Edit(Box::new(settings)));
                model.file = (*workers, *standby);
            }
            // Its replacement runs the release that it ran.
            Command::Kill { nth } => {
                run.world().kill_nth(*nth);
                run.settle()?;
            }
        }
        let (real, expected) = (observed(&run.supervisor().status()), model.expected());
        if real != expected {
            return Err(differs("it is", real, expected));
        }
    }
    Ok(())
}
