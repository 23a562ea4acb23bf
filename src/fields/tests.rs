//! Documents against a schema: every fault with its place.

use super::*;
use crate::manifest;
use crate::snapshot::File;

fn any(text: &str) -> Result<(), Complaint> {
    if text == "bad" { Err(Complaint::new("it is bad", "be good")) } else { Ok(()) }
}

static RECORD: Record = Record {
    fields: &[
        required("name", Shape::Text(any)),
        optional("count", Shape::Count(1..=3)),
        optional("table", Shape::Table(any, &Shape::Flag)),
        optional("either", Shape::OneOrList(&Shape::Word(&["all", "off"]), &Shape::List(&Shape::Text(any), 1))),
        optional("later", Shape::Later("wait")),
    ],
    between: nothing,
};

fn told(text: &str) -> Vec<String> {
    let file = File { path: "f".into(), bytes: text.to_owned().into() };
    let documents = manifest::read(&file, &manifest::Limits::default()).unwrap();
    let mut found = Found::new("f", ErrorCode::ConfigInvalid);
    check(&documents[0].root, &Shape::Record(&RECORD), &Path::default(), &mut found);
    found.into_problems().iter().map(|problem| format!("{problem} ({})", problem.help)).collect()
}

#[test]
fn what_fits_is_accepted() {
    for good in ["name: a", "{name: a, count: 3, table: {a.b: true}, either: off}", "{name: a, either: [x]}"] {
        assert_eq!(told(good), Vec::<String>::new(), "{good}");
    }
}

#[test]
fn what_does_not_fit_is_told_with_its_place() {
    let table = [
        ("{nam: a, name: b}", "f:1:2: unknown field `nam` (did you mean `name`?)"),
        (
            "{unheardof: a, name: b}",
            "f:1:2: unknown field `unheardof` (the fields here are `name`, `count`, `table`, `either` or `later`)",
        ),
        ("{count: 1}", "f:1:1: missing field `name` (write it)"),
        ("name: bad", "f:1:7: it is bad (in `name`) (be good)"),
        ("name: null", "f:1:7: `name` must be a string, not nothing (put it in quotes, if it is meant as text)"),
        (
            "{name: a, count: 4}",
            "f:1:18: `count` must be a whole number from 1 to 3, not the number `4` (write such a number)",
        ),
        (
            "{name: a, count: -1}",
            "f:1:18: `count` must be a whole number from 1 to 3, not the number `-1` (write such a number)",
        ),
        (
            "{name: a, table: {a.b: 1}}",
            "f:1:24: `table[\"a.b\"]` must be `true` or `false`, not the number `1` (write `true` or `false`, without quotes)",
        ),
        ("{name: a, either: some}", "f:1:19: `either` cannot be `some` (write `all` or `off`)"),
        ("{name: a, either: []}", "f:1:19: `either` is an empty list (name at least one, or leave the field out)"),
        ("{name: a, later: {x: 1}}", "f:1:18: `later` is not supported yet (wait)"),
    ];
    for (text, expected) in table {
        assert_eq!(told(text), [expected], "{text}");
    }
}

#[test]
fn problems_are_told_up_to_a_bound() {
    use std::fmt::Write as _;
    let mut text = "name: a\n".to_owned();
    for index in 0..1000 {
        writeln!(text, "x{index}: 1").unwrap();
    }
    assert_eq!(told(&text).len(), MAX_PROBLEMS + 1);
}
