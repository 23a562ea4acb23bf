//! Wildcards: `*` and `**` on ASCII names. A pattern is matched in time bounded by its length times the name's: neither
//! a hostile pattern nor a hostile name may hang the gate.

/// A pattern, compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob(Vec<Token>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// This byte.
    Byte(u8),
    /// Any run of bytes, of none too, among which there is none of these.
    Run { except: &'static [u8] },
}

/// What `*` and `**` stop at.
pub(super) struct Stops {
    one: &'static [u8],
    two: &'static [u8],
}

/// In a host, neither leaves it: what stands behind the first slash is somebody else's choice.
pub(super) const IN_HOST: Stops = Stops { one: b"./:", two: b"/" };
/// In a path, `*` keeps to one segment.
pub(super) const IN_PATH: Stops = Stops { one: b"/", two: b"" };

impl Glob {
    /// The pattern of the empty name, to begin with.
    pub(super) fn empty() -> Self {
        Self(Vec::new())
    }

    /// The pattern of every name.
    pub(super) fn everything() -> Self {
        Self(vec![Token::Run { except: b"" }])
    }

    /// The same pattern followed by `text`, whose wildcards stop where `stops` says.
    pub(super) fn then(mut self, text: &str, stops: &Stops) -> Self {
        let mut rest = text.as_bytes();
        loop {
            let (token, behind) = match rest {
                [b'*', b'*', behind @ ..] => (Token::Run { except: stops.two }, behind),
                [b'*', behind @ ..] => (Token::Run { except: stops.one }, behind),
                [byte, behind @ ..] => (Token::Byte(*byte), behind),
                [] => return self,
            };
            self.0.push(token);
            rest = behind;
        }
    }

    /// Whether it matches the whole name. Walks all ways through the pattern at once, so that no name makes it go back.
    pub(super) fn matches(&self, name: &str) -> bool {
        let literal = self.0.iter().take_while(|token| matches!(token, Token::Byte(_))).count();
        let (prefix, tokens) = self.0.split_at(literal.min(self.0.len()));
        let Some((head, rest)) = name.as_bytes().split_at_checked(literal) else { return false };
        if !prefix.iter().zip(head).all(|(token, byte)| *token == Token::Byte(*byte)) {
            return false;
        }
        let mut here = vec![false; tokens.len().saturating_add(1)];
        let mut next = here.clone();
        reach(&mut here, tokens, 0);
        for byte in rest {
            next.fill(false);
            for (at, (token, _)) in tokens.iter().zip(&here).enumerate().filter(|(_, (_, reached))| **reached) {
                match token {
                    Token::Byte(wanted) if wanted == byte => reach(&mut next, tokens, at.saturating_add(1)),
                    Token::Run { except } if !except.contains(byte) => reach(&mut next, tokens, at),
                    Token::Byte(_) | Token::Run { .. } => {}
                }
            }
            std::mem::swap(&mut here, &mut next);
        }
        here.last().copied() == Some(true)
    }
}

/// Marks a position as reached, and those that are reached from it by runs of nothing.
fn reach(positions: &mut [bool], tokens: &[Token], from: usize) {
    for (at, position) in positions.iter_mut().enumerate().skip(from) {
        // Where it was reached before, so was all behind it.
        if std::mem::replace(position, true) || !matches!(tokens.get(at), Some(Token::Run { .. })) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The plainest way to match, which takes for ever on hostile input.
    fn plainly(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], name) => name.is_empty(),
            ([b'*', b'*', rest @ ..], _) => (0..=name.len()).any(|cut| plainly(rest, &name[cut..])),
            ([b'*', rest @ ..], _) => {
                (0..=name.len()).take_while(|cut| !name[..*cut].contains(&b'/')).any(|cut| plainly(rest, &name[cut..]))
            }
            ([byte, rest @ ..], [first, name @ ..]) => byte == first && plainly(rest, name),
            ([_, ..], []) => false,
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_plainest_way(pattern in "[ab/*]{0,10}", name in "[ab/]{0,10}") {
            let expected = plainly(pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(Glob::empty().then(&pattern, &IN_PATH).matches(&name), expected);
        }
    }
}
