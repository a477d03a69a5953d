//! The sections of HAProxy's configuration that fit a daemon's.

use std::fmt::Write;

use crate::exit::Failure;
use crate::setup::proxy::fastcgi::Script;
use crate::setup::proxy::site::Site;

/// One frontend, and one backend with a server for each slot; before them what `FastCGI` takes.
pub(in crate::setup::proxy) fn print(site: &Site) -> Result<String, Failure> {
    let links = site.plain_links("HAProxy", &[])?;
    let fastcgi = site.fastcgi.as_ref().map(|script| fcgi_app(&site.name, script)).unwrap_or_default();
    Ok(format!("{}{fastcgi}{}\n{}", head(site), frontend(site), backend(site, &links)))
}

fn head(site: &Site) -> String {
    let sections = if site.fastcgi.is_some() { "three" } else { "two" };
    format!(
        "# Made by `nodesockd proxy haproxy`: {sections} sections for /etc/haproxy/haproxy.cfg. HAProxy has to reach the sockets: leave\n\
         # `chroot` out of `global`, and let its `group` be that of `tmpDir`.\n\n"
    )
}

/// How a request becomes one of `FastCGI`.
fn fcgi_app(name: &str, Script { file, folder, name: script }: &Script) -> String {
    format!(
        "fcgi-app {name}\n  docroot {folder}\n  set-param SCRIPT_FILENAME {file}\n  set-param SCRIPT_NAME {script}\n  \
         pass-header Authorization\n  \
         # A process of php-fpm serves one connection at a time. While HAProxy keeps as many as there are processes, requests on\n  \
         # others wait for as long.\n  \
         no option keep-conn\n\n"
    )
}

fn frontend(site: &Site) -> String {
    let name = &site.name;
    let mut text = format!("frontend {name}\n  mode http\n");
    let everywhere = [":80".to_owned()];
    let listen = if site.listen.is_empty() { &everywhere[..] } else { &site.listen };
    for address in listen {
        let _ = writeln!(text, "  bind {address}");
    }
    text.push_str(
        "  timeout client 60s\n  \
         # As this HAProxy is the first one; behind another, pass on what that has said.\n  \
         http-request set-header X-Forwarded-For %[src]\n  \
         http-request set-header X-Forwarded-Host %[req.hdr(host)]\n  \
         http-request set-header X-Forwarded-Proto https if { ssl_fc }\n  \
         http-request set-header X-Forwarded-Proto http unless { ssl_fc }\n",
    );
    let _ = match &site.server_name {
        Some(host) => writeln!(text, "  use_backend {name} if {{ req.hdr(host),host_only -i {host} }}"),
        None => writeln!(text, "  default_backend {name}"),
    };
    text
}

fn backend(site: &Site, links: &[String]) -> String {
    let mut text = format!("backend {}\n  mode http\n  balance roundrobin\n", site.name);
    if site.fastcgi.is_some() {
        let _ = writeln!(text, "  use-fcgi-app {}", site.name);
    } else if site.keeps.is_none() {
        text.push_str(
            "  # A worker that is told to end by SIGTERM closes kept connections, maybe while HAProxy sends a request.\n  \
             option http-server-close\n",
        );
    }
    let _ = write!(
        text,
        "  # A connection that cannot be made is tried at the next slot; so is a GET that fails, but nothing else that was sent.\n  \
         retries 3\n  option redispatch 1\n  retry-on conn-failure empty-response\n  \
         http-request disable-l7-retry unless METH_GET\n  \
         timeout connect 5s\n  \
         # How long requests wait while the app is suspended: raise it if migrations take longer.\n  \
         timeout server 60s\n  \
         # WebSockets.\n  \
         timeout tunnel 1h\n  \
         # One server for each slot: as many as `{}` says. No `check`: after a failure another worker has the slot.\n",
        site.slots_key
    );
    let protocol = if site.fastcgi.is_some() { " proto fcgi" } else { "" };
    for (slot, link) in links.iter().enumerate() {
        let _ = writeln!(text, "  {}{protocol}", server(slot, link));
    }
    text
}

/// The line for a slot's link.
pub(super) fn server(slot: usize, link: &str) -> String {
    format!("server slot{slot} {}", escaped(&format!("unix@{link}")))
}

/// A word, with a backslash before what `HAProxy` would take for its own.
fn escaped(word: &str) -> String {
    word.replace('\\', "\\\\")
        .replace(' ', "\\ ")
        .replace('#', "\\#")
        .replace('"', "\\\"")
        .replace('\'', "\\'")
}
