//! The daemon's title: what `ps` and `pgrep -f` show in the place of its command line.
//!
//! Two ways lead there. Overwriting the arguments where the kernel has put them destroys what an upgrade starts the next
//! program with, and has only as much room as they had. So the kernel is told to look elsewhere, in memory of our own.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use nix::libc;

/// Bytes of a title. The rest of one that is longer is not shown.
const ROOM: usize = 256;

/// What the kernel shows: a title, and nothing but zeros after it, the last of which is never overwritten. On the heap,
/// because the kernel shows nothing that lies in a mapping of a file, as static variables do.
static TITLE: OnceLock<Box<[AtomicU8; ROOM]>> = OnceLock::new();

/// `PR_SET_MM_MAP`: replaces all that [`Map`] holds at once.
const MAP: u8 = 14;

/// `struct prctl_mm_map` of linux/prctl.h.
#[repr(C)]
struct Map {
    code: [u64; 2],
    data: [u64; 2],
    brk: [u64; 2],
    start_stack: u64,
    arguments: [u64; 2],
    environment: [u64; 2],
    /// The auxiliary vector stays what it is.
    auxv: u64,
    auxv_size: u32,
    /// The program stays what it is.
    exe_fd: u32,
}

/// Shows `title` from now on. Where the kernel has no way to do that (it was built without `CONFIG_CHECKPOINT_RESTORE`), or
/// shows us no `/proc`, the command line stays what it is.
///
/// The first call has to come while there is one thread.
pub fn set_title(title: &str) {
    let room = TITLE.get_or_init(|| {
        let room = Box::new([const { AtomicU8::new(0) }; ROOM]);
        if show(&room).is_none() {
            tracing::debug!("the kernel does not let the command line be replaced by a title");
        }
        room
    });
    let title = title.bytes().filter(|byte| *byte != 0).chain(std::iter::repeat(0));
    room[..ROOM - 1].iter().zip(title).for_each(|(place, byte)| place.store(byte, Ordering::Relaxed));
}

/// Tells the kernel to show what is in `room`, which is never freed; all else in the map stays as it is.
#[expect(unsafe_code, reason = "prctl(2) has no safe form for this")]
fn show(room: &[AtomicU8; ROOM]) -> Option<()> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    // proc(5) counts from 1 and begins with the pid and the name.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    // SAFETY: an increment of 0 changes nothing.
    let end_of_heap = unsafe { libc::sbrk(0) };
    let title = room.as_ptr().addr() as u64;
    let map = Map {
        code: [field(26)?, field(27)?],
        data: [field(45)?, field(46)?],
        brk: [field(47)?, end_of_heap.addr() as u64],
        start_stack: field(28)?,
        arguments: [title, title + ROOM as u64],
        environment: [field(50)?, field(51)?],
        auxv: 0,
        auxv_size: 0,
        exe_fd: u32::MAX,
    };
    // SAFETY: the kernel reads the map, whose size is given, and keeps what is in it for its own reports only. The heap
    // keeps its bounds, because no other thread moves them meanwhile.
    let done = unsafe {
        libc::prctl(
            libc::PR_SET_MM,
            libc::c_ulong::from(MAP),
            &raw const map,
            size_of::<Map>(),
            0 as libc::c_ulong,
        )
    };
    (done == 0).then_some(())
}
