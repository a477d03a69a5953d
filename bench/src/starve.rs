//! A machine that has too much to do.

use std::hint::spin_loop;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use nix::unistd::gettid;

/// A busy loop for each core, until it is dropped.
#[derive(Debug)]
pub struct Busy(Arc<AtomicBool>);

impl Busy {
    /// Starts them with this nice value.
    ///
    /// # Panics
    ///
    /// When `renice`, of util-linux, does not give it to them.
    #[must_use]
    pub fn start(nice: u8) -> Self {
        let stop = Arc::<AtomicBool>::default();
        for _ in 0..thread::available_parallelism().map_or(1, Into::into) {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                renice(nice);
                while !stop.load(Relaxed) {
                    spin_loop();
                }
            });
        }
        Self(stop)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Of this thread alone: on Linux each thread has a nice value of its own (`nice(2)`).
fn renice(nice: u8) {
    let thread = gettid().to_string();
    let mut command = Command::new("renice");
    command.args(["-n", &nice.to_string(), "-p", &thread]).stdout(Stdio::null());
    assert!(command.status().is_ok_and(|status| status.success()), "{command:?} fails");
}
