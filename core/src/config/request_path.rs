//! Paths as they can stand in a request line (RFC 9112, section 3.2.1).

use super::problem::Problem;
use super::section::{Report, Set};

/// The path that `key` says, if it is one.
pub(super) fn request_path(key: &str, set: Set<String>, report: &mut Report) -> Option<String> {
    let path = &set.value;
    if path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()) {
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
