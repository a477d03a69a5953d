//! A new configuration: the least that makes reality match.

use crate::action::Action;
use crate::config::{Config, Problem};
use crate::id::RequestRef;
use crate::wire::{Code, Reply, StartOptions};

use super::handoff::Fixed;
use super::operation::{Asker, Kind, Operation, Phase};
use super::rollout::{Plan, all_seats};
use super::worker::Seat;
use super::{Desired, Supervisor};
use crate::id::SlotIndex;

impl Supervisor {
    /// Reads the configuration again, for somebody or because of a signal.
    pub(super) fn reload(&mut self, to: Option<RequestRef>) {
        let asker = |to| Asker { to, progress: false, upgraded_from: None };
        let askers = to.map(asker).into_iter().collect();
        self.load(Kind::Reload, askers, None);
    }

    pub(super) fn load(&mut self, kind: Kind, askers: Vec<Asker>, options: Option<StartOptions>) {
        self.operation = Some(Operation { kind, askers, phase: Phase::Loading { options } });
        self.act(Action::LoadConfig);
    }

    pub(super) fn config_loaded(&mut self, result: Result<Box<Config>, Vec<Problem>>) {
        let Some(operation) =
            self.operation.take_if(|operation| matches!(operation.phase, Phase::Loading { .. }))
        else {
            return;
        };
        let Operation { kind, askers, phase: Phase::Loading { options } } = operation else { return };
        let problems = match result {
            Ok(config) => match Fixed::of(&self.config).differs_from(&Fixed::of(&config)) {
                None => return self.apply(kind, askers, options, *config),
                Some(problem) => vec![problem],
            },
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        };
        tracing::warn!("the configuration in force stays: {}", problems.join("; "));
        self.reply_to_all(askers, &Reply::failed(Some(Code::InvalidConfig), problems));
        self.next_operation();
    }

    pub(super) fn apply(
        &mut self,
        kind: Kind,
        askers: Vec<Asker>,
        options: Option<StartOptions>,
        config: Config,
    ) {
        let restart = options.is_some();
        let replaces = restart || needs_new_workers(&self.config, &config);
        let desired = Desired {
            running: self.desired.running || restart,
            slots: config.workers.get(),
            standby: config.standby,
            suspended: options.as_ref().map_or(self.desired.suspended, |options| options.suspended),
        };
        let seats = if !desired.running {
            Vec::new()
        } else if replaces {
            all_seats(desired.slots, desired.standby)
        } else {
            let slots = (self.desired.slots..desired.slots).map(|slot| Seat::Slot(SlotIndex(slot)));
            slots.chain((self.desired.standby..desired.standby).map(|_| Seat::Standby)).collect()
        };
        let attempts =
            options.and_then(|options| options.max_attempts).unwrap_or(config.options.max_start_attempts);
        self.roll_out(Plan {
            kind,
            askers,
            seats,
            suspended: desired.suspended,
            attempts: attempts.get(),
            replaces,
            desired,
            config,
        });
    }
}

/// Whether running workers differ from those that the new configuration would start.
fn needs_new_workers(old: &Config, new: &Config) -> bool {
    old.program != new.program
        || old.env != new.env
        || old.socket_file != new.socket_file
        || old.options.stdout != new.options.stdout
        || old.options.stderr != new.options.stderr
        || old.options.listen != new.options.listen
        || old.options.ready != new.options.ready
}
