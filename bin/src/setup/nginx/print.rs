//! The configuration of nginx that fits a daemon's.

use std::fmt::Write;
use std::path::Path;

use nodesockd_core::config::Config;
use nodesockd_core::id::SlotIndex;

use crate::cli::FrontArgs;
use crate::setup::plain;
use crate::setup::proxy::site::keeps;

/// The blocks for `http`: one group of servers, one server that passes requests to it.
#[must_use]
pub fn print(config: &Config, args: &FrontArgs) -> String {
    let upstream = plain::name(&config.name, '-');
    let connection = format!("${}_connection", plain::name(&config.name, '_').replace(['-', '.'], "_"));
    let slots = config.links().get();
    // Workers that are told by SIGTERM close what nginx keeps, maybe while it sends a request.
    let keeps = keeps(config);
    let key = config.links_key();
    let kept = slots.saturating_mul(2).max(16);
    let mut text = format!(
        "# Made by `nodesockd nginx`, for the `http` block: /etc/nginx/conf.d/{upstream}.conf, say.\n\n"
    );
    let (others, value) = if keeps.is_some() {
        ("others are kept for the next request.", "\"\"")
    } else {
        (
            "others end with their request. A worker\n# that is told to end by SIGTERM closes kept ones, maybe while nginx sends \
             a request: do not\n# add `keepalive`.",
            "close",
        )
    };
    let _ = write!(
        text,
        "# WebSockets get their connection upgraded; {others}\n\
         map $http_upgrade {connection} {{\n  default upgrade;\n  \"\" {value};\n}}\n\n\
         upstream {upstream} {{\n  # One server for each slot: as many as `{key}` says. max_fails=0, because after a\n  \
         # failure another worker has the slot.\n"
    );
    for slot in 0..slots {
        let _ =
            writeln!(text, "  {}", server(&config.socket_dir.join(config.socket_file.link(SlotIndex(slot)))));
    }
    if let Some(idle) = keeps {
        let _ = write!(
            text,
            "  keepalive {kept};\n  # Less than `options.shutdownTimeout`, so that a retiring worker need not wait.\n  \
             keepalive_timeout {}s;\n",
            idle.as_secs()
        );
    }
    text.push_str("}\n\nserver {\n");
    let everywhere = ["80".to_owned(), "[::]:80".to_owned()];
    let listen = if args.listen.is_empty() { &everywhere[..] } else { &args.listen };
    for address in listen {
        let _ = writeln!(text, "  listen {};", quoted(address));
    }
    if let Some(name) = &args.server_name {
        let _ = writeln!(text, "  server_name {};", quoted(name));
    }
    let _ = write!(
        text,
        "\n  location / {{\n    proxy_pass http://{upstream};\n    proxy_http_version 1.1;\n    \
         proxy_set_header Connection {connection};\n    proxy_set_header Upgrade $http_upgrade;\n    \
         proxy_set_header Host $host;\n    # As this nginx is the first one; behind another, pass on what that has said.\n    \
         proxy_set_header X-Forwarded-For $remote_addr;\n    proxy_set_header X-Forwarded-Host $host;\n    \
         proxy_set_header X-Forwarded-Proto $scheme;\n    \
         # How long requests wait while the app is suspended: raise it if migrations take longer.\n    \
         proxy_read_timeout 60s;\n  }}\n}}\n"
    );
    text
}

/// The line for a slot's link.
pub(in crate::setup) fn server(link: &Path) -> String {
    format!("server {} max_fails=0;", quoted(&format!("unix:{}", link.display())))
}

/// A word, in quotes where nginx would split it.
fn quoted(word: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !matches!(c, ';' | '{' | '}' | '"' | '\'' | '\\' | '$' | '#');
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_nginx_would_split() {
        assert_eq!(
            server(Path::new("/run/shop/app.0.sock")),
            "server unix:/run/shop/app.0.sock max_fails=0;"
        );
        assert_eq!(server(Path::new("/a b/c\"d")), "server \"unix:/a b/c\\\"d\" max_fails=0;");
    }
}
