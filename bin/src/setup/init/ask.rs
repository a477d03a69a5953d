//! What is not clear is asked at a terminal.

use std::io::{self, BufRead, IsTerminal, Write};

use super::recognise::{Puzzle, Recipe};
use crate::render::sentence;

/// What starts the app, by whoever sits at the terminal; nothing where nobody does, or does not know.
pub(super) fn start(recipes: &[Recipe], puzzles: &[Puzzle]) -> Option<Recipe> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    let question = question(recipes, puzzles);
    dialogue(&question, recipes, &mut io::stdin().lock(), &mut io::stderr().lock()).ok()?
}

/// What is asked.
fn question(recipes: &[Recipe], puzzles: &[Puzzle]) -> String {
    let mut text = String::from("What starts this app is not clear.\n");
    for puzzle in puzzles {
        text += &format!("  {}: {}\n", sentence(&puzzle.found), sentence(&puzzle.help));
    }
    for (number, recipe) in (1..).zip(recipes) {
        text += &format!(
            "  {number}  {} ({}, going by {})\n",
            sentence(&recipe.words()),
            recipe.kind,
            sentence(&recipe.source)
        );
    }
    text + if recipes.is_empty() {
        "A script for Node, or a command (Enter: leave it open): "
    } else {
        "Its number, a script for Node, or a command (Enter: leave it open): "
    }
}

/// Asks until the answer can be understood.
fn dialogue(
    question: &str,
    recipes: &[Recipe],
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> io::Result<Option<Recipe>> {
    write!(output, "{question}")?;
    loop {
        output.flush()?;
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 || line.trim().is_empty() {
            return Ok(None);
        }
        let Ok(number) = line.trim().parse::<usize>() else { return Ok(Some(Recipe::said(line.trim()))) };
        if let Some(recipe) = number.checked_sub(1).and_then(|index| recipes.get(index)) {
            return Ok(Some(recipe.clone()));
        }
        write!(output, "There is no {number}. Which one: ")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(answer: &str, recipes: &[Recipe]) -> (Option<String>, String) {
        let mut output = Vec::new();
        let recipe = dialogue("? ", recipes, &mut answer.as_bytes(), &mut output).unwrap();
        (recipe.map(|recipe| recipe.words()), String::from_utf8(output).unwrap())
    }

    #[test]
    fn answers_are_numbers_scripts_or_commands() {
        let recipes = [Recipe::said("a.js"), Recipe::said("uvicorn main:app")];
        assert_eq!(said("2\n", &recipes), (Some("uvicorn main:app".into()), "? ".into()));
        assert_eq!(said("3\n1\n", &recipes), (Some("a.js".into()), "? There is no 3. Which one: ".into()));
        assert_eq!(said("src/b.mjs\n", &recipes).0.as_deref(), Some("src/b.mjs"));
        assert_eq!((said("\n", &recipes).0, said("", &[]).0), (None, None));
    }

    #[test]
    fn question_lists_what_fits() {
        let text = question(&[Recipe::said("a.js")], &[]);
        assert!(text.contains("\n  1  a.js (") && text.ends_with(": "), "{text}");
    }
}
