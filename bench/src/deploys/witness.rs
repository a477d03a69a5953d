//! Somebody who notes when links are led to whom, and when workers die.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::time::{ClockId, clock_gettime};
use nodesockd_tests::App;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// A moment: nanoseconds of the monotonic clock, as the workers write them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    pub fn now() -> Self {
        let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap());
        Self(u64::try_from(now.as_nanos()).unwrap())
    }

    /// As a worker has written it.
    pub fn parse(text: &str) -> Option<Self> {
        text.trim().parse().ok().map(Self)
    }

    /// The same moment as an [`Instant`], which is of the same clock.
    pub fn of(instant: Instant) -> Self {
        let ago = u64::try_from(instant.elapsed().as_nanos()).unwrap();
        Self(Self::now().0 - ago)
    }

    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Links that were led somewhere: when, which, and to whom. Whose socket is shared has no name.
    pub links: Vec<(Moment, String, Option<String>)>,
    /// Workers that have died.
    pub deaths: BTreeMap<String, Moment>,
}

/// Notes what happens to an app, until that is gone.
#[derive(Debug)]
pub struct Witness(Arc<Mutex<Seen>>);

impl Witness {
    /// Of an app whose workers write their pids into `marks`.
    pub fn of(app: &App, marks: PathBuf) -> Self {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
        inotify.add_watch(&app.run(), AddWatchFlags::IN_MOVED_TO).unwrap();
        let (seen, run) = (Arc::<Mutex<Seen>>::default(), app.run());
        let noted = Arc::clone(&seen);
        thread::spawn(move || watch(&inotify, &run, &marks, &noted));
        Self(seen)
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.0)
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn watch(inotify: &Inotify, run: &Path, marks: &Path, seen: &Mutex<Seen>) {
    let mut alive: BTreeMap<String, OwnedFd> = BTreeMap::new();
    while run.is_dir() {
        let mut sources = vec![PollFd::new(inotify, PollFlags::IN)];
        sources.extend(alive.values().map(|process| PollFd::new(process, PollFlags::IN)));
        // So often it looks whether the app is still there.
        let second = Duration::from_secs(1).try_into().unwrap();
        if poll(&mut sources, Some(&second)).is_err() {
            continue;
        }
        let now = Moment::now();
        let ended: Vec<bool> = sources[1..].iter().map(|source| !source.revents().is_empty()).collect();
        drop(sources);
        let gone: Vec<String> =
            alive.keys().zip(ended).filter(|(_, ended)| *ended).map(|(id, _)| id.clone()).collect();
        for id in gone {
            alive.remove(&id);
            lock(seen).deaths.insert(id, now);
        }
        for event in inotify.read_events().unwrap_or_default() {
            let Some(link) = event.name.and_then(|name| name.into_string().ok()) else { continue };
            let Ok(target) = fs::read_link(run.join(&link)) else { continue };
            let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let id = name.split('.').nth(1).filter(|id| id.len() == 36).map(str::to_owned);
            if let Some(id) = id.clone().filter(|id| !alive.contains_key(id)) {
                alive.extend(pidfd(marks, &id).map(|process| (id, process)));
            }
            lock(seen).links.push((now, link, id));
        }
    }
}

fn pidfd(marks: &Path, id: &str) -> Option<OwnedFd> {
    let text = fs::read_to_string(marks.join(format!("{id}.worker"))).ok()?;
    let pid = text.split(' ').nth(1)?.trim().parse().ok().and_then(Pid::from_raw)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}
