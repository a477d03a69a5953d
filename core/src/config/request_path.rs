//! Paths as they can stand in a request line (RFC 9112, section 3.2.1).

use super::problem::Problem;
use super::section::{Report, Set};

/// Whether a text can stand there: it starts with `/` and has no spaces or other characters than those of a URL.
#[must_use]
pub fn is_request_path(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The path that `key` says, if it is one.
pub(super) fn request_path(key: &str, set: Set<String>, report: &mut Report) -> Option<String> {
    if is_request_path(&set.value) {
        return Some(set.value);
    }
    report.problems.push(Problem {
        place: set.place,
        message: format!(
            "`{key}` must start with `/` and have no spaces or other characters than those of a URL"
        ),
        help: Some("for example \"/healthy\"; write anything else as %20 and the like".to_owned()),
    });
    None
}
