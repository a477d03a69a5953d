//! What the daemon inherited from whoever started it.

use std::io;
use std::num::NonZeroU32;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, PathBuf};

use nix::libc;
use nodesockd_core::id::BootId;
use rustix::fs::Mode;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::handoff::handoff_file::is_handed_over;
use crate::processes::descriptors;
use crate::signals;

/// Makes the process a clean parent. To be called first in `main`, while there is one thread.
///
/// - Every inherited descriptor but the standard streams gets close-on-exec: a leaky parent's files are not the
///   workers' business.
/// - Signals that were ignored (`nohup`) or blocked are not any more: workers would inherit that, and a daemon with
///   SIGCHLD ignored learns no exit status. Those that an earlier program of this process has blocked, to hand them over,
///   stay so until there is a handler for them. SIGPIPE stays as Rust has it: ignored here, reset in children.
/// - The umask is 007: nginx reaches workers' sockets through their group.
/// - The limit of open descriptors is as high as it may be; workers get the one of before.
pub fn prepare() {
    keep_inherited_descriptors();
    reset_signals();
    rustix::process::umask(Mode::RWXO);
    descriptors::raise();
}

#[expect(unsafe_code, reason = "there is no safe way to name a descriptor that nobody owns")]
fn keep_inherited_descriptors() {
    let Ok(entries) = std::fs::read_dir("/dev/fd") else { return };
    let open: Vec<i32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    for fd in open {
        // SAFETY: the borrow ends with this statement. The number is that of an open descriptor, or of the directory
        // that was just read and closed; on that one fcntl(2) fails with EBADF and does nothing.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let _ = fcntl_setfd(fd, FdFlags::CLOEXEC);
    }
}

#[expect(unsafe_code, reason = "no library asks for a signal's disposition without changing it")]
fn reset_signals() {
    // Rust's runtime watches for stack overflows with SIGSEGV and SIGBUS; SIGKILL and SIGSTOP cannot be changed.
    let kept = [libc::SIGSEGV, libc::SIGBUS, libc::SIGKILL, libc::SIGSTOP, libc::SIGPIPE];
    for number in (1..=libc::SIGRTMAX()).filter(|number| !kept.contains(number)) {
        // SAFETY: an all-zero `sigaction` is a valid value of that C type; the first call writes the current one over
        // it, the second restores the default action, for which no handler has to exist.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            let known = libc::sigaction(number, std::ptr::null(), &raw mut action) == 0;
            if known && action.sa_sigaction == libc::SIG_IGN {
                libc::signal(number, libc::SIG_DFL);
            }
        }
    }
    if !is_handed_over() {
        signals::release();
    }
}

/// 128 random bits from the kernel.
#[must_use]
pub fn random_boot_id() -> BootId {
    let mut bytes = [0; 16];
    // Up to 256 bytes come at once; the only error is an interruption before the kernel has gathered enough entropy.
    while getrandom(&mut bytes, GetRandomFlags::empty()) != Ok(bytes.len()) {}
    BootId(u128::from_ne_bytes(bytes))
}

/// The working directory by its logical name: `$PWD`, when it is absolute, has no `.` or `..` in it and names the
/// directory we are in (POSIX, `pwd -L`); else the physical one.
///
/// # Errors
///
/// `getcwd(3)`: the directory is gone, or a folder above it cannot be read.
pub fn logical_cwd() -> io::Result<PathBuf> {
    let here = std::fs::metadata(".")?;
    std::env::var_os("PWD")
        .map(PathBuf::from)
        .filter(|pwd| pwd.is_absolute())
        .filter(|pwd| !pwd.components().any(|part| matches!(part, Component::ParentDir)))
        .filter(|pwd| {
            std::fs::metadata(pwd).is_ok_and(|there| (there.dev(), there.ino()) == (here.dev(), here.ino()))
        })
        .map_or_else(std::env::current_dir, Ok)
}

/// The CPUs this process may use, by affinity and cgroup quota.
#[must_use]
pub fn usable_cpus() -> NonZeroU32 {
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(count).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
}
