//! Workers that speak `FastCGI`, such as php-fpm.

/// The script that answers all requests, as such a worker is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// `SCRIPT_FILENAME`: its path.
    pub(crate) file: String,
    /// `DOCUMENT_ROOT`: its folder.
    pub(crate) folder: String,
    /// `SCRIPT_NAME`: its path below that.
    pub(crate) name: String,
}

/// A path that every front takes as it stands.
pub fn script(path: &str) -> Result<Script, String> {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '@' | '+' | ':' | ',');
    match path.rsplit_once('/') {
        Some((folder, name)) if path.starts_with('/') && !name.is_empty() && path.chars().all(plain) => {
            let folder = if folder.is_empty() { "/" } else { folder };
            Ok(Script { file: path.to_owned(), folder: folder.to_owned(), name: format!("/{name}") })
        }
        _ => Err("expected the absolute path of a script, of letters, digits, dots and hyphens".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_is_an_absolute_path_that_needs_no_quotes() {
        let found = script("/srv/shop/current/index.php").unwrap();
        assert_eq!((found.folder.as_str(), found.name.as_str()), ("/srv/shop/current", "/index.php"));
        assert_eq!(script("/index.php").unwrap().folder, "/");
        for path in [
            "index.php",
            "./index.php",
            "",
            "/",
            "/srv/shop/",
            "/srv/a b.php",
            "/srv/{a}.php",
            "/srv/a;b.php",
        ] {
            assert!(script(path).is_err(), "{path}");
        }
    }
}
