//! Operators that look at both of their sides.

use std::cmp::Ordering;

use super::tree::Operator;
use super::value::{List, Value};
use super::{Failure, Meter};

/// What an operator makes of two values.
pub(super) fn binary<'a>(
    operator: Operator,
    one: &Value<'a>,
    other: &Value<'a>,
    meter: &mut Meter,
) -> Result<Value<'a>, Failure> {
    let ordered =
        |meter: &mut Meter, fits: fn(Ordering) -> bool| one.order(other, meter).map(|order| Value::Bool(fits(order)));
    match operator {
        Operator::Equal => one.equals(other, meter).map(Value::Bool),
        Operator::NotEqual => one.equals(other, meter).map(|equal| Value::Bool(!equal)),
        Operator::Less => ordered(meter, Ordering::is_lt),
        Operator::LessOrEqual => ordered(meter, Ordering::is_le),
        Operator::Greater => ordered(meter, Ordering::is_gt),
        Operator::GreaterOrEqual => ordered(meter, Ordering::is_ge),
        Operator::In => contains(one, other, meter).map(Value::Bool),
        Operator::Add => added(one, other, meter),
        Operator::Subtract => subtracted(one, other),
        Operator::Multiply => counted(Calculation::Multiply, one, other),
        Operator::Divide => counted(Calculation::Divide, one, other),
        Operator::Remainder => counted(Calculation::Remainder, one, other),
    }
}

fn contains(one: &Value<'_>, other: &Value<'_>, meter: &mut Meter) -> Result<bool, Failure> {
    match (one, other) {
        (_, Value::List(list)) => {
            for item in list.iter() {
                if one.equals(&item, meter)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        (Value::Text(key), Value::Map(map)) => {
            meter.spend_text(key.as_str().len())?;
            Ok(map.get(key.as_str()).is_some())
        }
        (_, Value::Map(_)) => Ok(false),
        _ => Err(Failure::wrong(format!("nothing is `in` {}", other.kind()))),
    }
}

fn added<'a>(one: &Value<'a>, other: &Value<'a>, meter: &mut Meter) -> Result<Value<'a>, Failure> {
    let overflow = || Failure::wrong("a sum is out of range");
    match (one, other) {
        (Value::Text(one), Value::Text(other)) => {
            let (one, other) = (one.as_str(), other.as_str());
            meter.spend_text(one.len().saturating_add(other.len()))?;
            Ok(Value::text([one, other].concat()))
        }
        (Value::List(one), Value::List(other)) => joined(one, other, meter),
        (Value::Time(time), Value::Duration(span)) | (Value::Duration(span), Value::Time(time)) => {
            time.checked_add(*span).map(Value::Time).map_err(|_| overflow())
        }
        (Value::Duration(one), Value::Duration(other)) => {
            one.checked_add(*other).map(Value::Duration).ok_or_else(overflow)
        }
        _ => counted(Calculation::Add, one, other),
    }
}

fn joined<'a>(one: &List<'a>, other: &List<'a>, meter: &mut Meter) -> Result<Value<'a>, Failure> {
    meter.spend(one.len().saturating_add(other.len()))?;
    Ok(Value::list(one.iter().chain(other.iter()).collect()))
}

fn subtracted<'a>(one: &Value<'a>, other: &Value<'a>) -> Result<Value<'a>, Failure> {
    let overflow = || Failure::wrong("a difference is out of range");
    match (one, other) {
        (Value::Time(one), Value::Time(other)) => Ok(Value::Duration(one.duration_since(*other))),
        (Value::Time(time), Value::Duration(span)) => time.checked_sub(*span).map(Value::Time).map_err(|_| overflow()),
        (Value::Duration(one), Value::Duration(other)) => {
            one.checked_sub(*other).map(Value::Duration).ok_or_else(overflow)
        }
        _ => counted(Calculation::Subtract, one, other),
    }
}

/// Arithmetic.
#[derive(Clone, Copy)]
enum Calculation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// Arithmetic on two numbers of one type. What overflows, or divides by nothing, is an error.
fn counted<'a>(calculation: Calculation, one: &Value<'a>, other: &Value<'a>) -> Result<Value<'a>, Failure> {
    let outcome = match (one, other) {
        (Value::Int(one), Value::Int(other)) => whole(calculation, *one, *other).map(Value::Int),
        (Value::Uint(one), Value::Uint(other)) => unsigned(calculation, *one, *other).map(Value::Uint),
        (Value::Double(one), Value::Double(other)) => fraction(calculation, *one, *other).map(Value::Double),
        _ => {
            let message = format!("{} and {} cannot be calculated with", one.kind(), other.kind());
            return Err(Failure::wrong(message));
        }
    };
    outcome.ok_or_else(|| Failure::wrong("a result is out of range"))
}

fn whole(calculation: Calculation, one: i64, other: i64) -> Option<i64> {
    match calculation {
        Calculation::Add => one.checked_add(other),
        Calculation::Subtract => one.checked_sub(other),
        Calculation::Multiply => one.checked_mul(other),
        Calculation::Divide => one.checked_div(other),
        Calculation::Remainder => one.checked_rem(other),
    }
}

fn unsigned(calculation: Calculation, one: u64, other: u64) -> Option<u64> {
    match calculation {
        Calculation::Add => one.checked_add(other),
        Calculation::Subtract => one.checked_sub(other),
        Calculation::Multiply => one.checked_mul(other),
        Calculation::Divide => one.checked_div(other),
        Calculation::Remainder => one.checked_rem(other),
    }
}

fn fraction(calculation: Calculation, one: f64, other: f64) -> Option<f64> {
    match calculation {
        Calculation::Add => Some(one + other),
        Calculation::Subtract => Some(one - other),
        Calculation::Multiply => Some(one * other),
        Calculation::Divide => Some(one / other),
        // CEL knows no remainder of fractions.
        Calculation::Remainder => None,
    }
}
