//! Arguments of the commands that help to set up: they need no daemon.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// For which shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write a page for each command into this folder, instead of the page about `nodesockd` to standard output
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
}
