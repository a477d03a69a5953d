//! `init`: what an app needs to be run: a configuration, and a folder for sockets. Overwrites nothing.

mod app;
mod ask;
mod file;
mod folder;
mod recognise;
mod steps;

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::fs::fchown;
use std::path::{Path, PathBuf};

use nodesockd_core::config::{Config, file_names};
use nodesockd_os::accounts::Account;

pub(super) use self::recognise::behind;

use self::app::App;
use self::recognise::Files;
use self::steps::Caller;
use crate::cli::InitArgs;
use crate::configuration;
use crate::exit::{Exit, Failure};
use crate::out::Console;
use crate::render;
use crate::setup::check::{Finding, Verdict, program};
use crate::setup::doctor::reach;
use crate::setup::external;
use crate::setup::nginx::{self, Installed};
use crate::setup::plain;
use crate::setup::report;

/// Writes what is not there yet, and says what is left to do.
///
/// # Errors
///
/// Exit code 2 if there is no such user, 3 if there is a configuration already and it is invalid, 1 if something cannot be
/// read or written.
pub async fn run(args: &InitArgs, console: &mut Console) -> Result<Exit, Failure> {
    let around = configuration::surroundings()?;
    let mut app = App::of(&Files::in_folder(&around.cwd)?);
    let owner = folder::owner(&around.cwd);
    let user = args.user.as_deref().map_or_else(|| Ok(owner.clone()), existing)?;
    let mut findings = configuration_file(&mut app, &around.cwd, &owner, args)?;
    let config = configuration::read(None, &around).map_err(|problems| configuration::invalid(&problems))?;

    let installed = Installed::find().await;
    let known = nginx::installed().await.ok();
    let nginx = installed
        .as_ref()
        .and_then(|installed| reach::nginx_account(known.as_ref().map(|known| &known.site), Some(installed)));
    findings.push(folder::make(&config.tmp_dir, &user, nginx.as_ref()));
    ignore(&config, &user);
    findings.extend(what_is_wrong(&config, &user, nginx.as_ref()).await);

    let style = console.err.style();
    console.err.text(&report::check(&findings, style))?;
    console.err.text(&steps::text(&app, &config, &caller(&around.cwd, &user), style))?;
    Ok(Exit::Done)
}

/// The user of this name.
fn existing(name: &str) -> Result<Account, Failure> {
    Account::named(name).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("there is no user {name}"))
            .help(format!("`useradd --system {name}` makes one"))
    })
}

/// Writes the configuration, unless there is one. What is not clear is asked at a terminal.
fn configuration_file(
    app: &mut App,
    cwd: &Path,
    owner: &Account,
    args: &InitArgs,
) -> Result<Vec<Finding>, Failure> {
    if let Some(name) = file_names().find(|name| cwd.join(name).symlink_metadata().is_ok()) {
        return Ok(vec![Finding::good(format!("there is a configuration already: {name}"))]);
    }
    app.asked();
    let tmp_dir = args.tmp_dir.clone().unwrap_or_else(|| usual_folder(app));
    let name = "nodesockd.toml";
    create(&cwd.join(name), &file::text(app, &tmp_dir), owner).map_err(|error| {
        Failure::new(Exit::Unexpected, format!("cannot write {name}: {error}"))
            .help("run it as the user whom the app belongs to")
    })?;
    Ok(app.findings(name))
}

/// In the app's folder, or where root puts such things.
fn usual_folder(app: &App) -> PathBuf {
    if Account::current().is_root() {
        Path::new("/run").join(plain::name(&app.name, '-'))
    } else {
        "run".into()
    }
}

/// Keeps a folder for sockets that is inside of the app out of its repository.
fn ignore(config: &Config, owner: &Account) {
    if config.tmp_dir.starts_with(&config.cwd) && config.tmp_dir.is_dir() {
        // It is a courtesy: without it, git shows the daemon's lock file.
        let _ = create(&config.tmp_dir.join(".gitignore"), "*\n", owner);
    }
}

fn create(path: &Path, text: &str, owner: &Account) -> std::io::Result<()> {
    let mut file = std::fs::File::create_new(path)?;
    file.write_all(text.as_bytes())?;
    if Account::current().is_root() {
        fchown(&file, Some(owner.uid), Some(owner.gid))?;
    }
    Ok(())
}

/// What stands in the way of the next steps.
async fn what_is_wrong(config: &Config, user: &Account, nginx: Option<&Account>) -> Vec<Finding> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let runner = program::Runner { account: user, path: &path, cwd: &config.cwd };
    let mut findings = program::look(&config.program, &runner).await;
    if let Some(nginx) = nginx.filter(|_| config.tmp_dir.is_dir()) {
        findings.extend(reach::look(config, user, nginx));
    }
    findings.retain(|finding| finding.verdict != Verdict::Good);
    findings
}

/// How this command is called here, and by whom.
fn caller(cwd: &Path, user: &Account) -> Caller {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let local = "node_modules/.bin/nodesockd";
    let find = |name: &str, path: &OsStr| external::find(name, path, cwd, |_| true);
    let only_local = find("nodesockd", &path).is_none() && find(local, &path).is_some();
    let command = if only_local { local } else { "nodesockd" };
    let (us, name) = (Account::current(), render::word(&user.name));
    let become_user = if us.uid == user.uid { String::new() } else { format!("sudo -u {name} ") };
    Caller { command, user: name, become_user }
}
