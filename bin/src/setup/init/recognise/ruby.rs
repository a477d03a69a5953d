//! Ruby: Rack under puma, Rails included.

use super::files::Files;
use super::{Guesses, Puzzle, Recipe, Run, Way};

pub(super) fn look(files: &Files) -> Guesses {
    let gemfile = files.text("Gemfile");
    let gem = |name: &str| {
        let names = [format!("gem \"{name}\""), format!("gem '{name}'")];
        gemfile.lines().any(|line| names.iter().any(|name| line.trim_start().starts_with(name.as_str())))
    };
    let rails = gem("rails");
    if !files.has_file("config.ru") {
        let found = "Gemfile is there, but no config.ru";
        return if gemfile.is_empty() {
            Guesses::default()
        } else {
            Puzzle::new(found, "name the server as `command`").into()
        };
    }
    let kind = if rails { "Rails, by puma" } else { "Rack, by puma" };
    let words: &[&str] = if gemfile.is_empty() {
        &["puma", "--bind", "unix://{socket}"]
    } else {
        &["bundle", "exec", "puma", "--bind", "unix://{socket}"]
    };
    if !gemfile.is_empty() && !gem("puma") {
        let other = ["unicorn", "falcon", "thin", "passenger"].into_iter().find(|name| gem(name));
        let found = match other {
            Some(other) => format!("config.ru is there, and Gemfile has {other} instead of puma"),
            None => "config.ru is there, but Gemfile has no server".to_owned(),
        };
        return Puzzle::new(
            found,
            "add puma (`bundle add puma`) and run init again, or name the server as `command`, told to listen on `{socket}`",
        )
        .into();
    }
    let source = if gemfile.is_empty() { "config.ru" } else { "puma in Gemfile" };
    let mut recipe = Recipe::new(kind, source, Run::command(words), Way::Told);
    recipe.env = vec![(if rails { "RAILS_ENV" } else { "RACK_ENV" }.to_owned(), "production".to_owned())];
    if files.text("config/puma.rb").lines().any(|line| line.trim_start().starts_with("workers ")) {
        recipe = recipe.note("config/puma.rb says `workers`: the daemon has workers of its own, one process each; leave that line out");
    }
    recipe.into()
}
