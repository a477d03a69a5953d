//! The text of a service, for each manager.

use std::fmt::Write;

use super::{Service, systemd};
use crate::cli::Manager;

/// The unit, section or script that runs the service.
#[must_use]
pub fn print(manager: Manager, service: &Service) -> String {
    match manager {
        Manager::Systemd => systemd::unit(service),
        Manager::Supervisord => section(service),
        Manager::Daemontools => script(manager, service, |user| format!("setuidgid {} ", shell(user))),
        // By itself it would leave the user's other groups out.
        Manager::Runit => script(manager, service, |user| {
            let user = shell(user);
            format!("chpst -u {user}:\"$(id -Gn {user} | tr ' ' :)\" ")
        }),
        Manager::S6 => script(manager, service, |user| format!("s6-setuidgid {} ", shell(user))),
    }
}

/// A `run` script of the managers that come after daemontools.
fn script(manager: Manager, service: &Service, switch_user: impl FnOnce(&str) -> String) -> String {
    let Service { name, cwd, user, .. } = service;
    let (folder, logger) = match manager {
        Manager::Runit => ("/etc/sv", format!("svlogd -tt /var/log/{name}")),
        Manager::S6 => ("/etc/s6", format!("s6-log -b n20 s1000000 T /var/log/{name}")),
        Manager::Daemontools | Manager::Systemd | Manager::Supervisord => {
            ("/etc/service", format!("multilog t n20 s1000000 /var/log/{name}"))
        }
    };
    let mut text = format!(
        "#!/bin/sh
# Made by `nodesockd service {manager}`: {folder}/{name}/run, executable. What it says goes to {folder}/{name}/log/run:
#   exec {logger}
exec 2>&1
cd {cwd} || exit 1
",
        manager = manager.name(),
        cwd = shell(&cwd.display().to_string()),
    );
    for (name, value) in service.environment_of_user() {
        let _ = writeln!(text, "export {name}={}", shell(&value));
    }
    let switch = user.as_deref().map(switch_user).unwrap_or_default();
    let command: Vec<String> = service.daemon().iter().map(|word| shell(word)).collect();
    let _ = write!(
        text,
        "# With exec: signals are for the daemon, not for a shell before it.\nexec {switch}{}\n",
        command.join(" ")
    );
    text
}

/// A word for the shell.
fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/.,:=_@%+-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A section of supervisord's configuration.
fn section(service: &Service) -> String {
    let Service { name, cwd, user, stop, .. } = service;
    let log = format!("/var/log/{name}");
    let command: Vec<String> = service.daemon().iter().map(|word| shell(word)).collect();
    let script = format!("exec >>{log}/{name}.log 2>&1; exec {}", command.join(" "));
    let variables = service.environment_of_user().into_iter().map(|(name, value)| {
        // Nothing is escaped within quotes.
        let quote = if value.contains('"') { '\'' } else { '"' };
        format!("{name}={quote}{value}{quote}")
    });
    let variables: Vec<String> = variables.collect();
    let owner = user.as_ref().map_or_else(String::new, |user| format!(" -o {user}"));
    let user = user.as_ref().map_or_else(String::new, |user| format!("user={user}\n"));
    format!(
        "; Made by `nodesockd service supervisord`: /etc/supervisor/conf.d/{name}.conf
; Beside it, a folder for the log:
;   install -d{owner} {log}

[program:{name}]
; Into a file, not by way of supervisord, whose pipe would end with the daemon, and workers with it that write to it.
command=/bin/sh -c {command}
directory={cwd}
environment={environment}
{user}autorestart=true
; Tried again for ever, each time a second later.
startretries=1000000
; The signal is for the daemon, which retires its workers; those of a daemon that died serve until the next one has them.
stopsignal=TERM
stopasgroup=false
killasgroup=false
stopwaitsecs={stop}
redirect_stderr=true
",
        command = expanded(&shell(&script)),
        cwd = expanded(&cwd.display().to_string()),
        environment = expanded(&variables.join(",")),
        stop = stop.as_secs().saturating_add(u64::from(stop.subsec_nanos() > 0)),
    )
}

/// Text in which supervisord looks for `%(…)s`.
fn expanded(text: &str) -> String {
    text.replace('%', "%%")
}
