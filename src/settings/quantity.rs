//! Sizes and durations as people write them: `10MiB`, `30s`, `1m30s`.

use std::time::Duration;

use crate::fields::Complaint;

/// Reads a duration such as `500ms`, `30s`, `2m`, `168h` or `1m30s`.
///
/// # Errors
/// When it is none; nothing is guessed where the unit is missing.
pub fn duration(text: &str) -> Result<Duration, Complaint> {
    let wrong = || {
        let message = format!("`{text}` is no duration");
        Complaint::new(message, "write a whole number with its unit: `500ms`, `30s`, `2m`, `12h`, `7d`")
    };
    let mut total = Duration::ZERO;
    let mut rest = text;
    let mut coarser = u64::MAX;
    while !rest.is_empty() {
        let (number, behind) = number(rest).ok_or_else(wrong)?;
        let end = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, next) = behind.split_at_checked(end).ok_or_else(wrong)?;
        let unit = milliseconds(unit).filter(|unit| *unit < coarser).ok_or_else(wrong)?;
        let part = number.checked_mul(unit).map(Duration::from_millis).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        (rest, coarser) = (next, unit);
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

/// Reads a size such as `10MiB`, or a bare number of bytes.
///
/// # Errors
/// When it is none.
pub fn size(text: &str) -> Result<usize, Complaint> {
    let wrong = || {
        let message = format!("`{text}` is no size");
        Complaint::new(
            message,
            "write a whole number with its unit: `512KiB`, `10MiB`, `1GiB`, or a bare number of bytes",
        )
    };
    let (number, unit) = number(text).ok_or_else(wrong)?;
    let unit: u64 = match unit {
        "" | "B" => 1,
        "kB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).and_then(|bytes| usize::try_from(bytes).ok()).ok_or_else(wrong)
}

/// Splits the digits off the front.
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

fn milliseconds(unit: &str) -> Option<u64> {
    match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit_or_refused() {
        let table =
            [("500ms", 500), ("30s", 30_000), ("1m30s", 90_000), ("2h", 7_200_000), ("7d", 604_800_000), ("0s", 0)];
        for (text, expected) in table {
            assert_eq!(duration(text).unwrap(), Duration::from_millis(expected), "{text}");
        }
        for bad in [
            "",
            "30",
            "s",
            "-1s",
            "1.5s",
            "1s1s",
            "1s1m",
            " 1s",
            "1 s",
            "1S",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_read_with_their_unit_or_refused() {
        let table = [("10MiB", 10 << 20), ("1kB", 1000), ("1KiB", 1024), ("5", 5), ("5B", 5)];
        for (text, expected) in table {
            assert_eq!(size(text).unwrap(), expected, "{text}");
        }
        for bad in ["", "MiB", "-1", "1.5MiB", "1mib", "1 MiB", "18446744073709551615GiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
