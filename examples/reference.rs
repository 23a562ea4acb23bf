//! Writes `docs/reference.md` from the code that reads the files: `cargo run --example reference > docs/reference.md`.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(sealgate::cli::reference().as_bytes())
}
