//! Names like one that is not there.

/// Longer names are typed by nobody, and comparing two takes the product of their lengths.
const LONGEST: usize = 100;

/// The names most like `word`, at most five and each once: the same in other case first, then those that contain it,
/// then those that a few letters part from it. None if all are quite different.
pub(crate) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    if word.is_empty() || word.len() > LONGEST {
        return Vec::new();
    }
    let lower = word.to_lowercase();
    let rank = |name: &'a str| {
        let known = name.to_lowercase();
        let distance = match () {
            () if known == lower => 0,
            () if known.contains(&lower) => 1,
            () if known.len() > LONGEST => return None,
            () => 1 + distance(&lower, &known),
        };
        let letters = distance.saturating_sub(1);
        // One letter of a short name may be another; letters that were only swapped are two by their number.
        let few = letters * 3 <= known.len().max(3) && letters < known.len();
        (few || sorted(&lower) == sorted(&known)).then_some((distance, name))
    };
    let mut near: Vec<(usize, &str)> = names.into_iter().filter_map(rank).collect();
    near.sort_by_key(|&(distance, _)| distance);
    let mut seen = std::collections::HashSet::new();
    near.retain(|(_, name)| seen.insert(*name));
    near.truncate(5);
    near.into_iter().map(|(_, name)| name).collect()
}

/// `did you mean a, b?`, if some of the names are like `word`.
pub(crate) fn did_you_mean<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let near = nearest(word, names);
    (!near.is_empty()).then(|| format!("did you mean {}?", near.join(", ")))
}

fn sorted(word: &str) -> Vec<char> {
    let mut letters: Vec<char> = word.chars().collect();
    letters.sort_unstable();
    letters
}

/// Insertions, deletions and substitutions that make one word of the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_case_apart_are_near() {
        let names = ["feature", "label", "Epoch", "epoch_end", "x"];
        assert_eq!(nearest("features", names), ["feature"]);
        assert_eq!(nearest("EPOCH", names), ["Epoch", "epoch_end"]);
        assert_eq!(nearest("lable", names), ["label"]);
        assert_eq!(nearest("y", names), [] as [&str; 0]);
        assert_eq!(nearest("labels", names), ["label"]);
        assert_eq!(nearest("zzz", names), [] as [&str; 0]);
        assert_eq!(nearest("", names), [] as [&str; 0]);
        assert_eq!(did_you_mean("epoc", names).as_deref(), Some("did you mean Epoch, epoch_end?"));
        assert_eq!(did_you_mean("zzz", names), None);
    }

    #[test]
    fn long_names_take_no_time() {
        let long = "a".repeat(1 << 20);
        assert!(nearest(&long, [long.as_str()]).is_empty());
        assert!(nearest("b", [long.as_str()]).is_empty());
    }
}
