//! Completions and manual pages, as shells and `man` take them.

use std::path::Path;
use std::process::Command;

use nodesockd_tests::cli;

/// Runs a program on `folder`, which has to find nothing wrong.
fn content(folder: &Path, program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; `tests/run` installs it"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program}: {said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    said
}

fn nodesockd(folder: &Path, args: &[&str]) -> String {
    let output = cli::run(folder, args);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output}");
    output.stdout
}

#[test]
fn completions_load_in_every_shell() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = folder.path().join(shell);
        std::fs::write(&script, nodesockd(folder.path(), &["completions", shell])).unwrap();
        content(folder.path(), shell, &["-n", script.to_str().unwrap()]);
    }
}

#[test]
fn bash_completes_commands_and_options() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("completions"), nodesockd(folder.path(), &["completions", "bash"]))
        .unwrap();
    let complete = |words: &str| {
        let script = format!(
            "source completions; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _nodesockd nodesockd \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; printf '%s ' \"${{COMPREPLY[@]}}\""
        );
        content(folder.path(), "bash", &["--norc", "-c", &script])
    };
    assert_eq!(complete("nodesockd res"), "restart resume ");
    assert_eq!(complete("nodesockd restart --w"), "--wait ");
}

#[test]
fn every_command_has_a_valid_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    nodesockd(folder.path(), &["man", "."]);
    let pages: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|page| page.unwrap().path()).collect();
    for page in &pages {
        // Not what is a matter of style.
        content(folder.path(), "mandoc", &["-T", "lint", "-W", "error", page.to_str().unwrap()]);
    }
    let overview = nodesockd(folder.path(), &["man"]);
    assert!(overview.contains("Supervises web workers"), "{overview}");
    for page in pages.iter().map(|page| page.file_stem().unwrap().to_str().unwrap()) {
        let name = page.replace('-', "\\-");
        assert!(overview.contains(&name), "the overview does not name {page}: {overview}");
    }
}

#[test]
fn missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let output = cli::run(folder.path(), &["man", "missing"]);
    assert_eq!(output.code, 1, "{output}");
    assert!(output.stderr.contains("missing: No such file"), "{output}");
}
