//! How inputs are changed: the same numbers in every run.

use std::ops::Range;

/// Largest input, in bytes.
const MAX_INPUT: usize = 64 << 10;

/// Pieces that mean something to JSON, base64, PEM, DER and YAML.
const PIECES: [&[u8]; 32] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\\u0000",
    b"null",
    b"true",
    b"-1",
    b"1e400",
    b"18446744073709551616",
    b"0",
    b"=",
    b"==",
    b"-_",
    b"A",
    b"\n",
    b"\r\n",
    b"\0",
    b"\xff",
    b"\x30\x80",
    b"\x04\x82\xff\xff",
    b"-----BEGIN CERTIFICATE-----\n",
    b"-----END CERTIFICATE-----\n",
    b"sha256:",
    b"  - ",
    b"*",
    b"'",
    b"\"digest\":{},",
];

/// A generator of numbers (xorshift).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let limit = u64::try_from(limit.max(1)).unwrap();
        usize::try_from((self.0 >> 11) % limit).unwrap()
    }

    fn range(&mut self, length: usize) -> Range<usize> {
        let start = self.below(length + 1);
        let longest = if self.below(8) == 0 { length } else { 12 };
        start..(start + self.below(longest + 1)).min(length)
    }

    /// The bytes with one to four changes.
    pub(crate) fn changed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            self.change(&mut bytes);
        }
        bytes.truncate(MAX_INPUT);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let range = self.range(bytes.len());
        match self.below(6) {
            0 => drop(bytes.drain(range)),
            1 => {
                let copy = bytes[range.clone()].to_vec();
                let times = if self.below(16) == 0 { 1 + self.below(200) } else { 1 };
                bytes.splice(range.start..range.start, copy.repeat(times));
            }
            2 => {
                let piece = PIECES[self.below(PIECES.len())];
                let times = if self.below(32) == 0 { 1 + self.below(3000) } else { 1 };
                bytes.splice(range.start..range.start, piece.repeat(times));
            }
            3 => {
                let piece = PIECES[self.below(PIECES.len())];
                bytes.splice(range, piece.iter().copied());
            }
            _ => {
                // One bit of one byte.
                let place = range.start.min(bytes.len().saturating_sub(1));
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << self.below(8);
                }
            }
        }
    }
}
