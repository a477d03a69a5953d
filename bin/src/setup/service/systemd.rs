//! A unit of systemd (`systemd.service(5)`, `systemd.syntax(7)`).

use super::Service;

pub(super) fn unit(service: &Service) -> String {
    let Service { name, cwd, user, stop, .. } = service;
    let user = user.as_ref().map_or_else(String::new, |user| format!("User={}\n", percent(user)));
    let environment: String = service
        .environment()
        .iter()
        .map(|(name, value)| format!("Environment={}\n", word(&format!("{name}={value}"))))
        .collect();
    let command = |words: &[String]| words.iter().map(|word| argument(word)).collect::<Vec<_>>().join(" ");
    let start = command(&service.daemon());
    let program = service.program.display().to_string();
    let reload = command(&[program, "reload".into(), "-i".into(), service.ipc.display().to_string()]);
    format!(
        "# Made by `nodesockd service systemd`: /etc/systemd/system/{name}.service

[Unit]
Description={name}, served by nodesockd
After=network.target
StartLimitIntervalSec=0

[Service]
# Started when every slot is served; told what the daemon does since.
Type=notify
{user}WorkingDirectory={cwd}
{environment}ExecStart={start}
# Fails, with the reasons, if the configuration is invalid.
ExecReload={reload}
# SIGTERM is for the daemon, which retires its workers; those of a daemon that died serve until the next one has them.
KillMode=process
TimeoutStopSec={stop}
Restart=always
RestartSec=1
# A daemon that hangs is replaced. Its workers serve meanwhile.
WatchdogSec=60
# A worker that the kernel kills for want of memory is the daemon's business.
OOMPolicy=continue
SyslogIdentifier={name}

[Install]
WantedBy=multi-user.target
",
        cwd = percent(&cwd.display().to_string()),
        stop = stop.as_secs().saturating_add(u64::from(stop.subsec_nanos() > 0)),
    )
}

/// Text in which systemd looks for specifiers.
fn percent(text: &str) -> String {
    text.replace('%', "%%")
}

/// One of several words.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/.,:=_@+-%".contains(c);
    let text = percent(text);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A word of a command, in which variables are expanded, too.
fn argument(text: &str) -> String {
    word(text).replace('$', "$$")
}
