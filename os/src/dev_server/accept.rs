//! In which form a client wants to know why nobody can answer it.

/// A form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Html,
    Json,
}

impl Form {
    /// Without a wish, text.
    const ALL: [Self; 3] = [Self::Text, Self::Html, Self::Json];

    fn kind(self) -> (&'static str, &'static str) {
        match self {
            Self::Text => ("text", "plain"),
            Self::Html => ("text", "html"),
            Self::Json => ("application", "json"),
        }
    }

    /// What the client wants most by its field `Accept` (RFC 9110, section 12.5.1). Of what it wants as much, what it names rather
    /// than what it only allows, and of that the first. One that wants nothing of this gets text nevertheless.
    pub(super) fn wanted(accept: &str) -> Self {
        let ranges: Vec<Range> = accept.split(',').enumerate().filter_map(Range::read).collect();
        let best =
            |form: Self| ranges.iter().filter_map(|range| range.fits(form)).max().filter(|fit| fit.2 > 0);
        let mut wanted = (None, Self::Text);
        for form in Self::ALL {
            // How much before how exactly.
            let rank = best(form).map(|(exactness, first, weight)| (weight, exactness, first));
            if rank > wanted.0 {
                wanted = (rank, form);
            }
        }
        wanted.1
    }
}

/// One of the kinds that a client accepts.
struct Range<'a> {
    kind: (&'a str, &'a str),
    /// In thousandths.
    weight: u16,
    /// The first one has the greatest.
    first: usize,
}

impl<'a> Range<'a> {
    fn read((nth, range): (usize, &'a str)) -> Option<Self> {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next()?.split_once('/')?;
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let weight: f32 = weight.map_or(Some(1.0), |weight| weight.parse().ok())?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is between 0 and 1000"
        )]
        let weight = (weight.clamp(0.0, 1.0) * 1000.0) as u16;
        Some(Self { kind, weight, first: usize::MAX - nth })
    }

    /// How exactly the form is named, how early, and how much it is wanted.
    fn fits(&self, form: Form) -> Option<(u8, usize, u16)> {
        let (kind, its) = (self.kind, form.kind());
        let exactness = if kind == ("*", "*") {
            0
        } else if kind.0.eq_ignore_ascii_case(its.0) && kind.1 == "*" {
            1
        } else if kind.0.eq_ignore_ascii_case(its.0) && kind.1.eq_ignore_ascii_case(its.1) {
            2
        } else {
            return None;
        };
        Some((exactness, self.first, self.weight))
    }
}

#[cfg(test)]
mod tests {
    use super::Form::{self, Html, Json, Text};

    #[test]
    fn each_client_gets_the_form_that_it_wants_most() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";
        for (accept, form) in [
            (browser, Html),
            ("*/*", Text),
            ("", Text),
            ("application/json", Json),
            ("application/json, text/plain, */*", Json),
            ("application/json;q=0.1, */*;q=0.5", Text),
            ("text/plain;q=0, */*", Html),
            ("text/html;q=0.2, application/json; q=0.3", Json),
            ("text/*", Text),
            ("TEXT/HTML;level=1;Q=0.4", Html),
            ("application/*", Json),
            ("image/png", Text),
            ("text/html;q=much, nonsense, ;;,", Text),
            ("text/html;q=NaN", Text),
        ] {
            assert_eq!(Form::wanted(accept), form, "{accept}");
        }
    }
}
