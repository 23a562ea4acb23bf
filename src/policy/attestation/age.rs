//! Ages as policies write them: `90m`, `168h`, `30d`, also one behind the other.

use jiff::SignedDuration;

use crate::fields::Complaint;

/// Longest age, in seconds: ten years.
const MAX: i64 = 10 * 366 * 24 * 3600;

/// A duration of at least a second.
///
/// # Errors
/// When it is none.
pub(in crate::policy) fn parse(text: &str) -> Result<SignedDuration, Complaint> {
    let seconds = seconds(text).filter(|seconds| (1..=MAX).contains(seconds));
    seconds.map(SignedDuration::from_secs).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        Complaint::new(
            format!("`{}` is no age", shown.escape_debug()),
            "write for example `90m`, `168h` or `30d`, at most ten years",
        )
    })
}

fn seconds(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total = 0_i64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = rest.split_at_checked(end)?;
        let each = match unit.chars().next()? {
            'd' => 24 * 3600,
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(each)?)?;
        rest = unit.get(1..)?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_a_number_and_a_unit() {
        let table = [
            ("168h", Some(168 * 3600)),
            ("30d", Some(30 * 86_400)),
            ("1h30m", Some(5400)),
            ("1s", Some(1)),
            ("0s", None),
            ("", None),
            ("10", None),
            ("h", None),
            ("-1h", None),
            ("1.5h", None),
            ("1w", None),
            ("1 h", None),
            ("99999999999999999999h", None),
            ("4000d", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text).ok().map(|age| age.as_secs()), expected, "{text}");
        }
    }
}
