//! Points on the wall clock, as people and files say them (RFC 3339, in UTC).

/// Milliseconds of a day.
const DAY: u64 = 86_400_000;

/// `millis` milliseconds after 1970-01-01T00:00Z, such as `2026-03-01T04:05:06.789Z`.
#[must_use]
pub fn rfc3339(millis: u64) -> String {
    let (year, month, day) = date(millis / DAY);
    let (seconds, millis) = (millis / 1000 % 86_400, millis % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// The milliseconds after 1970-01-01T00:00Z that `text` names: a date, or a date and a time of day with or without seconds
/// and parts of these; in UTC unless it ends with an offset such as `+02:00`. `None`: it is nothing of this, or earlier.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    let at_zone = text.get(10..)?;
    let (year, month, day) = split3(text.get(..10)?, '-')?;
    let days = days(year, month, day)?;
    let midnight = i64::try_from(days.checked_mul(DAY)?).ok()?;
    let Some(rest) = at_zone.strip_prefix(['T', 't', ' ']) else {
        return at_zone.is_empty().then(|| u64::try_from(midnight).ok()).flatten();
    };
    let zone = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(zone);
    let millis = midnight + time_of_day(time)? - offset(zone)?;
    u64::try_from(millis).ok()
}

/// The year, month and day that are so many days after 1970-01-01, in the Gregorian calendar.
fn date(days: u64) -> (u64, u64, u64) {
    // A year that begins in March has its leap day at its end. 400 years have 146097 days, whatever they begin with.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

/// How many days after 1970-01-01 this one is; `None` if there is no such day, or it is earlier.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) {
        return None;
    }
    let year_from_march = if month <= 2 { year - 1 } else { year };
    let from_march = if month <= 2 { month + 9 } else { month - 3 };
    let days = 365 * year_from_march + year_from_march / 4 - year_from_march / 100 + year_from_march / 400;
    let days = (days + (153 * from_march + 2) / 5 + day - 1).checked_sub(719_468)?;
    // A month or a day that the calendar lacks is another day's name.
    (date(days) == (year, month, day)).then_some(days)
}

/// Three numbers.
fn split3(text: &str, by: char) -> Option<(u64, u64, u64)> {
    let mut parts = text.split(by).map(number);
    let three = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(three)
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// `04:05`, `04:05:06` or `04:05:06.789`, in milliseconds.
fn time_of_day(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = whole.split(':').map(number);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    number(fraction)?;
    let millis = number(&format!("{fraction:0<3}")[..3])?;
    i64::try_from(((hour * 60 + minute) * 60 + second) * 1000 + millis).ok()
}

/// Nothing, `Z`, or `+02:00`, in milliseconds.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "" | "Z" | "z") {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    Some(sign * time_of_day(zone.get(1..)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_as_the_calendar_has_them() {
        let known = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_767_225_600_000, "2026-01-01T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (millis, text) in known {
            assert_eq!(rfc3339(millis), text);
            assert_eq!(parse(text), Some(millis));
        }
    }

    #[test]
    fn every_day_is_read_as_it_was_said() {
        for day in 0..80_000 {
            let millis = day * DAY + 12_345_678;
            assert_eq!(parse(&rfc3339(millis)), Some(millis));
        }
    }

    #[test]
    fn what_no_calendar_and_no_clock_has_is_no_time() {
        for text in ["2026-02-29", "2026-13-01", "2026-11-00", "2026-11-32", "1969-12-31", "10000-01-01"] {
            assert_eq!(parse(text), None, "{text}");
        }
        let second = |text: &str| parse(&format!("2026-11-29T{text}")).is_some();
        // A leap second.
        assert!(second("23:59:60"));
        for text in ["24:00:00", "23:60:00", "23:59:61"] {
            assert!(!second(text), "{text}");
        }
    }

    #[test]
    fn number_has_digits_and_nothing_else() {
        for text in ["+2026-11-29", "2026-+1-29", "2026--29", "2026-11-29T+3:04", "2026-11-29T:04"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn times_may_be_said_in_less_detail_and_in_other_zones() {
        let midnight = parse("2026-11-29").unwrap();
        assert_eq!(parse("2026-11-29 03:04"), Some(midnight + 11_040_000));
        assert_eq!(parse("2026-11-29T03:04:05.6Z"), Some(midnight + 11_045_600));
        assert_eq!(parse("2026-11-29T03:04:05.6789z"), Some(midnight + 11_045_678));
        assert_eq!(parse("2026-11-29T02:00:00+02:00"), Some(midnight));
        assert_eq!(parse("2026-11-28T22:00-02:00"), Some(midnight));
        // A leap second is the first one of the next day.
        assert_eq!(parse("2026-11-28T23:59:60"), Some(midnight));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-11",
            "2026-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "99999-1-11",
            "0000-01-01",
            "2026-11-29T25:00",
            "2026-11-29T23:60",
            "2026-11-29T23:59:61",
            "2026-11-29T10",
            "2026-11-29T10:00:00.x",
            "2026-11-29T10:00+2",
            "2026-11-29x",
            "1969-12-31",
            "2026-11-2é",
            "1970-01-01T00:00+01:00",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
