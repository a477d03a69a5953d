//! The configurations of the daemon.

use std::num::NonZeroU32;

use nodesockd_core::config;
use nodesockd_core::config::Config;

use crate::input::Input;

/// Few, or too many to be accepted: what is in between costs time and shows nothing new.
pub(super) fn few(count: u32) -> u32 {
    if count > config::MAX_WORKERS { count } else { count % 5 }
}

/// One of the configurations that a reload can come across.
pub(super) fn configuration(input: &mut Input<'_>) -> Config {
    let tree = "tmpDir = '/run/app'\nscript = 'server.js'";
    let mut config = crate::config::of_toml(tree);
    config.workers = NonZeroU32::new(1 + u32::from(input.byte() % 3)).unwrap_or(NonZeroU32::MIN);
    config.standby = u32::from(input.byte() % 3);
    if input.rarely(4) {
        config.env.pass.push("A".into());
    }
    if input.rarely(8) {
        config.dev_server = Some(8000.into());
    }
    if input.rarely(16) {
        config.tmp_dir.push("elsewhere");
        config.socket_dir.push("elsewhere");
    }
    config.options.max_start_attempts =
        NonZeroU32::new(1 + u32::from(input.byte() % 3)).unwrap_or(NonZeroU32::MIN);
    config
}
