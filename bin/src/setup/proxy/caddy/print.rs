//! The site of a Caddyfile that fits a daemon's configuration.

use std::fmt::Write;
use std::path::Path;

use crate::exit::Failure;
use crate::setup::proxy::fastcgi::Script;
use crate::setup::proxy::site::Site;

/// Characters that a Caddyfile gives a meaning even within quotes: those of placeholders.
const SPECIAL: [char; 2] = ['{', '}'];

/// One site, with one upstream for each slot.
pub(in crate::setup::proxy) fn print(site: &Site) -> Result<String, Failure> {
    let address = site.server_name.as_deref().unwrap_or(":80");
    let mut text =
        format!("# Made by `nodesockd proxy caddy`: a site of the Caddyfile.\n\n{} {{\n", quoted(address));
    if !site.listen.is_empty() {
        let listen: Vec<String> = site.listen.iter().map(|address| quoted(address)).collect();
        let _ = writeln!(text, "  bind {}", listen.join(" "));
    }
    let _ = write!(
        text,
        "  reverse_proxy {{\n    # One upstream for each slot: as many as `{}` says.\n",
        site.slots_key
    );
    for link in site.plain_links("Caddy", &SPECIAL)? {
        let _ = writeln!(text, "    {}", upstream(Path::new(&link)));
    }
    text.push_str(
        "\n    # A connection that cannot be made is tried at the next slot; so is a GET that fails. A POST that was\n    \
         # sent is not sent again: leave `lb_retry_match` out. `fail_duration` as well: after a failure another\n    \
         # worker has the slot.\n    \
         lb_policy round_robin\n    lb_try_duration 5s\n    lb_try_interval 50ms\n\n",
    );
    text.push_str(&transport(site));
    text.push_str("  }\n}\n");
    Ok(text)
}

/// What is spoken, and whether a connection outlives its request.
fn transport(site: &Site) -> String {
    if let Some(Script { file, folder, name }) = &site.fastcgi {
        return format!(
            "    transport fastcgi {{\n      root {folder}\n      env SCRIPT_FILENAME {file}\n      env SCRIPT_NAME {name}\n      env PATH_INFO \"\"\n    }}\n"
        );
    }
    let keeps = match site.keeps {
        Some(idle) => format!(
            "      # Less than `options.shutdownTimeout`, so that a retiring worker need not wait.\n      keepalive {}s\n",
            idle.as_secs()
        ),
        None => "      # A worker that is told to end by SIGTERM closes kept connections, maybe while Caddy sends a request.\n      \
                 keepalive off\n"
            .to_owned(),
    };
    format!("    transport http {{\n{keeps}    }}\n")
}

/// The line for a slot's link.
pub(super) fn upstream(link: &Path) -> String {
    format!("to {}", quoted(&format!("unix/{}", link.display())))
}

/// A word, in quotes where Caddy would split it.
fn quoted(word: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '`' | '\\' | '#');
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}
