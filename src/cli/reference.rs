//! The reference page: what the readers of policies and configurations take, told by themselves.

use std::fmt::Write as _;

use crate::policy;
use crate::settings;

/// The page, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut text = String::from(
        "# Reference\n\n\
         Every field that the program reads, written by it: `cargo run --example reference`. What they mean stands in [policy.md](policy.md) and\n\
         [configuration.md](configuration.md). `[]` is each entry of a list, `NAME` a name of yours.\n\n## Policy\n\n",
    );
    text.push_str(&policy::fields());
    text.push_str("\n## Configuration\n\n");
    text.push_str(&settings::fields_table());
    text.push_str("\n## Exit codes\n\n| code | means |\n|---|---|\n");
    for (code, meaning) in [
        (super::Exit::Ok, "all verified, or nothing to do"),
        (super::Exit::Refused, "refused"),
        (super::Exit::Bad, "bad usage, configuration, policy or input file"),
        (super::Exit::Undecided, "undecided: try again"),
        (super::Exit::Changes, "`pin --check` would change something"),
    ] {
        let _ = writeln!(text, "| {} | {meaning} |", code.code());
    }
    text
}
