//! A plain scalar's type, as Kubernetes' own reader (YAML 1.1 in Go's dialect) sees it. It knows no documents and no
//! places.

use std::borrow::Cow;

use serde_json::Number;

use super::tree::Typed;

/// Why a scalar has no type that every reader agrees on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Untypable {
    /// `.inf` or `.nan`: JSON has no such number.
    NotFinite,
    /// A number whose spelling readers take differently.
    Spelling,
}

/// The type of a plain scalar without a tag.
pub(super) fn plain(text: Cow<'_, str>) -> Result<Typed, Untypable> {
    let typed = match text.as_bytes().first() {
        None => Some(Typed::Null),
        Some(b'+' | b'-' | b'0'..=b'9') => number(&text)?,
        Some(b'.') => dotted(&text)?,
        Some(b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~') => word(&text),
        Some(_) => None,
    };
    Ok(typed.unwrap_or_else(|| Typed::String(text.into_owned())))
}

fn word(text: &str) -> Option<Typed> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(Typed::Bool(true)),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Some(Typed::Bool(false))
        }
        "~" | "null" | "Null" | "NULL" => Some(Typed::Null),
        _ => None,
    }
}

/// What begins with a dot: a number, an infinity, or text such as `.dockerignore`.
fn dotted(text: &str) -> Result<Option<Typed>, Untypable> {
    if is_infinite(text) || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(Untypable::NotFinite);
    }
    if text.contains('_') && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'_' | b'.')) {
        return Err(Untypable::Spelling);
    }
    Ok(float(text))
}

fn number(text: &str) -> Result<Option<Typed>, Untypable> {
    if text.strip_prefix(['+', '-']).is_some_and(is_infinite) {
        return Err(Untypable::NotFinite);
    }
    let digits: Cow<'_, str> = if text.contains('_') { text.replace('_', "").into() } else { text.into() };
    Ok(integer(&digits).map(Typed::Number).or_else(|| float(&digits)))
}

fn is_infinite(text: &str) -> bool {
    matches!(text, ".inf" | ".Inf" | ".INF")
}

/// An integer in any of Go's bases: `0x`, `0o`, `0b`, and a leading zero for octal.
fn integer(text: &str) -> Option<Number> {
    let (signed, negative, magnitude) = match text.as_bytes().first()? {
        b'-' => (true, true, text.get(1..)?),
        b'+' => (true, false, text.get(1..)?),
        _ => (false, false, text),
    };
    let (radix, digits) = base(magnitude)?;
    if digits.is_empty() && magnitude != "0" {
        return None;
    }
    let digits = if digits.is_empty() { "0" } else { digits };
    if !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let value = i128::from(u64::from_str_radix(digits, radix).ok()?);
    let value = if negative { value.checked_neg()? } else { value };
    if let Ok(small) = i64::try_from(value) {
        return Some(small.into());
    }
    // What an `i64` does not hold is a float to Kubernetes.
    if signed { None } else { value.to_string().parse().ok().and_then(Number::from_f64) }
}

fn base(magnitude: &str) -> Option<(u32, &str)> {
    let Some(rest) = magnitude.strip_prefix('0') else { return Some((10, magnitude)) };
    let marked = |radix| rest.get(1..).filter(|digits| !digits.is_empty()).map(|digits| (radix, digits));
    match rest.as_bytes().first() {
        Some(b'x' | b'X') => marked(16),
        Some(b'o' | b'O') => marked(8),
        Some(b'b' | b'B') => marked(2),
        Some(_) | None => Some((8, rest)),
    }
}

/// A decimal fraction; one that is whole becomes an integer, as JSON's writer in Go writes it.
fn float(text: &str) -> Option<Typed> {
    if !looks_like_float(text) {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    whole(value).or_else(|| Number::from_f64(value)).map(Typed::Number)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn looks_like_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let mantissa = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && digits(fraction),
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    mantissa && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}

/// The integer that this number is, where it is one that `i64` holds.
pub(super) fn whole(value: f64) -> Option<Number> {
    if value.fract() != 0.0 || value.abs() >= 9_223_372_036_854_775_808.0 {
        return None;
    }
    // Through text, because that is how Kubernetes gets it: `1e3` is written as `1000` and read again.
    format!("{value:.0}").parse::<i64>().ok().map(Number::from)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn typed(text: &str) -> Option<Value> {
        Some(match plain(text.into()).ok()? {
            Typed::Null => Value::Null,
            Typed::Bool(truth) => truth.into(),
            Typed::Number(number) => number.into(),
            Typed::String(text) => text.into(),
        })
    }

    #[test]
    fn scalars_are_typed_as_kubernetes_types_them() {
        let table = [
            ("", Value::Null),
            ("~", Value::Null),
            ("null", Value::Null),
            ("nULL", json!("nULL")),
            ("y", json!(true)),
            ("On", json!(true)),
            ("oN", json!("oN")),
            ("NO", json!(false)),
            ("off", json!(false)),
            ("yess", json!("yess")),
            ("0", json!(0)),
            ("-0", json!(0)),
            ("0644", json!(420)),
            ("00123456", json!(42798)),
            ("0o17", json!(15)),
            ("0O17", json!(15)),
            ("0x1F", json!(31)),
            ("-0x1F", json!(-31)),
            ("0b101", json!(5)),
            ("-0b101", json!(-5)),
            ("012", json!(10)),
            ("08", json!(8)),
            ("09.5", json!(9.5)),
            ("1_000", json!(1000)),
            ("1_", json!(1)),
            ("_1", json!("_1")),
            ("+12", json!(12)),
            ("+-1", json!("+-1")),
            ("--1", json!("--1")),
            ("0x", json!("0x")),
            ("0x-5", json!("0x-5")),
            ("0xZZ", json!("0xZZ")),
            ("1.0", json!(1)),
            ("1.", json!(1)),
            ("-0.0", json!(0)),
            ("1e3", json!(1000)),
            ("1E-2", json!(0.01)),
            (".5", json!(0.5)),
            (".", json!(".")),
            (".e1", json!(".e1")),
            (".1.2", json!(".1.2")),
            (".env", json!(".env")),
            ("1e", json!("1e")),
            ("1.2.3", json!("1.2.3")),
            ("1:30", json!("1:30")),
            ("2001-01-01", json!("2001-01-01")),
            ("1e999", json!("1e999")),
            ("9223372036854775807", json!(9_223_372_036_854_775_807_u64)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("18446744073709551615", json!(18_446_744_073_709_551_615.0)),
            ("99999999999999999999", json!(99_999_999_999_999_999_999_f64)),
            ("-", json!("-")),
            ("-_", json!("-_")),
            ("100m", json!("100m")),
            ("infinity", json!("infinity")),
            ("-inf", json!("-inf")),
            ("nan", json!("nan")),
            ("=", json!("=")),
        ];
        for (text, expected) in table {
            assert_eq!(typed(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn numbers_without_one_meaning_are_refused() {
        for text in [".inf", "-.Inf", "+.INF", ".nan", ".NaN"] {
            assert_eq!(plain(text.into()), Err(Untypable::NotFinite), "{text}");
        }
        assert_eq!(plain(".5_0".into()), Err(Untypable::Spelling));
    }
}
