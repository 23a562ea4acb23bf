//! The functions of conditions: CEL's own, the usual ones on texts, and a few that read scans and bills of materials.

use std::str::FromStr as _;

use jiff::{SignedDuration, Timestamp};

use super::value::{Text, Value, truncated};
use super::{Failure, Meter};
use super::{licence, reports};

macro_rules! functions {
    ($($variant:ident $name:literal $count:pat, $style:ident $usage:literal;)*) => {
        /// A function that expressions may call.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Function {
            $($variant,)*
        }

        impl Function {
            /// Every function.
            #[cfg(test)]
            pub(super) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The function of this name.
            pub(super) fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// How it is called.
            pub(super) fn usage(self) -> &'static str {
                match self { $(Self::$variant => $usage,)* }
            }

            /// Whether it takes so many arguments, the receiver counted, called in this way.
            pub(super) fn takes(self, count: usize, on_receiver: bool) -> bool {
                match self { $(Self::$variant => matches!(count, $count) && Style::$style.allows(on_receiver),)* }
            }
        }
    };
}

/// How a function may be called.
enum Style {
    /// `f(x)`.
    Plain,
    /// `x.f()`.
    Receiver,
    Either,
}

impl Style {
    fn allows(&self, on_receiver: bool) -> bool {
        match self {
            Self::Plain => !on_receiver,
            Self::Receiver => on_receiver,
            Self::Either => true,
        }
    }
}

functions! {
    Size "size" 1, Either "size(value)";
    Contains "contains" 2, Receiver "text.contains(\"part\")";
    StartsWith "startsWith" 2, Receiver "text.startsWith(\"prefix\")";
    EndsWith "endsWith" 2, Receiver "text.endsWith(\"suffix\")";
    LowerAscii "lowerAscii" 1, Receiver "text.lowerAscii()";
    UpperAscii "upperAscii" 1, Receiver "text.upperAscii()";
    Trim "trim" 1, Receiver "text.trim()";
    Split "split" 2, Receiver "text.split(\",\")";
    Replace "replace" 3, Receiver "text.replace(\"old\", \"new\")";
    Join "join" 1 | 2, Receiver "list.join(\",\")";
    Int "int" 1, Plain "int(value)";
    Double "double" 1, Plain "double(value)";
    Text "string" 1, Plain "string(value)";
    Timestamp "timestamp" 1, Plain "timestamp(\"2027-01-31T00:00:00Z\")";
    Duration "duration" 1, Plain "duration(\"72h\")";
    Vulnerabilities "vulnerabilities" 1, Plain "vulnerabilities(predicate)";
    DatabaseTime "databaseTime" 1, Plain "databaseTime(predicate)";
    Severity "severity" 1, Plain "severity(\"high\")";
    Packages "packages" 1, Plain "packages(predicate)";
    LicenseAllowed "licenseAllowed" 2, Plain "licenseAllowed(package.license, [\"MIT\"])";
    SourceOf "sourceOf" 1, Plain "sourceOf(predicate)";
}

/// What a function makes of its arguments.
pub(super) fn call<'a>(function: Function, arguments: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Failure> {
    meter.spend(1)?;
    match (function, arguments) {
        (Function::Size, [value]) => size(value, meter),
        (Function::Join, [Value::List(_)]) => joined(arguments, "", meter),
        (Function::Join, [Value::List(_), Value::Text(between)]) => joined(arguments, between.as_str(), meter),
        (Function::Int, [value]) => int(value),
        (Function::Double, [value]) => double(value),
        (Function::Text, [value]) => text(value, meter),
        (Function::Timestamp, [Value::Time(time)]) => Ok(Value::Time(*time)),
        (Function::Timestamp, [Value::Text(text)]) => time(text.as_str(), meter),
        (Function::Duration, [Value::Duration(span)]) => Ok(Value::Duration(*span)),
        (Function::Duration, [Value::Text(text)]) => span(text.as_str(), meter),
        (Function::Vulnerabilities, [predicate]) => reports::vulnerabilities(predicate, meter),
        (Function::DatabaseTime, [predicate]) => reports::database_time(predicate),
        (Function::Severity, [Value::Text(name)]) => reports::severity(name.as_str()).map(Value::Int),
        (Function::Packages, [predicate]) => reports::packages(predicate, meter),
        (Function::SourceOf, [predicate]) => reports::source_of(predicate),
        (Function::LicenseAllowed, [Value::Text(written), Value::List(allowed)]) => {
            licence::allowed(written.as_str(), allowed, meter).map(Value::Bool)
        }
        (_, [Value::Text(receiver), rest @ ..]) => on_text(function, receiver, rest, meter),
        (_, _) => Err(misused(function, arguments)),
    }
}

fn misused(function: Function, arguments: &[Value<'_>]) -> Failure {
    let kinds: Vec<&str> = arguments.iter().map(Value::kind).collect();
    Failure::wrong(format!("`{}` does not take {}", function.usage(), kinds.join(" and ")))
}

fn on_text<'a>(
    function: Function,
    receiver: &Text<'a>,
    rest: &[Value<'a>],
    meter: &mut Meter,
) -> Result<Value<'a>, Failure> {
    let text = receiver.as_str();
    meter.spend_text(text.len())?;
    match (function, rest) {
        (Function::Contains, [Value::Text(part)]) => Ok(Value::Bool(text.contains(part.as_str()))),
        (Function::StartsWith, [Value::Text(part)]) => Ok(Value::Bool(text.starts_with(part.as_str()))),
        (Function::EndsWith, [Value::Text(part)]) => Ok(Value::Bool(text.ends_with(part.as_str()))),
        (Function::LowerAscii, []) => Ok(Value::text(text.to_ascii_lowercase())),
        (Function::UpperAscii, []) => Ok(Value::text(text.to_ascii_uppercase())),
        (Function::Trim, []) => Ok(Value::text(text.trim())),
        (Function::Split, [Value::Text(between)]) => split(text, between.as_str(), meter),
        (Function::Replace, [Value::Text(old), Value::Text(new)]) => replaced(text, old.as_str(), new.as_str(), meter),
        (_, rest) => {
            let all: Vec<Value<'_>> = std::iter::once(Value::Text(receiver.clone())).chain(rest.to_vec()).collect();
            Err(misused(function, &all))
        }
    }
}

