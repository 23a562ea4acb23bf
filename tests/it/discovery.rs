//! What discovery finds, measured against lists of true fields and of traps.

pub mod measure;
pub mod places;

use measure::{Answer, Finder, Measure, PAGE, page};

#[test]
fn nearly_every_true_field_is_found_and_no_trap_is() {
    let measure = Measure::take();
    let known = measure.known(Finder::Sealgate);
    assert!(known.total() >= 600, "only {} fields of known kinds are listed", known.total());
    assert!(known.found() * 100 >= known.total() * 95, "{:?}", measure.missed(true));
    assert_eq!(known.silent(), 0, "{:?}", measure.missed(true));
    let unknown = measure.unknown(Finder::Sealgate);
    assert_eq!(unknown.silent(), 0, "{:?}", measure.missed(false));
    assert_eq!(measure.traps(Finder::Sealgate).found(), 0, "{:?}", measure.fallen_for());
}

#[test]
fn the_page_says_what_is_measured() {
    let written = std::fs::read_to_string(PAGE).unwrap();
    assert_eq!(page(&written, &Measure::take()), written, "write it anew: cargo run --example discovery-table");
}

#[test]
fn a_field_that_is_not_there_is_missed() {
    let measure = Measure::take();
    let blind = measure.known(Finder::ImageKey);
    assert!(blind.count(Answer::Silent) > 0 && blind.count(Answer::Found) > 0);
}
