//! Numbers and names as text.

use std::collections::BTreeSet;

use serde_json::{Number, Value};

use crate::batch::Label;

/// Stands for a missing number.
pub(super) const NOTHING: &str = "—";

/// The shortest digits that read back as the same number; `inf` and `-inf` for infinities, empty for NaN.
pub(super) fn shortest(value: f64) -> String {
    match Number::from_f64(value) {
        Some(number) => number.to_string(),
        None if value.is_nan() => String::new(),
        None => value.to_string(),
    }
}

/// Four significant digits; whole numbers below a million in full.
pub(super) fn significant(value: f64) -> String {
    if value.is_nan() {
        return NOTHING.to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "∞" } else { "-∞" }.to_owned();
    }
    if value.fract() == 0.0 && value.abs() < 1e6 {
        // As an integer, -0 is `0`.
        return (value as i64).to_string();
    }
    digits(value, 4)
}

/// So many significant digits of a finite number.
fn digits(value: f64, count: u8) -> String {
    let places = usize::from(count - 1);
    // Rounding may carry into the next power of ten; scientific notation has done that already.
    let scientific = format!("{value:.places$e}");
    match exponent(&scientific) {
        exponent @ -5..=5 => format!("{value:.*}", usize::try_from(i32::from(count) - 1 - exponent).unwrap_or(0)),
        _ => scientific,
    }
}

/// The power of ten in scientific notation.
fn exponent(scientific: &str) -> i32 {
    scientific.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0)
}

/// A number with its standard error: two significant digits of it, and the number to the same place.
pub(super) fn with_error(value: f64, se: f64) -> String {
    if !(value.is_finite() && se.is_finite() && se > 0.0) {
        return format!("{} ± {}", significant(value), significant(se));
    }
    let exponent = |x: f64, digits: usize| exponent(&format!("{x:.digits$e}"));
    let place = exponent(se, 1) - 1;
    let size = if value == 0.0 { place + 1 } else { exponent(value, 3).max(place + 1) };
    match (usize::try_from(-place), size) {
        (Ok(places), -5..=5) if places <= 9 => format!("{value:.places$} ± {se:.places$}"),
        (_, -5..=5) if place > 0 => {
            let round = |x: f64| (x / 10_f64.powi(place)).round() * 10_f64.powi(place);
            format!("{} ± {}", round(value), round(se))
        }
        _ => {
            let (unit, places) = (10_f64.powi(size), usize::try_from(size - place).unwrap_or(0));
            format!("({:.places$} ± {:.places$})e{size}", value / unit, se / unit)
        }
    }
}

/// An interval: its ends to the place of two significant digits of its half width.
pub(super) fn interval((low, high): (f64, f64)) -> String {
    let half = (high - low) / 2.0;
    if !(half.is_finite() && half > 0.0) {
        return format!("{} … {}", significant(low), significant(high));
    }
    let exponent = |x: f64| exponent(&format!("{x:.1e}"));
    match (usize::try_from(1 - exponent(half)), exponent(low.abs().max(high.abs()))) {
        (Ok(places), -5..=5) if places <= 9 => format!("{low:.places$} … {high:.places$}"),
        _ => format!("{} … {}", significant(low), significant(high)),
    }
}

/// Groups digits by three: `26,397`.
pub(super) fn grouped(count: &impl ToString) -> String {
    let plain = count.to_string();
    let (sign, digits) = plain.split_at(usize::from(plain.starts_with('-')));
    let mut text = sign.to_owned();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count of things: `1 row`, `1,257 rows`.
pub(crate) fn counted(count: u64, singular: &str, plural: &str) -> String {
    format!("{} {}", grouped(&count), if count == 1 { singular } else { plural })
}

/// A label in JSON; an integer that JSON cannot hold becomes text.
pub(super) fn json(label: &Label) -> Value {
    match label {
        Label::Bool(value) => Value::Bool(*value),
        Label::Int(value) => Number::from_i128(*value).map_or_else(|| Value::String(value.to_string()), Value::Number),
        Label::Text(value) => Value::String(value.to_string()),
    }
}

/// A machine-readable word for people: `no_head` becomes `no head`.
pub(super) fn words(code: &str) -> String {
    code.replace('_', " ")
}

/// What is left out of long names, if that leaves all of them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elision {
    End,
    Middle,
}

/// How a name, of the names the one at some place, is made short.
type Way<'a> = &'a dyn Fn(&[char], usize) -> String;

