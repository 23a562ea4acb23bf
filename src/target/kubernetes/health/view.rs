//! Reads single fields of an object.

use serde_json::Value;

/// An object.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a>(pub(super) &'a Value);

/// A condition in an object's status.
#[derive(Debug, Clone, Copy)]
pub(super) struct Condition<'a>(&'a Value);

impl<'a> View<'a> {
    pub(super) fn text(self, pointer: &str) -> Option<&'a str> {
        self.0.pointer(pointer)?.as_str()
    }

    pub(super) fn whole(self, pointer: &str) -> Option<i64> {
        self.0.pointer(pointer)?.as_i64()
    }

    pub(super) fn count(self, pointer: &str, default: i64) -> i64 {
        self.whole(pointer).unwrap_or(default)
    }

    pub(super) fn condition(self, name: &str) -> Option<Condition<'a>> {
        let conditions = self.0.pointer("/status/conditions")?.as_array()?;
        conditions.iter().find(|it| it.get("type").and_then(Value::as_str) == Some(name)).map(Condition)
    }

    /// The containers that crash again and again.
    pub(super) fn crashing(self) -> Vec<&'a str> {
        let lists = ["/status/initContainerStatuses", "/status/containerStatuses"];
        let statuses = lists.iter().filter_map(|list| self.0.pointer(list)?.as_array()).flatten();
        let crashes =
            |it: &&Value| it.pointer("/state/waiting/reason").and_then(Value::as_str) == Some("CrashLoopBackOff");
        statuses.filter(crashes).filter_map(|it| it.get("name")?.as_str()).collect()
    }
}

impl Condition<'_> {
    pub(super) fn is(self, status: &str) -> bool {
        self.text("status") == status
    }

    pub(super) fn reason(&self) -> &str {
        self.text("reason")
    }

    /// What it says, or else its reason or name.
    pub(super) fn message(self) -> String {
        let said = ["message", "reason", "type"].into_iter().map(|field| self.text(field));
        said.filter(|text| !text.is_empty()).map(str::to_owned).next().unwrap_or_default()
    }

    fn text(&self, field: &str) -> &str {
        self.0.get(field).and_then(Value::as_str).unwrap_or_default()
    }
}
