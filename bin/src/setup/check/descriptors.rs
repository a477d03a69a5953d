//! Open descriptors: may a daemon have as many as the configuration needs?

use nodesockd_core::config::{Config, Listen, Output, Ready};

use super::Finding;

/// Files, sockets and timers of the daemon itself, and as many clients as it serves at once.
const OWN: u64 = 64 + 256;

/// A worker's channel, its process, and one to spare for the moment in which it is started.
const EACH: u64 = 3;

/// Whether the limit of this process, as far as it can be raised, is enough.
pub(super) fn look(config: &Config) -> Finding {
    judge(needed(config), nodesockd_os::descriptor_limit())
}

/// How many descriptors the daemon needs while it restarts all workers: then there are two sets of them.
fn needed(config: &Config) -> u64 {
    let slots = u64::from(config.workers.get());
    let workers = 2 * (slots + u64::from(config.standby));
    let notices = if config.options.ready == Ready::Notify { workers } else { 0 };
    let sockets = if config.options.listen == Listen::Daemon { 2 * slots } else { 0 };
    let pipes = if let Output::File(_) = config.options.stderr { 0 } else { workers };
    OWN + EACH * workers + notices + sockets + pipes
}

fn judge(needed: u64, limit: Option<u64>) -> Finding {
    let Some(limit) = limit.filter(|limit| *limit < u64::MAX) else {
        return Finding::good(format!(
            "the daemon needs up to {needed} open descriptors, and may have any number"
        ));
    };
    if needed <= limit {
        return Finding::good(format!(
            "the daemon needs up to {needed} open descriptors, of {limit} that it may have"
        ));
    }
    Finding::bad(
        format!(
            "the daemon needs up to {needed} open descriptors, and may have {limit} only: starts of workers will fail"
        ),
        format!("raise the hard limit to {needed} at least: `LimitNOFILE=` in the unit, `ulimit -Hn`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::check::Verdict::{Bad, Good};

    #[test]
    fn too_low_a_limit_is_found() {
        assert_eq!(judge(1000, Some(999)).verdict, Bad);
        assert_eq!(judge(1000, Some(1000)).verdict, Good);
        assert_eq!(judge(1000, None).verdict, Good);
    }
}
