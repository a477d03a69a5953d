//! What a front has to be told about an app.

use std::path::PathBuf;
use std::time::Duration;

use nodesockd_core::config::{Config, Ready};
use nodesockd_core::id::SlotIndex;

use super::fastcgi::Script;
use crate::cli::FrontArgs;
use crate::exit::{Exit, Failure};
use crate::render;
use crate::setup::plain;

/// How long a front keeps an idle connection to a worker, unless that is too long for one that retires.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// An app behind a front.
#[derive(Debug)]
pub(crate) struct Site {
    /// The app's name, plain enough for every front.
    pub(crate) name: String,
    /// The links of all slots.
    pub(crate) links: Vec<PathBuf>,
    /// Which key says how many there are.
    pub(crate) slots_key: &'static str,
    /// How long an idle connection to a worker may be kept; not at all where workers are told to end by SIGTERM: they
    /// close kept connections, maybe while the front sends a request.
    pub(crate) keeps: Option<Duration>,
    /// The name under which the app is reached.
    pub(crate) server_name: Option<String>,
    /// Where the front listens, as it spells it.
    pub(crate) listen: Vec<String>,
    /// The script, if workers speak `FastCGI`.
    pub(crate) fastcgi: Option<Script>,
}

impl Site {
    /// An app with this configuration.
    pub(crate) fn new(config: &Config, args: &FrontArgs) -> Self {
        let link = |slot| config.socket_dir.join(config.socket_file.link(SlotIndex(slot)));
        Self {
            name: plain::name(&config.name, '-'),
            links: (0..config.links().get()).map(link).collect(),
            slots_key: config.links_key(),
            keeps: keeps(config).filter(|_| args.fastcgi.is_none()),
            server_name: args.server_name.clone(),
            listen: args.listen.clone(),
            fastcgi: args.fastcgi.clone(),
        }
    }

    /// The links as text, if none has a character that `front` takes for its own.
    pub(super) fn plain_links(&self, front: &str, special: &[char]) -> Result<Vec<String>, Failure> {
        let plain = |link: &PathBuf| {
            let text =
                link.to_str().filter(|text| !text.contains(special) && !text.contains(char::is_control));
            text.map(str::to_owned).ok_or_else(|| {
                let message = format!(
                    "{front} cannot be told of {}: its configuration gives characters of it a meaning",
                    render::path(link)
                );
                Failure::new(Exit::InvalidConfig, message)
                    .help("give `tmpDir` a path of letters, digits, dots and hyphens")
            })
        };
        self.links.iter().map(plain).collect()
    }
}

/// How long a front may keep an idle connection to a worker that speaks HTTP, if it may at all.
fn keeps(config: &Config) -> Option<Duration> {
    let idle = KEEPALIVE_TIMEOUT.min(config.options.shutdown_timeout / 2).max(Duration::from_secs(1));
    (config.options.ready == Ready::Report).then(|| Duration::from_secs(idle.as_secs()))
}
