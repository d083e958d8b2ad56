//! `nckit metrics`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::args::Metrics;
use super::outputs::width;
use super::stdout;
use crate::error::Result;
use crate::metrics::{
    Card, Direction, Family, HEADLINE, Need, Remark, Selection, card, cards, common_flags, error_bar_reasons, flags,
    reasons,
};
use crate::report::wrapped;

pub(super) fn run(args: &Metrics) -> Result<()> {
    stdout::print(&text(args)?)
}

/// What the command prints.
pub(super) fn text(args: &Metrics) -> Result<String> {
    // Only the check of the words: a selection leaves out what is made if named only.
    Selection::parse(&args.words)?;
    let words: Vec<&str> = args.words.iter().flat_map(|word| word.split(',')).map(str::trim).collect();
    let asks = |card: &Card| words.iter().any(|word| [card.key, card.family.name(), "all"].contains(word));
    let chosen: Vec<&Card> = cards().iter().filter(|card| words.is_empty() || asks(card)).collect();
    if args.json {
        let cards: Vec<Value> = chosen.iter().map(|card| described(card)).collect();
        return Ok(format!("{:#}\n", Value::from(cards)));
    }
    let explains = words.iter().any(|word| card(word).is_some());
    Ok(if explains { explained(&chosen) } else { listed(&chosen) })
}

/// A line or two for each metric, by family.
fn listed(chosen: &[&Card]) -> String {
    let longest = chosen.iter().map(|card| card.key.len()).max().unwrap_or(0);
    let mut text = String::new();
    for family in Family::ALL {
        let of_family = chosen.iter().filter(|card| card.family == family);
        for (at, card) in of_family.enumerate() {
            if at == 0 {
                text += if text.is_empty() { "" } else { "\n" };
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{}: {}", family.name(), family.text());
            }
            let mark = if HEADLINE.contains(&card.key) { '*' } else { ' ' };
            let start = format!("{mark} {:<longest$} {} ", card.key, card.direction.arrow().unwrap_or(' '));
            text += &wrapped(card.summary, width(), [&start, &" ".repeat(longest + 5)]);
        }
    }
    text + "\n* in the table of measure; nckit metrics KEY explains one\n"
}

/// A page for each metric.
fn explained(chosen: &[&Card]) -> String {
    let pages: Vec<String> = chosen.iter().map(|card| page(card)).collect();
    pages.join("\n")
}

fn page(card: &Card) -> String {
    let arrow = card.direction.arrow().map_or_else(String::new, |arrow| format!(" {arrow}"));
    let mut text = format!("{}{arrow}\n", card.key);
    text += &wrapped(card.summary, width(), ["  "; 2]);
    let mut line = |name: &str, value: &str| {
        let start = format!("  {name:<12} ");
        text.push_str(&wrapped(value, width(), [&start, &" ".repeat(15)]));
    };
    line("family", &format!("{}, {}", card.family.name(), card.family.text()));
    let collapse = match card.ideal {
        "" => String::new(),
        ideal => format!(", {ideal} at full collapse"),
    };
    let unit = if card.unit.is_empty() { String::new() } else { format!(" {}", card.unit) };
    line("range", &format!("{}{unit}{collapse}", card.range));
    match card.direction {
        Direction::Lower => line("reads", "lower is more collapsed"),
        Direction::Higher => line("reads", "higher is more collapsed"),
        Direction::None => line("reads", "describes; neither end is more collapsed"),
    }
    let needs: Vec<&str> = card.needs.iter().map(|need| need.text()).collect();
    let needs = if needs.is_empty() { "counts, means and class variances".to_owned() } else { needs.join(", ") };
    line("needs", &needs);
    if card.by_name_only {
        line("made", "only if named, since it costs a read of its own");
    }
    line("source", card.source.reference);
    let mut remarks = |title: &str, words: &[&str], known: &[Remark]| {
        for (at, word) in words.iter().enumerate() {
            let meaning = known.iter().find(|remark| remark.word == *word).map_or("", |remark| remark.meaning);
            line(if at == 0 { title } else { "" }, &format!("{word}: {meaning}"));
        }
    };
    remarks("null if", card.nulls, reasons());
    if let Some(reason) = card.no_error_bar() {
        remarks("no error bar", &[reason], error_bar_reasons());
    }
    let all: Vec<Remark> = flags().iter().chain(common_flags()).copied().collect();
    let words: Vec<&str> = card.flags.iter().copied().chain(common_flags().iter().map(|flag| flag.word)).collect();
    remarks("flags", &words, &all);
    text
}

fn described(card: &Card) -> Value {
    let finite = |value: f64| if value.is_finite() { Value::from(value) } else { Value::Null };
    json!({
        "key": card.key,
        "family": card.family.name(),
        "summary": card.summary,
        "direction": match card.direction {
            Direction::Lower => "lower",
            Direction::Higher => "higher",
            Direction::None => "none",
        },
        "ideal": card.ideal,
        "range": [finite(card.range.least), finite(card.range.most)],
        "unit": card.unit,
        "source": card.source.reference,
        "needs": card.needs.iter().copied().map(Need::text).collect::<Vec<_>>(),
        "headline": HEADLINE.contains(&card.key),
        "by_name_only": card.by_name_only,
        "null": card.nulls,
        "no_error_bar": card.no_error_bar(),
        "flags": card.flags,
        "common_flags": common_flags().iter().map(|flag| flag.word).collect::<Vec<_>>(),
    })
}
