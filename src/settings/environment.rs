//! Environment variables that override the file: one for each scalar of the schema outside lists and tables. The
//! environment is an argument; it is not read here.

use std::collections::BTreeMap;

use crate::fields::{self, Record, Shape};
use crate::reason::{ErrorCode, Problem};

/// What every variable of ours begins with.
const PREFIX: &str = "SEALGATE_";
/// Variables of ours that are no settings.
const OTHERS: [&str; 2] = ["SEALGATE_LOG", "SEALGATE_VECTORS"];

/// A value for a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Override {
    /// The setting's path, such as `limits.fileBytes`.
    pub(super) path: String,
    /// The value.
    pub(super) text: String,
}

/// A setting that can be overridden.
struct Slot {
    variable: String,
    path: String,
    shape: &'static Shape,
}

/// The overrides in an environment, names compared without regard to case.
///
/// # Errors
/// Every variable with our prefix that is no setting, stands twice, or has a value that the setting cannot have.
pub(super) fn overrides(
    environment: &BTreeMap<String, String>,
    settings: &'static Record,
) -> Result<Vec<Override>, Vec<Problem>> {
    let mut slots = Vec::new();
    collect(settings, PREFIX, "", &mut slots);
    let mut seen = BTreeMap::new();
    let mut overrides = Vec::new();
    let mut problems = Vec::new();
    for (name, text) in environment {
        let upper = name.to_ascii_uppercase();
        if !upper.starts_with(PREFIX) || OTHERS.contains(&upper.as_str()) {
            continue;
        }
        if let Some(first) = seen.insert(upper.clone(), name) {
            problems.push(problem(name, &format!("says the same as `{first}`"), "keep one of them"));
            continue;
        }
        match slot(&slots, &upper).map(|slot| (slot, fields::check_text(text, slot.shape))) {
            Some((slot, Ok(()))) => overrides.push(Override { path: slot.path.clone(), text: text.clone() }),
            Some((_, Err(complaint))) => problems.push(problem(name, &complaint.message, &complaint.help)),
            None => problems.push(problem(name, "is no setting", &known(&slots))),
        }
    }
    if problems.is_empty() { Ok(overrides) } else { Err(problems) }
}

fn problem(name: &str, what: &str, help: &str) -> Problem {
    let message = format!("environment variable `{name}`: {what}");
    Problem::new(ErrorCode::ConfigInvalid, message).with_help(help)
}

fn slot<'a>(slots: &'a [Slot], variable: &str) -> Option<&'a Slot> {
    slots.iter().find(|slot| slot.variable == variable)
}

fn known(slots: &[Slot]) -> String {
    let names: Vec<&str> = slots.iter().map(|slot| slot.variable.as_str()).chain(OTHERS).collect();
    format!("known are {}", fields::one_of(&names))
}

fn collect(record: &'static Record, variable: &str, path: &str, slots: &mut Vec<Slot>) {
    for field in record.fields {
        let variable = format!("{variable}{}", field.name.to_ascii_uppercase());
        let path = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
        match &field.shape {
            Shape::Record(inner) => collect(inner, &format!("{variable}__"), &path, slots),
            Shape::Text(_) | Shape::Quantity(_) | Shape::Switch(_) | Shape::Word(_) | Shape::Flag | Shape::Count(_) => {
                slots.push(Slot { variable, path, shape: &field.shape });
            }
            Shape::List(..) | Shape::OneOrList(..) | Shape::OneOrRecord(..) | Shape::Table(..) | Shape::Later(_) => {}
        }
    }
}
