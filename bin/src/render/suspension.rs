//! What a suspension is said to be: whose, since when, and what waits for its end.

use std::time::Duration;

use super::{sentence, span};
use crate::view::{StatusView, SuspensionView};

/// What to say after `the app`: `has been suspended for 10 min by process 4711 of user 0: …; 12 requests wait`. `None` if the app
/// is not suspended.
#[must_use]
pub fn suspension(view: &StatusView, now: u64) -> Option<String> {
    if !view.suspended {
        return None;
    }
    let Some(SuspensionView { since_ts, by, waiting, full, ends_ts, then }) = &view.suspension else {
        return Some("is suspended".to_owned());
    };
    let lasting = span(Duration::from_millis(now.saturating_sub(*since_ts)));
    let mut words = format!("has been suspended for {lasting}");
    if let Some(by) = by {
        words.push_str(&format!(" by {}", sentence(&by.to_string())));
    }
    match waiting {
        0 => {}
        1 => words.push_str("; 1 request waits"),
        count => words.push_str(&format!("; {count} requests wait")),
    }
    for slot in full {
        words.push_str(&format!(
            "; the accept queue of slot {slot} is full, further requests get 502 (net.core.somaxconn)"
        ));
    }
    if let (Some(at), Some(then)) = (ends_ts, then) {
        let left = span(Duration::from_millis(at.saturating_sub(now)));
        words.push_str(&format!("; if nobody ends that, {then} in {left}"));
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    fn words(suspension: serde_json::Value) -> Option<String> {
        let mut status = serde_json::json!({
            "version": "3.0.0", "pid": 1, "startTs": 0, "workers": [], "suspended": true,
        });
        status["suspension"] = suspension;
        super::suspension(&serde_json::from_value(status).unwrap(), 600_000)
    }

    #[test]
    fn suspension_is_told_as_far_as_it_is_known() {
        assert_eq!(words(serde_json::Value::Null).as_deref(), Some("is suspended"));
        let nobody = serde_json::json!({ "sinceTs": 0, "waiting": 0 });
        assert_eq!(words(nobody).as_deref(), Some("has been suspended for 10 min"));
        let by = serde_json::json!({ "pid": 7, "uid": 0, "command": "nodesockd restart -s" });
        let many = serde_json::json!({ "sinceTs": 0, "by": by, "waiting": 4097, "full": [0] });
        let told = "has been suspended for 10 min by process 7 of user 0: `nodesockd restart -s`; 4097 requests \
                    wait; the accept queue of slot 0 is full, further requests get 502 (net.core.somaxconn)";
        assert_eq!(words(many).as_deref(), Some(told));
        let ends = serde_json::json!({ "sinceTs": 0, "waiting": 0, "endsTs": 660_000, "then": "rollback" });
        let told =
            "has been suspended for 10 min; if nobody ends that, the old release is started again in 1 min";
        assert_eq!(words(ends).as_deref(), Some(told));
    }
}
