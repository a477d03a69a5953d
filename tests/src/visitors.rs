//! Visits that go on beside the test, for an app that is asked in its own way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};

use crate::wait;

/// Some who visit again and again until they are told to leave, or one visit fails. Where requests are counted and told
/// apart, see [`Load`](crate::Load).
#[derive(Debug)]
pub struct Visitors {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    visits: AtomicU64,
}

impl Visitors {
    /// Sets so many of them going. A visit is told whose it is, and panics when it fails.
    #[must_use]
    pub fn start(count: u32, visit: impl Fn(u32) + Send + Sync + 'static) -> Self {
        let (shared, visit) = (Arc::<Shared>::default(), Arc::new(visit));
        let visitor = |index: u32| {
            let (shared, visit) = (Arc::clone(&shared), Arc::clone(&visit));
            thread::spawn(move || {
                while !shared.stop.load(Relaxed) {
                    visit(index);
                    shared.visits.fetch_add(1, Relaxed);
                }
            })
        };
        let threads = (0..count).map(visitor).collect();
        Self { shared, threads }
    }

    /// Waits until there have been more visits, none of which has failed.
    ///
    /// # Panics
    ///
    /// When one has.
    pub fn come(&self) {
        let before = self.shared.visits.load(Relaxed);
        wait::until("there are more visits", || {
            assert!(!self.threads.iter().any(JoinHandle::is_finished), "a visit has failed");
            self.shared.visits.load(Relaxed) > before
        });
    }

    /// Lets all of them finish their visits.
    ///
    /// # Panics
    ///
    /// When one has failed.
    pub fn leave(mut self) {
        self.shared.stop.store(true, Relaxed);
        for visitor in std::mem::take(&mut self.threads) {
            assert!(visitor.join().is_ok(), "a visit has failed");
        }
    }
}

/// Nobody waits for them when the test has failed.
impl Drop for Visitors {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
    }
}
