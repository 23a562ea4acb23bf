//! Values while an expression is evaluated. What comes from an attestation is borrowed, never copied.

use std::cmp::Ordering;
use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;

use super::{Failure, Meter};

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Text<'a>),
    List(List<'a>),
    Map(Map<'a>),
    Time(Timestamp),
    Duration(SignedDuration),
}

/// A text.
#[derive(Debug, Clone)]
pub(super) enum Text<'a> {
    Borrowed(&'a str),
    Made(Rc<str>),
}

/// A list.
#[derive(Debug, Clone)]
pub(super) enum List<'a> {
    Json(&'a [Json]),
    Made(Rc<[Value<'a>]>),
}

/// A map with texts for keys.
#[derive(Debug, Clone)]
pub(super) enum Map<'a> {
    Json(&'a serde_json::Map<String, Json>),
    Made(Rc<[(Text<'a>, Value<'a>)]>),
}

impl<'a> Value<'a> {
    /// A value of the attestation.
    pub(super) fn of(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(truth) => Self::Bool(*truth),
            Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(number), _, _) => Self::Int(number),
                (None, Some(number), _) => Self::Uint(number),
                (None, None, Some(number)) => Self::Double(number),
                (None, None, None) => Self::Null,
            },
            Json::String(text) => Self::Text(Text::Borrowed(text)),
            Json::Array(items) => Self::List(List::Json(items)),
            Json::Object(members) => Self::Map(Map::Json(members)),
        }
    }

    /// A text that was made here.
    pub(super) fn text(text: impl Into<Rc<str>>) -> Self {
        Self::Text(Text::Made(text.into()))
    }

    /// A list that was made here.
    pub(super) fn list(items: Vec<Self>) -> Self {
        Self::List(List::Made(items.into()))
    }

    /// A map that was made here.
    pub(super) fn map(entries: Vec<(Text<'a>, Self)>) -> Self {
        Self::Map(Map::Made(entries.into()))
    }

    /// The type's name, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a truth value",
            Self::Int(_) | Self::Uint(_) | Self::Double(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Time(_) => "a timestamp",
            Self::Duration(_) => "a duration",
        }
    }

    /// A member of a map.
    pub(super) fn member(&self, name: &str) -> Option<Self> {
        match self {
            Self::Map(map) => map.get(name),
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Uint(_)
            | Self::Double(_)
            | Self::Text(_)
            | Self::List(_)
            | Self::Time(_)
            | Self::Duration(_) => None,
        }
    }

    /// Whether two values are equal; values of different types are not, numbers are by what they count.
    pub(super) fn equals(&self, other: &Self, meter: &mut Meter) -> Result<bool, Failure> {
        meter.spend(1)?;
        match (self, other) {
            (Self::Null, Self::Null) => Ok(true),
            (Self::Bool(one), Self::Bool(other)) => Ok(one == other),
            (Self::Text(one), Self::Text(other)) => {
                let (one, other) = (one.as_str(), other.as_str());
                meter.spend_text(if one.len() == other.len() { one.len() } else { 0 })?;
                Ok(one == other)
            }
            (Self::List(one), Self::List(other)) => one.equals(other, meter),
            (Self::Map(one), Self::Map(other)) => one.equals(other, meter),
            (Self::Time(one), Self::Time(other)) => Ok(one == other),
            (Self::Duration(one), Self::Duration(other)) => Ok(one == other),
            (Self::Int(_) | Self::Uint(_) | Self::Double(_), Self::Int(_) | Self::Uint(_) | Self::Double(_)) => {
                Ok(self.number_order(other) == Some(Ordering::Equal))
            }
            _ => Ok(false),
        }
    }

    /// How two values of one ordered type compare.
    pub(super) fn order(&self, other: &Self, meter: &mut Meter) -> Result<Ordering, Failure> {
        let unordered = || Failure::wrong(format!("{} does not compare with {}", self.kind(), other.kind()));
        match (self, other) {
            (Self::Bool(one), Self::Bool(other)) => Ok(one.cmp(other)),
            (Self::Text(one), Self::Text(other)) => {
                meter.spend_text(one.as_str().len().min(other.as_str().len()))?;
                Ok(one.as_str().cmp(other.as_str()))
            }
            (Self::Time(one), Self::Time(other)) => Ok(one.cmp(other)),
            (Self::Duration(one), Self::Duration(other)) => Ok(one.cmp(other)),
            _ => self.number_order(other).ok_or_else(unordered),
        }
    }

    fn number_order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Double(one), Self::Double(other)) => one.partial_cmp(other),
            (Self::Double(one), _) => whole_order(other.whole()?, *one).map(Ordering::reverse),
            (_, Self::Double(other)) => whole_order(self.whole()?, *other),
            _ => Some(self.whole()?.cmp(&other.whole()?)),
        }
    }

    /// A whole number, whichever type it has.
    fn whole(&self) -> Option<i128> {
        if let Self::Int(number) = self {
            return Some(i128::from(*number));
        }
        if let Self::Uint(number) = self { Some(i128::from(*number)) } else { None }
    }
}

/// How a whole number compares with another, exactly.
fn whole_order(whole: i128, other: f64) -> Option<Ordering> {
    let cut = truncated(other);
    match cut {
        Some(cut) if cut == whole => (0.0).partial_cmp(&other.fract()),
        Some(cut) => Some(whole.cmp(&cut)),
        None => (0.0).partial_cmp(&other),
    }
}

/// The whole part of a number that is not too large for one.
pub(super) fn truncated(number: f64) -> Option<i128> {
    if number.abs() < 1e30 { format!("{:.0}", number.trunc()).parse().ok() } else { None }
}

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Made(text) => text,
        }
    }
}

impl<'a> List<'a> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Json(items) => items.len(),
            Self::Made(items) => items.len(),
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Json(items) => items.get(index).map(Value::of),
            Self::Made(items) => items.get(index).cloned(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Value<'a>> {
        (0..self.len()).map_while(|index| self.get(index))
    }

    fn equals(&self, other: &Self, meter: &mut Meter) -> Result<bool, Failure> {
        if self.len() != other.len() {
            return Ok(false);
        }
        for (one, other) in self.iter().zip(other.iter()) {
            if !one.equals(&other, meter)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl<'a> Map<'a> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Json(members) => members.len(),
            Self::Made(entries) => entries.len(),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<Value<'a>> {
        match self {
            Self::Json(members) => members.get(name).map(Value::of),
            Self::Made(entries) => entries.iter().find(|(key, _)| key.as_str() == name).map(|(_, value)| value.clone()),
        }
    }

    /// The keys, in their order.
    pub(super) fn keys(&self) -> Vec<Text<'a>> {
        match self {
            Self::Json(members) => members.keys().map(|key| Text::Borrowed(key)).collect(),
            Self::Made(entries) => entries.iter().map(|(key, _)| key.clone()).collect(),
        }
    }

    fn equals(&self, other: &Self, meter: &mut Meter) -> Result<bool, Failure> {
        if self.len() != other.len() {
            return Ok(false);
        }
        meter.spend(self.len())?;
        for key in self.keys() {
            let (Some(one), Some(other)) = (self.get(key.as_str()), other.get(key.as_str())) else {
                return Ok(false);
            };
            if !one.equals(&other, meter)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
