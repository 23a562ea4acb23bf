//! How alike two words are, for proposing the one that was meant.

/// How many letters must change, come or go between two words; words longer than any field are simply far apart.
pub(super) fn distance(one: &str, other: &str) -> usize {
    if other.len() > 64 {
        return usize::MAX;
    }
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, left) in one.chars().enumerate() {
        let mut beside = above.saturating_add(1);
        let mut next = vec![beside];
        for (right, (diagonal, up)) in other.iter().zip(row.iter().zip(row.iter().skip(1))) {
            let changed = diagonal.saturating_add(usize::from(left != *right));
            beside = changed.min(up.saturating_add(1)).min(beside.saturating_add(1));
            next.push(beside);
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_differ_are_counted() {
        let table = [("", "", 0), ("name", "nmae", 2), ("name", "names", 1), ("", "abc", 3), ("abc", "", 3)];
        for (one, other, steps) in table {
            assert_eq!(distance(one, other), steps, "{one} {other}");
        }
    }
}
