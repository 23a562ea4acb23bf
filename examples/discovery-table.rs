//! Writes the measured table of `docs/discovery.md`: `cargo run --example discovery-table`.
#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "a tool of the tests: a failure is a panic that names its line"
)]

#[path = "../tests/it/discovery/measure.rs"]
mod measure;
#[path = "../tests/it/discovery/places.rs"]
mod places;

fn main() {
    let measure = measure::Measure::take();
    let written = std::fs::read_to_string(measure::PAGE).unwrap();
    std::fs::write(measure::PAGE, measure::page(&written, &measure)).unwrap();
    println!("missed: {:#?}\ntaken for images: {:#?}", measure.missed(true), measure.fallen_for());
    println!("other kinds, not found: {:#?}", measure.missed(false));
}
