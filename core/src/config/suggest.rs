//! What somebody may have meant.

/// Likeness from which a name is worth suggesting.
const LIKE: f64 = 0.6;

/// The one of `keys`, all of them paths, whose last part is most like that of `path`; at the same likeness, one of the same
/// section.
pub(super) fn key(path: &str, keys: &[String]) -> Option<String> {
    let (section, name) = split(path);
    let candidates = keys.iter().map(|candidate| {
        let (its_section, its_name) = split(candidate);
        let bonus = if its_section == section { 0.05 } else { 0.0 };
        (like(name, its_name), bonus, candidate)
    });
    best(candidates).cloned()
}

/// The one of `words` that is most like `word`.
pub(super) fn word<'w>(word: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    best(words.into_iter().map(|candidate| (like(word, candidate), 0.0, candidate)))
}

fn best<T>(candidates: impl Iterator<Item = (f64, f64, T)>) -> Option<T> {
    let likely = candidates.filter(|(likeness, ..)| *likeness >= LIKE);
    let best = likely.max_by(|(a, a_bonus, _), (b, b_bonus, _)| (a + a_bonus).total_cmp(&(b + b_bonus)));
    best.map(|(.., candidate)| candidate)
}

/// From 0, nothing in common, to 1, the same but for case.
fn like(a: &str, b: &str) -> f64 {
    // The measure takes the product of both lengths; nobody mistypes a key into something this long.
    if a.len() > 64 {
        return 0.0;
    }
    strsim::normalized_damerau_levenshtein(&a.to_lowercase(), &b.to_lowercase())
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or(("", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_same_likeness_the_key_of_the_same_section_is_meant() {
        let [here, there] = ["health.timeout", "options.timeout"].map(String::from);
        for keys in [[here.clone(), there.clone()], [there, here.clone()]] {
            assert_eq!(key("health.timeuot", &keys), Some(here.clone()));
        }
    }

    #[test]
    fn a_long_name_is_compared_and_one_of_any_length_is_not() {
        let words = [64, 65].map(|length| "a".repeat(length));
        assert_eq!(words.each_ref().map(|long| word(long, [long.as_str()]).is_some()), [true, false]);
    }
}
