//! The name that was probably meant.

/// Longest name that is compared; names beyond it are nobody's typing error.
const MAX_LENGTH: usize = 64;

/// The known name nearest to `written`, if it is near: a third of its letters may differ, two neighbours swapped count
/// as one.
pub(crate) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (distance(written, name), name))
        .filter(|(distance, name)| *distance <= (name.chars().count() / 3).max(1))
        .min()
        .map(|(_, name)| name)
}

/// Optimal string alignment distance in letters.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().max(b.len()) > MAX_LENGTH {
        return usize::MAX;
    }
    let mut before = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let exchanged = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = exchanged.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_finds_its_name_and_a_strange_word_none() {
        let known = ["login", "anonymous", "pro-burst"];
        assert_eq!(nearest("logn", known), Some("login"));
        assert_eq!(nearest("lgoin", known), Some("login"));
        assert_eq!(nearest("anonimous", known), Some("anonymous"));
        assert_eq!(nearest("checkout", known), None);
        assert_eq!(nearest("", known), None);
    }
}
