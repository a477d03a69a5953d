//! Unpacks and packs `fuzz/corpus` for libFuzzer: see the library's documentation.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use nodesockd_fuzz::{ALL, corpus};

/// Where libFuzzer's own files are: a folder for each target.
const UNPACKED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/fuzz-corpus");

fn main() -> ExitCode {
    let work: fn(&Path, &str, &Path) -> io::Result<()> = match std::env::args().nth(1).as_deref() {
        Some("unpack") => corpus::unpack,
        Some("pack") => corpus::pack,
        _ => return refuse("say `unpack` or `pack`"),
    };
    for (target, _) in ALL {
        let folder = Path::new(UNPACKED).join(target);
        if let Err(error) = work(&corpus::folder(), target, &folder) {
            return refuse(&format!("{target}: {error}"));
        }
    }
    ExitCode::SUCCESS
}

#[expect(clippy::print_stderr, reason = "this is for a terminal")]
fn refuse(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}
