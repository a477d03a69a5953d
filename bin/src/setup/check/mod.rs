//! `check`: would a daemon run here? Looks at the configuration and its surroundings, changes nothing.

mod descriptors;
pub(crate) mod folder;
pub(crate) mod former;
pub(crate) mod kernel;
pub(crate) mod library;
pub(crate) mod output;
pub(crate) mod program;
pub(crate) mod socket;
pub(crate) mod words;
pub(crate) mod wrapper;

use std::path::Path;

use nodesockd_core::config::Config;
use nodesockd_os::accounts::Account;
use nodesockd_os::rights::{Right, reaches};
use rustix::fs::{Access, access};
use serde::Serialize;

use crate::cli::CheckArgs;
use crate::configuration;
use crate::exit::{Exit, Failure};
use crate::out::Console;
use crate::render;
use crate::setup::doctor::leftovers;
use crate::setup::report;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it is.
    pub verdict: Verdict,
    /// What was found, in one sentence.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// A daemon would run, but a person should know.
    Warning,
    /// A daemon would not run, or its workers would not start.
    Bad,
}

impl Finding {
    pub(crate) fn good(message: impl Into<String>) -> Self {
        Self { verdict: Verdict::Good, message: message.into(), help: None }
    }

    pub(crate) fn warning(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warning, message: message.into(), help: Some(help.into()) }
    }

    pub(crate) fn bad(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { verdict: Verdict::Bad, message: message.into(), help: Some(help.into()) }
    }
}

/// Looks at everything and prints what it finds: exit code 0, or 3 if a daemon would not run.
///
/// # Errors
///
/// Exit code 1: there is no working directory, or the output cannot be written.
pub async fn run(args: &CheckArgs, console: &mut Console) -> Result<Exit, Failure> {
    report(&findings(args).await?, args.json, console)
}

/// Prints findings: exit code 0, or 3 if one of them is bad.
///
/// # Errors
///
/// Exit code 1: the output cannot be written.
pub(crate) fn report(findings: &[Finding], json: bool, console: &mut Console) -> Result<Exit, Failure> {
    if json {
        console.out.line(&render::json_line(&serde_json::json!({ "findings": findings }).to_string()))?;
    } else {
        console.out.text(&report::check(findings, console.out.style()))?;
    }
    let bad = findings.iter().any(|finding| finding.verdict == Verdict::Bad);
    Ok(if bad { Exit::InvalidConfig } else { Exit::Done })
}

async fn findings(args: &CheckArgs) -> Result<Vec<Finding>, Failure> {
    let around = configuration::surroundings()?;
    let config = match configuration::read(args.config.as_deref(), &around) {
        Ok(config) => config,
        Err(problems) => return Ok(problems.iter().map(problem).collect()),
    };
    let account = Account::current();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let runner = program::Runner { account: &account, path: &path, cwd: &config.cwd };
    let mut findings = vec![valid(&config)];
    findings.extend(program::look(&config.program, &runner).await);
    findings.extend(wrapper::look(&config));
    findings.extend(words::look(&config));
    findings.extend(library::look(&config));
    findings.extend(output::look(&config, &account));
    findings.extend(folder::look(&config, &account));
    findings.extend(leftovers::in_the_way(&config));
    findings.extend(socket::look(&config).await);
    findings.push(descriptors::look(&config));
    findings.extend(kernel::look());
    findings.extend(former::look(&config).await);
    Ok(findings)
}

/// What keeps workers from starting, or from reporting that they are ready, as far as a glance shows.
pub(crate) fn obstacles(config: &Config) -> Vec<Finding> {
    let account = Account::current();
    let mut findings: Vec<Finding> = program::script(&config.program, &account).into_iter().collect();
    findings.extend(library::installed(config));
    findings.extend(output::look(config, &account));
    findings.extend(kernel::look());
    findings.retain(|finding| finding.verdict != Verdict::Good);
    findings
}

/// That the configuration is valid, and which files it came from.
pub(crate) fn valid(config: &Config) -> Finding {
    let files: Vec<String> = config.files.iter().map(|file| render::path(file)).collect();
    Finding::good(format!("the configuration is valid: {}", files.join(", ")))
}

/// Whether `account` has a right to a file: the kernel says so of ourselves, of others it is worked out.
pub(crate) fn may(account: &Account, path: &Path, right: Right) -> bool {
    if account.uid != rustix::process::geteuid().as_raw() {
        return reaches(account, path, right).is_ok();
    }
    let asked = match right {
        Right::Read => Access::READ_OK,
        Right::Write => Access::WRITE_OK,
        Right::Execute => Access::EXEC_OK,
    };
    access(path, asked).is_ok()
}

/// A problem with its place; its help is part of its text.
pub(crate) fn problem(problem: &nodesockd_core::config::Problem) -> Finding {
    let text = problem.render();
    let message = text.trim_end().trim_start_matches("error: ").to_owned();
    Finding { verdict: Verdict::Bad, message, help: None }
}