/// Names of `most` characters at most, and all apart: of long ones the end or the middle is left out, else what they begin
/// with, or all but what differs and what is around it.
pub(super) fn elided(names: &[String], most: usize, elision: Elision) -> Vec<String> {
    let room = most.saturating_sub(1);
    let distinct = |names: &[String]| names.iter().collect::<BTreeSet<_>>().len();
    let cut = |how: Way<'_>| -> Vec<String> {
        let cut = |(at, name): (usize, &String)| {
            let chars: Vec<char> = name.chars().collect();
            if chars.len() <= most { name.clone() } else { how(&chars, at) }
        };
        names.iter().enumerate().map(cut).collect()
    };
    let begin = |name: &[char], _: usize| -> String { name[..room].iter().chain(&['…']).collect() };
    let end = |name: &[char], _: usize| -> String {
        let end = &name[name.len() - room..];
        // From the beginning of a word, if there is one.
        let word = end[..room / 2].iter().position(|c| "./_- ".contains(*c)).map_or(0, |at| at + 1);
        ['…'].iter().chain(&end[word..]).collect()
    };
    let ends = |name: &[char], _: usize| -> String {
        let (first, last) = (&name[..room - room / 2], &name[name.len() - room / 2..]);
        first.iter().chain(&['…']).chain(last).collect()
    };
    // What follows a beginning that all share, from the beginning of a word, if there is one.
    let shared = shared_beginning(names);
    let differing = |name: &[char], length: usize| -> Vec<char> {
        let from = shared.saturating_sub(length / 2);
        let word = name[from..shared].iter().position(|c| "./_- ".contains(*c)).map_or(0, |at| at + 1);
        ['…'].iter().chain(&name[from + word..]).copied().collect()
    };
    let middle = |name: &[char], _: usize| -> String {
        let rest = differing(name, room);
        if rest.len() <= most { rest.iter().collect() } else { rest[..room].iter().chain(&['…']).collect() }
    };
    let middle_and_end = |name: &[char], _: usize| -> String {
        let (last, length) = (&name[name.len() - room / 2..], room - room / 2);
        differing(name, length).iter().take(length).chain(&['…']).chain(last).collect()
    };
    let ways: [Way<'_>; 5] = match elision {
        Elision::End => [&begin, &end, &ends, &middle, &middle_and_end],
        Elision::Middle => [&ends, &begin, &end, &middle, &middle_and_end],
    };
    let all = distinct(names);
    ways.into_iter().map(cut).find(|names| distinct(names) == all).unwrap_or_else(|| {
        // Others have the place of the first of them, with a sign, since a bare number reads as one of theirs.
        cut(&|name, at| {
            let place = names.iter().position(|other| *other == names[at]).unwrap_or(at) + 1;
            let place = format!("#{place}");
            let begin = name.iter().take(room.saturating_sub(place.len()));
            begin.chain(&['…']).copied().chain(place.chars()).collect()
        })
    })
}

/// How many characters all names begin with.
fn shared_beginning(names: &[String]) -> usize {
    let Some((first, others)) = names.split_first() else { return 0 };
    let alike = |name: &String| first.chars().zip(name.chars()).take_while(|(a, b)| a == b).count();
    others.iter().map(alike).min().unwrap_or_else(|| first.chars().count())
}

