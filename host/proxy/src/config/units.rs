//! Durations and sizes as people write them, with the unit names of postgresql.conf (PostgreSQL's guc.c).

use std::time::Duration;

use super::mistake::suggestion;

/// Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// In nanoseconds, the largest first.
const TIME_UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// In bytes, the largest first. As in PostgreSQL, kB, MB and GB are powers of 1024; KiB, MiB and GiB say so.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1 << 30),
    ("MB", 1 << 20),
    ("kB", 1 << 10),
    ("B", 1),
];

/// Reads `30s`, `1.5h`. The error says what is wrong.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    parse(text, "duration", "30s", &TIME_UNITS).map(Duration::from_nanos)
}

/// Reads `32MiB`. The error says what is wrong.
pub(crate) fn parse_size(text: &str) -> Result<Size, String> {
    parse(text, "size", "32MiB", &SIZE_UNITS).map(Size)
}

/// Writes what [`parse_duration`] reads.
pub(crate) fn show_duration(duration: Duration) -> String {
    show(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), &TIME_UNITS, "0s")
}

/// Writes what [`parse_size`] reads.
pub(super) fn show_size(size: Size) -> String {
    show(size.0, &SIZE_UNITS, "0B")
}

fn parse(text: &str, what: &str, example: &str, units: &[(&str, u64)]) -> Result<u64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim();
    let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
    if number.is_empty() || unit.is_empty() {
        return Err(format!("expected a {what} such as \"{example}\", found \"{text}\""));
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(format!(
            "unknown unit \"{unit}\" of a {what}{}",
            unit_suggestion(unit, &names)
        ));
    };
    scale(number, *factor)
        .ok_or_else(|| format!("\"{text}\" is not a {what} that can be represented"))
}

/// Multiplies a decimal number exactly; what is smaller than one unit of the result is cut off.
fn scale(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    if fraction.is_empty() {
        return (!number.ends_with('.')).then_some(whole);
    }
    // Nine digits: a nanosecond in a second.
    let digits = u32::try_from(fraction.len()).ok().filter(|digits| *digits <= 9)?;
    let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(factor) / 10_u128.pow(digits);
    whole.checked_add(u64::try_from(part).ok()?)
}

fn unit_suggestion(unit: &str, names: &[&str]) -> String {
    let alias = match unit.to_ascii_lowercase().as_str() {
        "m" | "minute" | "minutes" => "min",
        "sec" | "secs" | "second" | "seconds" => "s",
        "hour" | "hours" => "h",
        "day" | "days" => "d",
        "µs" => "us",
        "k" | "kb" => "kB",
        _ => {
            return names.iter().find(|name| name.eq_ignore_ascii_case(unit)).map_or_else(
                || suggestion("", names),
                |name| format!("; did you mean \"{name}\"?"),
            );
        }
    };
    if names.contains(&alias) {
        format!("; did you mean \"{alias}\"?")
    } else {
        suggestion("", names)
    }
}

fn show(value: u64, units: &[(&str, u64)], zero: &str) -> String {
    let whole = units.iter().find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor));
    whole.map_or_else(|| zero.to_owned(), |(name, factor)| format!("{}{name}", value / factor))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_shown_can_be_read() {
        for nanoseconds in
            [1, 1_000, 1_500_000, 60_000_000_000, 86_400_000_000_000, 90_061_000_000_000]
        {
            let duration = Duration::from_nanos(nanoseconds);
            assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
        }
        for bytes in [1, 1 << 10, 3 << 29, 5 << 30] {
            assert_eq!(parse_size(&show_size(Size(bytes))), Ok(Size(bytes)));
        }
    }

    #[test]
    fn fractions_are_exact() {
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(parse_duration("0.1 ms"), Ok(Duration::from_micros(100)));
        assert_eq!(parse_duration("0.5min"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_size("1.5kB"), Ok(Size(1_536)));
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in [
            "",
            "s",
            "1",
            "1.",
            "1.s",
            ".s",
            ".5s",
            "1..5s",
            "-1s",
            "1e3s",
            "0.1234567890s",
            "1 s s",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        for text in ["99999999999999999999B", "18446744073709551615GiB"] {
            assert!(parse_size(text).unwrap_err().ends_with("can be represented"), "{text}");
        }
    }

    #[test]
    fn units_of_other_programs_are_explained() {
        for (text, meant) in [("1m", "min"), ("5sec", "s"), ("2H", "h"), ("1µs", "us")] {
            let end = format!("did you mean \"{meant}\"?");
            assert!(parse_duration(text).unwrap_err().ends_with(&end), "{text}");
        }
        assert!(parse_size("1mb").unwrap_err().ends_with("did you mean \"MB\"?"));
    }
}
