//! What is filled in for each worker, in the arguments of `command` and in the values of `env`.

use super::problem::{Place, Problem};
use super::section::Report;
use super::suggest;

/// The index of the worker's slot; the word `standby` for one that has none yet.
const SLOT: &str = "slot";

/// The path of the socket that the worker has to listen on.
const SOCKET: &str = "socket";

/// The real folder of the working directory when the worker is started. Only a backend can find it out.
const RELEASE: &str = "release";

/// The placeholder for the real folder of the working directory.
pub const RELEASE_PLACEHOLDER: &str = "{release}";

/// All of them.
const NAMES: [&str; 3] = [SLOT, SOCKET, RELEASE];

/// Names that people try, and what they mean.
const ALIASES: [(&str, &str); 4] = [("worker", SLOT), ("index", SLOT), ("path", SOCKET), ("cwd", RELEASE)];

/// Whether `text` has the placeholder for the slot.
#[must_use]
pub fn names_slot(text: &str) -> bool {
    text.contains("{slot}")
}

/// `text` for a worker of this slot and with this socket. The folder is left to be filled in.
#[must_use]
pub fn fill(text: &str, slot: &str, socket: &str) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        let (before, from) = rest.split_at(start);
        filled.push_str(before);
        let known = [("{slot}", slot), ("{socket}", socket)];
        match known.into_iter().find(|(placeholder, _)| from.starts_with(placeholder)) {
            Some((placeholder, value)) => {
                filled.push_str(value);
                rest = &from[placeholder.len()..];
            }
            None => {
                filled.push('{');
                rest = &from[1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

/// Reports what looks like a placeholder and is none.
pub(super) fn check<'t>(
    key: &str,
    texts: impl IntoIterator<Item = &'t str>,
    place: Option<&Place>,
    report: &mut Report,
) {
    for (word, meant) in texts.into_iter().flat_map(misspelt) {
        report.problems.push(Problem {
            place: place.cloned(),
            message: format!("`{key}` has the placeholder `{{{word}}}`, which there is not"),
            help: Some(format!(
                "did you mean `{{{meant}}}`? There are `{{slot}}`, `{{socket}}` and `{{release}}`"
            )),
        });
    }
}

/// Words in braces that are like one of the placeholders, with that. Anything else in braces is the app's business.
fn misspelt(text: &str) -> Vec<(&str, &'static str)> {
    let words = text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(word, _)| word);
    let unknown = words.filter(|word| !NAMES.contains(word) && !word.is_empty());
    let meant = |word: &str| {
        let alias = ALIASES.iter().find(|(alias, _)| *alias == word).map(|(_, meant)| *meant);
        alias.or_else(|| suggest::word(word, NAMES))
    };
    unknown
        .filter(|word| word.chars().all(|c| c.is_ascii_alphabetic() || c == '_'))
        .filter_map(|word| Some((word, meant(word)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_placeholders_are_filled_in_and_others_left() {
        assert_eq!(fill("--uds={socket}", "1", "/run/app.sock"), "--uds=/run/app.sock");
        assert_eq!(fill("{slot}{slot} {release} {x} {", "12", ""), "1212 {release} {x} {");
        // What is filled in is not looked at again.
        assert_eq!(fill("{socket}", "1", "/run/{slot}"), "/run/{slot}");
    }

    #[test]
    fn misspelt_placeholders_are_noticed() {
        assert_eq!(
            misspelt("{Slot} {sockets} {relase} {worker}"),
            [("Slot", "slot"), ("sockets", "socket"), ("relase", "release"), ("worker", "slot")]
        );
        assert_eq!(misspelt("{soc_ket} {slots1}"), [("soc_ket", "socket")]);
        assert_eq!(misspelt(r#"{slot} {id} {"slots":1} {} {a{b}"#), []);
    }

    #[test]
    fn a_text_names_the_slot_by_its_placeholder_only() {
        assert!(names_slot("log/{slot}.log"));
        assert!(!names_slot("log/slot.log") && !names_slot("{socket}"));
    }
}
