//! Which key lies on the horizontal axis of figures, and which groups have figures of their own.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::archive::natural;
use crate::batch::Label;

/// The most groups with figures of their own.
const MOST: usize = 6;

/// The place of the key with numbers that has the most values, the last of several; `None` if no key has two.
pub(super) fn axis(keys: &[Vec<&Label>]) -> Option<usize> {
    let values = |at: usize| -> Option<usize> {
        let numbers: Option<BTreeSet<i128>> = keys.iter().map(|key| number(key.get(at)?)).collect();
        numbers.map(|numbers| numbers.len()).filter(|&count| count > 1)
    };
    let count = keys.first().map_or(0, Vec::len);
    (0..count).filter_map(|at| Some((values(at)?, at))).max().map(|(_, at)| at)
}

/// A key without what lies on the axis: the line of the group.
pub(super) fn others<'a>(key: &[&'a Label], axis: Option<usize>) -> Vec<&'a Label> {
    key.iter().enumerate().filter(|(place, _)| Some(*place) != axis).map(|(_, label)| *label).collect()
}

/// Compares keys of groups as people order them: `layer_2` before `layer_10`.
pub(super) fn by_nature(a: &[&Label], b: &[&Label]) -> Ordering {
    let labels = |(a, b): (&&Label, &&Label)| match (a, b) {
        (Label::Text(a), Label::Text(b)) => natural(a, b),
        (a, b) => a.cmp(b),
    };
    let order = a.iter().zip(b).map(labels).find(|order| order.is_ne());
    order.unwrap_or_else(|| a.len().cmp(&b.len()))
}

fn number(label: &Label) -> Option<i128> {
    match label {
        Label::Int(number) => Some(*number),
        Label::Bool(_) | Label::Text(_) => None,
    }
}

/// The groups that have figures of their own, by the places of their keys, at most six: the last one of each line of the
/// other figures. The last of them is shown class by class.
///
/// Of more lines, those are taken that differ from the last one in a single key, the one with most values; and of more
/// than six of these, six that are evenly apart.
pub fn drawn(keys: &[Vec<&Label>]) -> Vec<usize> {
    let axis = axis(keys);
    let others = |at: usize| others(&keys[at], axis);
    let mut ends: Vec<usize> = (0..keys.len()).collect();
    ends.sort_by(|&a, &b| by_nature(&others(a), &others(b)).then_with(|| by_nature(&keys[a], &keys[b])));
    if axis.is_some() {
        let all = ends.clone();
        let is_last = |place: usize| all.get(place + 1).is_none_or(|&next| others(next) != others(all[place]));
        ends = (0..all.len()).filter(|&place| is_last(place)).map(|place| all[place]).collect();
    }
    let Some(&last) = ends.last().filter(|_| ends.len() > MOST) else { return ends };
    let of_last = others(last);
    let values = |place: usize| ends.iter().map(|&end| others(end)[place]).collect::<BTreeSet<_>>().len();
    if let Some((_, varied)) = (0..of_last.len()).map(|place| (values(place), place)).max() {
        let agrees = |end: &usize| {
            let own = others(*end);
            (0..own.len()).all(|place| place == varied || own[place] == of_last[place])
        };
        ends.retain(agrees);
    }
    if ends.len() > MOST {
        ends = (0..MOST).map(|at| ends[at * (ends.len() - 1) / (MOST - 1)]).collect();
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(keys: &[Vec<Label>]) -> (Option<usize>, Vec<usize>) {
        let keys: Vec<Vec<&Label>> = keys.iter().map(|key| key.iter().collect()).collect();
        (axis(&keys), drawn(&keys))
    }

    fn text(text: &str) -> Label {
        Label::Text(text.into())
    }

    #[test]
    fn the_last_group_of_each_line() {
        let layers = ["h1", "h2"].iter().flat_map(|layer| [0, 9, 53].map(|epoch| vec![text(layer), Label::Int(epoch)]));
        assert_eq!(places(&layers.collect::<Vec<_>>()), (Some(1), vec![2, 5]));
        let first = [0, 9, 53].iter().flat_map(|&epoch| ["h1", "h2"].map(|layer| vec![Label::Int(epoch), text(layer)]));
        assert_eq!(places(&first.collect::<Vec<_>>()), (Some(0), vec![4, 5]));
        assert_eq!(places(&[vec![]]), (None, vec![0]));
        assert_eq!(places(&[]), (None, vec![]));
        assert_eq!(places(&[vec![text("a")], vec![text("b")]]), (None, vec![0, 1]));
    }

    #[test]
    fn of_many_lines_those_that_differ_in_one_key() {
        let keys: Vec<Vec<Label>> = (0..4)
            .flat_map(|layer| ["test", "train"].map(|split| (layer, split)))
            .flat_map(|(layer, split)| {
                [1, 2, 3, 4, 5].map(|epoch| vec![Label::Int(layer), text(split), Label::Int(epoch)])
            })
            .collect();
        let (axis, drawn) = places(&keys);
        assert_eq!(axis, Some(2));
        let shown: Vec<String> =
            drawn.iter().map(|&at| keys[at].iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(shown, ["0 train 5", "1 train 5", "2 train 5", "3 train 5"]);
        let many: Vec<Vec<Label>> = (0..24).map(|layer| vec![text(&format!("{layer:02}"))]).collect();
        assert_eq!(places(&many), (None, vec![0, 4, 9, 13, 18, 23]));
    }

    #[test]
    fn numbers_in_names_are_ordered_as_numbers() {
        let texts = ["layer_0", "layer_1", "layer_10", "layer_11", "layer_2", "layer_9"];
        let keys: Vec<Vec<Label>> = texts.iter().map(|name| vec![text(name)]).collect();
        assert_eq!(places(&keys), (None, vec![0, 1, 4, 5, 2, 3]));
    }
}
