//! What a daemon that died has left: whatever its state file says, and whatever the links say otherwise.

use arbitrary::Unstructured;
use nodesockd_core::id::{BootId, Ids, Process, SlotIndex, WorkerId};
use nodesockd_core::state::{FoundLink, Leftovers, State, Survivor};
use nodesockd_core::{Action, Supervisor, Time};

use crate::events::daemon;
use crate::input::Input;

/// Between the file's text and what else there is.
pub(crate) const SEPARATOR: u8 = 0x1e;
/// More slots or workers cost time and show nothing new.
pub(crate) const FEW: usize = 8;
/// More orders than this: the supervisor has lost its head.
const MOST_ORDERS: usize = 1000;

/// A state file is refused, or read as it was written; and whatever it says, and whoever has survived, a daemon that adopts
/// that goes on in peace, and forgets nobody.
pub fn state_file(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == SEPARATOR);
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let mut input = Input(Unstructured::new(parts.next().unwrap_or_default()));
    let Ok(state) = State::parse(&text) else { return };
    assert_eq!(State::parse(&state.encode()).as_ref(), Ok(&state), "read as it was written");
    let rollout = state.rollout.iter().flat_map(|rollout| [rollout.slots, rollout.standby]);
    let most = rollout.chain([state.slots, state.standby]).max().unwrap_or(0);
    if most as usize > FEW || state.workers.len() > FEW {
        return;
    }
    let config =
        crate::config::of_toml("tmpDir = '/run/app'\nscript = 'server.js'\nworkers = 2\nstandby = 1");
    let stranger = Ids::new(BootId(3)).worker();
    let ids: Vec<WorkerId> = state.workers.iter().map(|record| record.id).chain([stranger]).collect();
    let mut left = Leftovers { state: Some(state), ..Leftovers::default() };
    for (started, id) in (1..).zip(&ids) {
        let known = left.survivors.iter().any(|survivor| survivor.id == *id);
        if input.flag() && !known {
            let pid = 100 + u32::from(input.byte());
            left.survivors.push(Survivor { id: *id, process: Process { pid, started } });
        }
    }
    for _ in 0..input.below(4) {
        let slot = SlotIndex(u32::from(input.byte() % 4));
        let socket = config.socket_file.socket(input.one(&ids).unwrap_or(stranger));
        left.links.push(FoundLink { slot, name: config.socket_file.link(slot), socket });
    }
    let pids: Vec<u32> = left.survivors.iter().map(|survivor| survivor.process.pid).collect();
    let mut supervisor = Supervisor::adopt(config, daemon(), left, Time::from_nanos(1));
    let known = supervisor.status().workers;
    for pid in pids {
        assert!(known.iter().any(|worker| worker.pid == Some(pid)), "{pid} is forgotten");
    }
    for _ in 0..FEW {
        listen(&mut supervisor);
        let Some((deadline, _)) = supervisor.poll_timeout() else { return };
        supervisor.handle_timeout(deadline);
    }
}

/// Takes orders, and carries none of them out.
pub(crate) fn listen(supervisor: &mut Supervisor) {
    let mut orders = 0;
    while let Some(action) = supervisor.poll_action() {
        orders += 1;
        assert!(orders < MOST_ORDERS, "orders without end: {action:?}");
        assert_ne!(action, Action::Quit, "it was not asked to");
    }
}
