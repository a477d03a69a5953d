//! `health`: what is valid.

use std::time::Duration;

use super::layer::HealthLayer;
use super::problem::Problem;
use super::request_path::request_path;
use super::section::{Given, Report, Set};
use super::{Health, Listen};

/// What the files say, if nothing is wrong with it; reports what is.
pub(super) fn build(layer: HealthLayer, listen: Listen, report: &mut Report) -> Option<Health> {
    let HealthLayer { hang_timeout, path, interval, timeout, failures } = layer;
    // Shorter than this, a worker that only collects garbage would count as hung.
    let why = "collecting garbage alone may take longer; 0 turns it off";
    off_or_a_second("health.hangTimeout", &hang_timeout, why, report);
    let why = "more often than that, the checks would be a load of their own";
    at_least(100, "`health.interval` must be", &interval, why, report);
    let why = "leave out `health.path` to have no checks";
    at_least(1, "`health.timeout` must be", &timeout, why, report);
    let path = match path {
        Given::Unset => None,
        Given::Bad => return None,
        Given::Set(set) => Some(own_path(set, listen, report)?),
    };
    Some(Health {
        hang_timeout: hang_timeout.value(),
        path,
        interval: interval.value()?,
        timeout: timeout.value()?,
        failures: failures.value()?,
    })
}

/// Reports a time that is neither 0, which turns off what `key` is for, nor at least a second.
pub(super) fn off_or_a_second(key: &str, given: &Given<Duration>, why: &str, report: &mut Report) {
    let off = matches!(given, Given::Set(Set { value, .. }) if value.is_zero());
    if !off {
        at_least(1000, &format!("`{key}` must be 0 or"), given, why, report);
    }
}

/// Reports a time that is shorter than it has to be; `must` begins the message.
fn at_least(ms: u64, must: &str, given: &Given<Duration>, why: &str, report: &mut Report) {
    if let Given::Set(Set { value, place }) = given
        && *value < Duration::from_millis(ms)
    {
        report.problems.push(Problem {
            place: place.clone(),
            message: format!("{must} at least {ms}"),
            help: Some(why.to_owned()),
        });
    }
}

/// What answers on a socket that workers share says nothing about one of them.
fn own_path(set: Set<String>, listen: Listen, report: &mut Report) -> Option<String> {
    if listen == Listen::Worker {
        return request_path("health.path", set, report);
    }
    report.problems.push(Problem {
        place: set.place,
        message: "`health.path` cannot be checked with `options.listen = \"daemon\"`: any worker of the slot may answer"
            .to_owned(),
        help: Some("leave it out; `health.hangTimeout` works".to_owned()),
    });
    None
}