fn split<'a>(text: &str, between: &str, meter: &mut Meter) -> Result<Value<'a>, Failure> {
    let mut parts = Vec::new();
    if between.is_empty() {
        meter.spend(text.len())?;
        parts.extend(text.chars().map(|c| Value::text(c.to_string())));
        return Ok(Value::list(parts));
    }
    for part in text.split(between) {
        meter.spend(2)?;
        parts.push(Value::text(part));
    }
    Ok(Value::list(parts))
}

fn replaced<'a>(text: &str, old: &str, new: &str, meter: &mut Meter) -> Result<Value<'a>, Failure> {
    let count = if old.is_empty() { text.len().saturating_add(1) } else { text.matches(old).count() };
    meter.spend(count)?;
    meter.spend_text(count.saturating_mul(new.len()))?;
    Ok(Value::text(text.replace(old, new)))
}

fn joined<'a>(arguments: &[Value<'a>], between: &str, meter: &mut Meter) -> Result<Value<'a>, Failure> {
    let [Value::List(list), ..] = arguments else { return Err(misused(Function::Join, arguments)) };
    let mut text = String::new();
    for (index, item) in list.iter().enumerate() {
        let Value::Text(part) = item else { return Err(Failure::wrong("`join` joins texts alone")) };
        meter.spend(1)?;
        meter.spend_text(part.as_str().len().saturating_add(between.len()))?;
        if index > 0 {
            text.push_str(between);
        }
        text.push_str(part.as_str());
    }
    Ok(Value::text(text))
}

fn size<'a>(value: &Value<'a>, meter: &mut Meter) -> Result<Value<'a>, Failure> {
    let count = match value {
        Value::Text(text) => {
            meter.spend_text(text.as_str().len())?;
            text.as_str().chars().count()
        }
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Uint(_)
        | Value::Double(_)
        | Value::Time(_)
        | Value::Duration(_) => return Err(Failure::wrong(format!("{} has no size", value.kind()))),
    };
    i64::try_from(count).map(Value::Int).map_err(|_| Failure::wrong("a size is out of range"))
}

fn int<'a>(value: &Value<'a>) -> Result<Value<'a>, Failure> {
    let number = match value {
        Value::Int(number) => Some(*number),
        Value::Uint(number) => i64::try_from(*number).ok(),
        Value::Double(number) => truncated(*number).and_then(|whole| i64::try_from(whole).ok()),
        Value::Text(text) => text.as_str().parse().ok(),
        Value::Time(time) => Some(time.as_second()),
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) | Value::Duration(_) => None,
    };
    number.map(Value::Int).ok_or_else(|| Failure::wrong(format!("{} makes no whole number", value.kind())))
}

fn double<'a>(value: &Value<'a>) -> Result<Value<'a>, Failure> {
    let number = match value {
        Value::Double(number) => Some(*number),
        Value::Int(number) => number.to_string().parse().ok(),
        Value::Uint(number) => number.to_string().parse().ok(),
        Value::Text(text) => f64::from_str(text.as_str()).ok(),
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) | Value::Time(_) | Value::Duration(_) => None,
    };
    number.map(Value::Double).ok_or_else(|| Failure::wrong(format!("{} makes no number", value.kind())))
}

fn text<'a>(value: &Value<'a>, meter: &mut Meter) -> Result<Value<'a>, Failure> {
    meter.spend(2)?;
    Ok(match value {
        Value::Text(_) => value.clone(),
        Value::Bool(truth) => Value::text(truth.to_string()),
        Value::Int(number) => Value::text(number.to_string()),
        Value::Uint(number) => Value::text(number.to_string()),
        Value::Double(number) => Value::text(number.to_string()),
        Value::Time(time) => Value::text(time.to_string()),
        Value::Duration(span) => Value::text(format!("{}s", span.as_secs())),
        Value::Null | Value::List(_) | Value::Map(_) => {
            return Err(Failure::wrong(format!("{} makes no text", value.kind())));
        }
    })
}

/// A time as RFC 3339 writes it.
pub(super) fn time<'a>(text: &str, meter: &mut Meter) -> Result<Value<'a>, Failure> {
    meter.spend_text(text.len())?;
    let short = text.len() <= 64;
    let time = text.parse::<Timestamp>().ok().filter(|_| short);
    time.map(Value::Time).ok_or_else(|| Failure::wrong("a text is no timestamp as RFC 3339 writes it"))
}

fn span<'a>(text: &str, meter: &mut Meter) -> Result<Value<'a>, Failure> {
    meter.spend_text(text.len())?;
    let short = text.len() <= 64;
    let span = text.parse::<SignedDuration>().ok().filter(|_| short);
    span.map(Value::Duration).ok_or_else(|| Failure::wrong("a text is no duration such as `72h`"))
}
