//! `completions`, `man`: what is generated from the definition of the command line.

use std::path::Path;

use clap::CommandFactory;

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::exit::{Exit, Failure};
use crate::out::Console;
use crate::render;

/// Prints a shell's completions.
///
/// # Errors
///
/// Exit code 1: the output cannot be written.
pub fn completions(args: &CompletionsArgs, console: &mut Console) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "nodesockd", &mut script);
    console.out.text(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

/// Prints the page about `nodesockd`, or writes all pages into a folder.
///
/// # Errors
///
/// Exit code 1: the folder or the output cannot be written.
pub fn man(args: &ManArgs, console: &mut Console) -> Result<Exit, Failure> {
    match &args.folder {
        Some(folder) => pages(folder),
        None => {
            let mut page = Vec::new();
            // `help` has no page of its own.
            let command = Cli::command().disable_help_subcommand(true);
            // A `Vec` takes everything.
            let _ = clap_mangen::Man::new(command).render(&mut page);
            console.out.text(&String::from_utf8_lossy(&page))?;
            Ok(Exit::Done)
        }
    }
}

fn pages(folder: &Path) -> Result<Exit, Failure> {
    clap_mangen::generate_to(Cli::command(), folder).map_err(|error| {
        let message = format!("cannot write manual pages into {}: {error}", render::path(folder));
        Failure::new(Exit::Unexpected, message).help("name a folder that exists and that you may write to")
    })?;
    Ok(Exit::Done)
}
