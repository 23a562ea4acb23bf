//! Counts signatures: m of n over distinct signers and distinct authorities.

use std::collections::{BTreeMap, BTreeSet};

use crate::image::Digest;

/// The signatures that count for a requirement: which authority, by its position, found which signer.
#[derive(Debug, Default)]
pub(super) struct Tally(BTreeMap<usize, BTreeSet<Digest>>);

impl Tally {
    /// A signature by `signer` fulfils all that the authority asks.
    pub(super) fn add(&mut self, authority: usize, signer: Digest) {
        self.0.entry(authority).or_default().insert(signer);
    }

    /// Whether the authority found any signer.
    pub(super) fn has(&self, authority: usize) -> bool {
        self.0.contains_key(&authority)
    }

    /// How many authorities can be given a signer of their own: the largest matching between the two. A key under two
    /// authorities is one signer, two signatures by one key are one.
    pub(super) fn count(&self) -> usize {
        let mut taken = BTreeMap::new();
        self.0.keys().filter(|authority| self.place(**authority, &mut taken, &mut BTreeSet::new())).count()
    }

    /// Finds `authority` a signer, moving others to another of theirs where that helps (an augmenting path). The depth
    /// is bounded by `tried`, which holds each signer once.
    fn place(&self, authority: usize, taken: &mut BTreeMap<Digest, usize>, tried: &mut BTreeSet<Digest>) -> bool {
        let Some(signers) = self.0.get(&authority) else { return false };
        for signer in signers {
            if !tried.insert(*signer) {
                continue;
            }
            let free = match taken.get(signer).copied() {
                None => true,
                Some(holder) => self.place(holder, taken, tried),
            };
            if free {
                taken.insert(*signer, authority);
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signer_and_each_authority_counts_once() {
        let cases: [(&[(usize, u8)], usize); 9] = [
            (&[], 0),
            (&[(0, 1)], 1),
            (&[(0, 1), (0, 1)], 1),
            // Two signers under one authority.
            (&[(0, 1), (0, 2)], 1),
            // One signer under two authorities.
            (&[(0, 1), (1, 1)], 1),
            (&[(0, 1), (1, 2)], 2),
            // A greedy choice would give 1 to the first authority and leave the second with nothing.
            (&[(0, 1), (0, 2), (1, 1)], 2),
            (&[(0, 1), (0, 2), (1, 1), (1, 3), (2, 1)], 3),
            (&[(0, 1), (1, 1), (2, 1), (2, 2)], 2),
        ];
        for (pairs, expected) in cases {
            let mut tally = Tally::default();
            for (authority, signer) in pairs {
                tally.add(*authority, Digest::from_raw([*signer; 32]));
            }
            assert_eq!(tally.count(), expected, "{pairs:?}");
        }
    }
}
