//! Platforms, as an image index names them: `os/architecture[/variant]`.

use std::fmt;
use std::str::FromStr;

/// A platform such as `linux/arm64/v8`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// Operating system, in Go's words: `linux`, `windows`.
    pub os: String,
    /// Architecture, in Go's words: `amd64`, `arm64`.
    pub architecture: String,
    /// The architecture's variant, such as `v8`.
    pub variant: Option<String>,
}

/// Why a string is no [`Platform`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a platform is written `os/architecture` or `os/architecture/variant`, such as `linux/amd64`")]
pub struct PlatformError;

impl Platform {
    /// Whether `self`, as asked for in a policy, covers `other`, as an index lists it: a variant counts only when asked for.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.os == other.os
            && self.architecture == other.architecture
            && (self.variant.is_none() || self.variant == other.variant)
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('/').collect();
        let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !parts.iter().all(|part| word(part)) {
            return Err(PlatformError);
        }
        match parts.as_slice() {
            [os, architecture] => Ok(Self { os: (*os).into(), architecture: (*architecture).into(), variant: None }),
            [os, architecture, variant] => {
                Ok(Self { os: (*os).into(), architecture: (*architecture).into(), variant: Some((*variant).into()) })
            }
            _ => Err(PlatformError),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(out, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_parsed_or_refused() {
        for good in ["linux/amd64", "linux/arm/v7", "windows/amd64"] {
            assert_eq!(good.parse::<Platform>().unwrap().to_string(), good);
        }
        for bad in ["", "linux", "linux/", "/amd64", "linux/amd64/v8/x", "Linux/amd64", "linux/ amd64"] {
            assert_eq!(bad.parse::<Platform>(), Err(PlatformError), "{bad}");
        }
    }
}
