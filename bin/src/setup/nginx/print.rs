//! The configuration of nginx that fits a daemon's.

use std::fmt::Write;
use std::path::Path;

use nodesockd_core::config::Config;

use crate::cli::FrontArgs;
use crate::setup::plain;
use crate::setup::proxy::fastcgi::Script;
use crate::setup::proxy::site::Site;

/// The blocks for `http`: one group of servers, one server that passes requests to it.
#[must_use]
pub fn print(config: &Config, args: &FrontArgs) -> String {
    let site = Site::new(config, args);
    let name = &site.name;
    let connection = format!("${}_connection", plain::name(&config.name, '_').replace(['-', '.'], "_"));
    let mut text =
        format!("# Made by `nodesockd nginx`, for the `http` block: /etc/nginx/conf.d/{name}.conf, say.\n\n");
    if site.fastcgi.is_none() {
        text.push_str(&upgraded(&site, &connection));
    }
    text.push_str(&upstream(&site));
    text.push_str("\nserver {\n");
    let everywhere = ["80".to_owned(), "[::]:80".to_owned()];
    let listen = if site.listen.is_empty() { &everywhere[..] } else { &site.listen };
    for address in listen {
        let _ = writeln!(text, "  listen {};", quoted(address));
    }
    if let Some(name) = &site.server_name {
        let _ = writeln!(text, "  server_name {};", quoted(name));
    }
    let (pass, timeout) = match &site.fastcgi {
        Some(script) => (fastcgi(name, script), "fastcgi_read_timeout"),
        None => (http(name, &connection), "proxy_read_timeout"),
    };
    let _ = write!(
        text,
        "\n  location / {{\n{pass}    \
         # How long requests wait while the app is suspended: raise it if migrations take longer.\n    \
         {timeout} 60s;\n  }}\n}}\n"
    );
    text
}

/// What `Connection` says to a worker.
fn upgraded(site: &Site, connection: &str) -> String {
    // Workers that are told by SIGTERM close what nginx keeps, maybe while it sends a request.
    let (others, value) = if site.keeps.is_some() {
        ("others are kept for the next request.", "\"\"")
    } else {
        (
            "others end with their request. A worker\n# that is told to end by SIGTERM closes kept ones, maybe while nginx sends \
             a request: do not\n# add `keepalive`.",
            "close",
        )
    };
    format!(
        "# WebSockets get their connection upgraded; {others}\n\
         map $http_upgrade {connection} {{\n  default upgrade;\n  \"\" {value};\n}}\n\n"
    )
}

fn upstream(site: &Site) -> String {
    let mut text = format!(
        "upstream {} {{\n  # One server for each slot: as many as `{}` says. max_fails=0, because after a\n  \
         # failure another worker has the slot.\n",
        site.name, site.slots_key
    );
    for link in &site.links {
        let _ = writeln!(text, "  {}", server(link));
    }
    if let Some(idle) = site.keeps {
        let kept = site.links.len().saturating_mul(2).max(16);
        let _ = write!(
            text,
            "  keepalive {kept};\n  # Less than `options.shutdownTimeout`, so that a retiring worker need not wait.\n  \
             keepalive_timeout {}s;\n",
            idle.as_secs()
        );
    }
    text.push_str("}\n");
    text
}

fn http(upstream: &str, connection: &str) -> String {
    format!(
        "    proxy_pass http://{upstream};\n    proxy_http_version 1.1;\n    \
         proxy_set_header Connection {connection};\n    proxy_set_header Upgrade $http_upgrade;\n    \
         proxy_set_header Host $host;\n    # As this nginx is the first one; behind another, pass on what that has said.\n    \
         proxy_set_header X-Forwarded-For $remote_addr;\n    proxy_set_header X-Forwarded-Host $host;\n    \
         proxy_set_header X-Forwarded-Proto $scheme;\n"
    )
}

/// A connection ends with its request, as `fastcgi_keep_conn` is off unless set.
fn fastcgi(upstream: &str, Script { file, folder, name }: &Script) -> String {
    format!(
        "    fastcgi_pass {upstream};\n    include /etc/nginx/fastcgi_params;\n    \
         fastcgi_param SCRIPT_FILENAME {file};\n    fastcgi_param SCRIPT_NAME {name};\n    \
         fastcgi_param DOCUMENT_ROOT {folder};\n"
    )
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