/// Breaks a text between words into lines of `width` characters. They begin with `indents`, of the first line and of the
/// others.
pub(crate) fn wrapped(text: &str, width: usize, indents: [&str; 2]) -> String {
    let mut lines = String::new();
    let mut line = String::from(indents[0]);
    let mut fresh = true;
    for word in text.split(' ') {
        if !fresh && line.chars().count() + 1 + word.chars().count() > width {
            lines.push_str(&line);
            lines.push('\n');
            line = String::from(indents[1]);
            fresh = true;
        }
        if !fresh {
            line.push(' ');
        }
        line.push_str(word);
        fresh = false;
    }
    lines + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_stay_apart() {
        let of =
            |names: &[&str]| elided(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>(), 16, Elision::End);
        assert_eq!(of(&["airplane", "a_name_that_is_long", "b"]), ["airplane", "a_name_that_is_…", "b"]);
        let layers = ["backbone.layer4.0.conv1", "backbone.layer4.0.conv2", "backbone.layer4.1.conv1"];
        assert_eq!(of(&layers), ["…layer4.0.conv1", "…layer4.0.conv2", "…layer4.1.conv1"]);
        let ends = ["a.layer.mlp.attention.out", "b.layer.mlp.attention.out", "a.layer.mlp.attention.in"];
        assert_eq!(of(&ends), ["a.layer.…ion.out", "b.layer.…ion.out", "a.layer.…tion.in"]);
        let middles = ["begin.begin.1.end.end.end", "begin.begin.2.end.end.end", "begin.begin.1.end.end.end"];
        assert_eq!(of(&middles), ["begin.begin.1.e…", "begin.begin.2.e…", "begin.begin.1.e…"]);
        let hidden = ["begin.begin.begin.1.end.end.end.end", "begin.begin.begin.2.end.end.end.end"];
        assert_eq!(of(&hidden), ["…begin.1.end.en…", "…begin.2.end.en…"]);
        let layers = [9, 10, 11].map(|layer| format!("model.encoder.layer.{layer}.output.dense"));
        assert_eq!(
            of(&layers.each_ref().map(String::as_str)),
            ["…layer.9.output…", "…layer.10.outpu…", "…layer.11.outpu…"]
        );
        let both = [
            "long.beginning.1.long.middle.long.a",
            "long.beginning.1.long.middle.long.b",
            "long.beginning.2.long.middle.long.a",
        ];
        assert_eq!(of(&both), ["…1.long.….long.a", "…1.long.….long.b", "…2.long.….long.a"]);
        let many = [("1", "x"), ("1", "z"), ("2", "x")]
            .map(|(one, other)| format!("a.long.beginning.{one}.longer.longer.{other}.longer.longer.end.y"));
        assert_eq!(
            of(&many.each_ref().map(String::as_str)),
            ["a.long.beginn…#1", "a.long.beginn…#2", "a.long.beginn…#3"]
        );
        assert!(hidden.iter().chain(&ends).all(|name| of(&[name])[0].chars().count() == 16));
    }

    #[test]
    fn four_digits_are_shown() {
        for (value, text) in [
            (2.113_149, "2.113"),
            (0.000_747_312, "0.0007473"),
            (0.113_09, "0.1131"),
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (0.999_99, "1.000"),
            (0.5, "0.5000"),
            (-0.287_501, "-0.2875"),
            (29_233.0, "29233"),
            (12_345.678, "12346"),
            (999.96, "1000"),
            (1.234_56e-6, "1.235e-6"),
            (1.5e9, "1.500e9"),
            (1e6, "1.000e6"),
            (f64::INFINITY, "∞"),
            (f64::NEG_INFINITY, "-∞"),
            (f64::NAN, "—"),
        ] {
            assert_eq!(significant(value), text);
        }
    }

    #[test]
    fn an_interval_ends_at_the_place_of_its_width() {
        for (ends, text) in [
            ((-0.008_236, -0.007_156), "-0.00824 … -0.00716"),
            ((-0.036_9, 0.3), "-0.04 … 0.30"),
            ((1.0, 1.0), "1 … 1"),
            ((120.0, 3_500.0), "120 … 3500"),
            ((-2.5e-12, 1e-12), "-2.500e-12 … 1.000e-12"),
            ((f64::NEG_INFINITY, 1.0), "-∞ … 1"),
        ] {
            assert_eq!(interval(ends), text);
        }
    }

    #[test]
    fn an_error_has_two_digits_and_its_number_as_many_places() {
        for (value, se, text) in [
            (2.113_149, 0.012_3, "2.113 ± 0.012"),
            (0.000_747_312, 0.000_009_96, "0.000747 ± 0.000010"),
            (-0.287_501, 0.1, "-0.29 ± 0.10"),
            (0.5, 2.0, "0.5 ± 2.0"),
            (29_233.4, 12.6, "29233 ± 13"),
            (29_233.4, 1_260.0, "29200 ± 1300"),
            (1.234_56e-7, 1.2e-9, "(1.235 ± 0.012)e-7"),
            (1.5e9, 2.5e7, "(1.500 ± 0.025)e9"),
            (1.5, 3e-11, "(1.500000000000 ± 0.000000000030)e0"),
            (0.0, 3e-8, "(0.0 ± 3.0)e-8"),
            (1.0, 0.0, "1 ± 0"),
        ] {
            assert_eq!(with_error(value, se), text);
        }
    }

    #[test]
    fn all_digits_read_back() {
        for value in [0.1, 1e-9, 2.113, 1.0 / 3.0, 5e-324, 1.797_693_134_862_315_7e308, -0.0, 1e21] {
            assert_eq!(shortest(value).parse::<f64>().unwrap().to_bits(), value.to_bits());
        }
        assert_eq!([shortest(1e-9), shortest(2.113), shortest(3.0)], ["1e-9", "2.113", "3.0"]);
        assert_eq!([shortest(f64::INFINITY), shortest(f64::NAN)], ["inf", ""]);
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            [grouped(&0), grouped(&999), grouped(&1257), grouped(&-26_397), grouped(&-100), grouped(&1_000_000)],
            ["0", "999", "1,257", "-26,397", "-100", "1,000,000"]
        );
        assert_eq!([counted(1, "row", "rows"), counted(1000, "row", "rows")], ["1 row", "1,000 rows"]);
    }

    #[test]
    fn labels_keep_their_type_in_json() {
        let texts = [Label::Bool(true), Label::Int(u64::MAX.into()), Label::Int(-3), Label::Text("3".into())];
        assert_eq!(
            texts.each_ref().map(|label| json(label).to_string()),
            ["true", "18446744073709551615", "-3", "\"3\""]
        );
        assert_eq!(json(&Label::Int(i128::MAX)), Value::from(i128::MAX.to_string()));
    }
}
