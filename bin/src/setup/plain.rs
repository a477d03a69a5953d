//! Names that files, nginx and shells all take.

/// An app's name, letters, digits, dots, hyphens and underscores kept and `filler` in the place of everything else.
pub(crate) fn name(name: &str, filler: char) -> String {
    let kept = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { filler };
    let name: String = name.chars().map(kept).collect();
    let name = name.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if name.is_empty() { "app".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_reduced_to_plain_characters() {
        assert_eq!(name("@acme/shop", '-'), "acme-shop");
        assert_eq!(name("läden & co.", '_'), "l_den___co");
        assert_eq!(name("店", '-'), "app");
    }
}
