//! Inputs that are worth keeping, in `fuzz/corpus`.
//!
//! `fuzz/corpus/TARGET.txt` holds those that libFuzzer found, one a line, sorted, escaped as in a byte string of Rust
//! (`\n`, `\\`, `\xff`). Files in the folder `fuzz/corpus/TARGET` are inputs that a person wrote or that found a bug, each under
//! a name that says so. libFuzzer wants one file for each input: `cargo run -p nodesockd-fuzz -- unpack` makes them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// An input and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its file, and its line unless it is the whole file.
    pub place: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The folder `fuzz/corpus`.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus")
}

/// All inputs of a target: those of its file and those of its folder, either of which may be absent.
///
/// # Errors
///
/// A file that cannot be read, or a line that is not escaped as it has to be.
pub fn inputs(corpus: &Path, target: &str) -> io::Result<Vec<Input>> {
    let packed = packed_file(corpus, target);
    let mut inputs = Vec::new();
    for (number, line) in (1..).zip(text(&packed)?.lines()) {
        let place = format!("{}:{number}", packed.display());
        let bytes = unescape(line).ok_or_else(|| io::Error::other(format!("{place}: a bad escape")))?;
        inputs.push(Input { place, bytes });
    }
    for path in files(&corpus.join(target))? {
        inputs.push(Input { bytes: fs::read(&path)?, place: path.display().to_string() });
    }
    Ok(inputs)
}

/// Writes the packed inputs of a target into `folder`, a file for each.
///
/// # Errors
///
/// As those of [`inputs`], and a folder that cannot be written.
pub fn unpack(corpus: &Path, target: &str, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (number, line) in (1..).zip(text(&packed_file(corpus, target))?.lines()) {
        let bytes = unescape(line).ok_or_else(|| io::Error::other(format!("line {number}: a bad escape")))?;
        fs::write(folder.join(format!("packed-{number:04}")), bytes)?;
    }
    Ok(())
}

/// Makes the files in `folder` the packed inputs of a target, but for those that are in its folder in the corpus.
///
/// # Errors
///
/// A file that cannot be read or written.
pub fn pack(corpus: &Path, target: &str, folder: &Path) -> io::Result<()> {
    let named: BTreeSet<Vec<u8>> =
        files(&corpus.join(target))?.iter().map(fs::read).collect::<Result<_, _>>()?;
    let found: BTreeSet<Vec<u8>> = files(folder)?.iter().map(fs::read).collect::<Result<_, _>>()?;
    let lines: Vec<String> = found.difference(&named).map(|bytes| format!("{}\n", escape(bytes))).collect();
    fs::write(packed_file(corpus, target), lines.concat())
}

fn packed_file(corpus: &Path, target: &str) -> PathBuf {
    corpus.join(format!("{target}.txt"))
}

/// A file's text; empty if there is no such file.
fn text(path: &Path) -> io::Result<String> {
    let absent = |error: io::Error| {
        if error.kind() == io::ErrorKind::NotFound { Ok(String::new()) } else { Err(error) }
    };
    fs::read_to_string(path).or_else(absent)
}

/// The files in a folder, sorted; none if there is no such folder.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.sort();
    Ok(files)
}

fn escape(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn unescape(line: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next()? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            literal @ (b'\\' | b'\'' | b'"') => literal,
            _ => return None,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_bytes_come_back_in_one_line() {
        let all: Vec<u8> = (0..=255).collect();
        assert!(!escape(&all).contains(['\n', '\r']));
        assert_eq!(unescape(&escape(&all)), Some(all));
        for bad in ["\\", "\\q", "\\x1", "\\xgg"] {
            assert_eq!(unescape(bad), None, "{bad}");
        }
    }
}
