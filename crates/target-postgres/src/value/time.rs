//! Moments in the form that `to_json` gives them (ISO 8601 as XML Schema has it).

use std::borrow::Cow;

/// Turns the server's ISO text into `to_json`'s; any other style stays as it is.
pub(super) fn with_t(text: &str) -> Cow<'_, str> {
    let Some((date, rest)) = text.split_once(' ') else { return Cow::Borrowed(text) };
    // The ISO style begins with a year of four digits or more; no other style does.
    let iso =
        date.find('-').is_some_and(|at| at >= 4) && date.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    if !iso || !rest.starts_with(|c: char| c.is_ascii_digit()) {
        return Cow::Borrowed(text);
    }
    let (time, era) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
    let minutes = match time.rfind(['+', '-']) {
        Some(at) if time.len() - at == 3 => ":00",
        _ => "",
    };
    Cow::Owned(format!("{date}T{time}{minutes}{era}"))
}
