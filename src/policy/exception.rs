//! Exceptions: the only thing that loosens, and only what its own policy demands, until a day that it names.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::glob::{NamespacePattern, Pattern};
use super::requirement::Waiver;
use crate::fields::Complaint;
use crate::image::{Digest, Repository};

/// An exception of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exception {
    pub(super) images: Vec<Pattern>,
    /// The namespaces it is narrowed to.
    pub(super) namespaces: Option<Vec<NamespacePattern>>,
    /// The digests it is narrowed to.
    pub(super) digests: Option<Vec<Digest>>,
    /// What reports say.
    pub(super) waiver: Waiver,
    /// The first instant at which it no longer holds.
    pub(super) end: Timestamp,
}

impl Exception {
    /// Whether it covers this image in every one of these namespaces. An unknown one is covered by no narrowed exception.
    pub(super) fn covers(&self, repository: &Repository, namespaces: &[Option<&str>]) -> bool {
        let within = |patterns: &[NamespacePattern]| {
            namespaces
                .iter()
                .all(|namespace| namespace.is_some_and(|name| patterns.iter().any(|pattern| pattern.matches(name))))
        };
        self.images.iter().any(|pattern| pattern.matches(repository)) && self.namespaces.as_deref().is_none_or(within)
    }

    /// Whether it holds for this digest at this time.
    pub(super) fn holds(&self, digest: &Digest, now: Timestamp) -> bool {
        now < self.end && self.digests.as_ref().is_none_or(|digests| digests.contains(digest))
    }
}

/// The first instant of a UTC day, written `YYYY-MM-DD`.
///
/// # Errors
/// When it is no such day.
pub(super) fn day(text: &str) -> Result<Timestamp, Complaint> {
    let wrong = || {
        let message = format!("`{text}` is no day");
        Complaint::new(message, "write the first UTC day on which it no longer holds, as `2027-01-31`")
    };
    let date: Date = text.parse().map_err(|_| wrong())?;
    // The parser knows more forms than the one that reports show.
    if date.to_string() != text || date.year() < 1970 {
        return Err(wrong());
    }
    Ok(date.to_zoned(TimeZone::UTC).map_err(|_| wrong())?.timestamp())
}

/// An instant: a UTC day, which is its first, or a time with its offset, as `2027-01-31T12:00:00Z`.
///
/// # Errors
/// When it is neither.
pub(super) fn instant(text: &str) -> Result<Timestamp, Complaint> {
    let wrong = || {
        let help = "write a UTC day, as `2027-01-31`, or a time with its offset, as `2027-01-31T12:00:00Z`";
        Complaint::new(format!("`{text}` is no time"), help)
    };
    if text.len() > 10 { text.parse().map_err(|_| wrong()) } else { day(text).map_err(|_| wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_a_day_or_a_time() {
        for (text, expected) in [
            ("2027-01-31", "2027-01-31T00:00:00Z"),
            ("2027-01-31T12:00:00Z", "2027-01-31T12:00:00Z"),
            ("2027-01-31T12:00:00+02:00", "2027-01-31T10:00:00Z"),
        ] {
            assert_eq!(instant(text).unwrap().to_string(), expected);
        }
        for bad in ["", "2027-02-30", "2027-01-31T12:00:00", "tomorrow at noon", "2027-1-3"] {
            assert!(instant(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_plain_day_is_an_expiry() {
        assert_eq!(day("2027-01-31").unwrap().to_string(), "2027-01-31T00:00:00Z");
        for bad in [
            "",
            "2027-02-30",
            "2027-1-3",
            "20270131",
            "2027-01-31T00:00:00",
            "31.01.2027",
            "-2027-01-31",
            "1969-01-01",
            "never",
        ] {
            assert!(day(bad).is_err(), "{bad}");
        }
    }
}
