use std::collections::BTreeMap;

use super::change::LEVEL;
use super::side::{Noise, SideGroup, SideNumber};
use super::*;
use crate::report::{self, Style};

fn number(value: f64) -> SideNumber {
    SideNumber { value: Some(value), ..SideNumber::default() }
}

/// A number whose blocks, of one row each, leave these numbers when they are taken out.
fn noisy(value: f64, se: f64, without: &[f64]) -> SideNumber {
    let without: Vec<_> = without.iter().enumerate().map(|(block, &value)| (block.to_string(), 1, value)).collect();
    let mut noise = Noise::new(value, (se, 0.0), value, &without);
    if without.is_empty() {
        noise.freedom = 31.0;
    }
    SideNumber { noise: Some(noise), ..number(value) }
}

fn group(key: &[(&str, i128)], numbers: &[(&str, SideNumber)]) -> SideGroup {
    SideGroup {
        key: key.iter().map(|&(name, value)| (name.to_owned(), Label::Int(value))).collect(),
        rows: 100,
        classes: 10,
        dim: 4,
        numbers: numbers.iter().map(|(key, number)| ((*key).to_owned(), number.clone())).collect(),
        means: None,
    }
}

fn side(name: &str, groups: Vec<SideGroup>) -> Side {
    let options = BTreeMap::from([("centring".to_owned(), "class".into())]);
    let key_order = groups.first().map_or_else(Vec::new, |group| group.key.keys().cloned().collect());
    Side { name: name.to_owned(), options, settings: BTreeMap::new(), key_order, groups }
}

/// One group each.
fn compared(base: &[(&str, SideNumber)], other: &[(&str, SideNumber)]) -> Comparison {
    Comparison::of(&side("a", vec![group(&[], base)]), &[side("b", vec![group(&[], other)])]).unwrap()
}

fn verdict(base: SideNumber, other: SideNumber, key: &str) -> Verdict {
    compared(&[(key, base)], &[(key, other)]).pairs[0].changes[0].verdict
}

#[test]
fn a_verdict_says_which_way_a_metric_went() {
    assert_eq!(verdict(number(2.0), number(1.0), "nc1_pinv"), Verdict::Better);
    assert_eq!(verdict(number(1.0), number(2.0), "nc1_pinv"), Verdict::Worse);
    assert_eq!(verdict(number(0.5), number(0.6), "nc4_agreement"), Verdict::Better);
    assert_eq!(verdict(number(0.5), number(0.5), "nc4_agreement"), Verdict::Same);
    let rounded = SideNumber { rounding: 1e-3, ..number(1.0) };
    assert_eq!(verdict(rounded.clone(), number(1.0009), "nc1_pinv"), Verdict::WithinRounding);
    assert_eq!(verdict(rounded, number(1.0011), "nc1_pinv"), Verdict::Worse);
    assert_eq!(verdict(SideNumber::default(), number(1.0), "nc1_pinv"), Verdict::Unknown);
}

#[test]
fn a_metric_without_an_error_bar_is_not_said_to_differ() {
    let quantile = |value| SideNumber { no_noise: Some("quantile".to_owned()), ..number(value) };
    let comparison = compared(&[("nc1_cdnv_q50", quantile(1.0))], &[("nc1_cdnv_q50", quantile(2.0))]);
    let change = &comparison.pairs[0].changes[0];
    assert_eq!((change.verdict, change.reason.as_deref()), (Verdict::NoiseUnknown, Some("no error bar: quantile")));
    assert_eq!(verdict(quantile(1.0), quantile(1.0), "nc1_cdnv_q50"), Verdict::Same);
}

#[test]
fn noise_is_that_of_a_difference_of_independent_samples() {
    // √(3² + 4²) = 5.
    // 57 degrees of freedom: a t quantile of 2.002.
    let verdict = |difference: f64| verdict(noisy(100.0, 3.0, &[]), noisy(100.0 + difference, 4.0, &[]), "nc1_pinv");
    assert_eq!(verdict(9.9), Verdict::WithinNoise);
    assert_eq!(verdict(10.1), Verdict::Worse);
    assert_eq!(verdict(-10.1), Verdict::Better);
    let comparison = compared(&[("nc1_pinv", noisy(1.0, 3.0, &[]))], &[("nc1_pinv", noisy(11.1, 4.0, &[]))]);
    let change = &comparison.pairs[0].changes[0];
    assert!((change.se.unwrap() - 5.0).abs() < 1e-12);
    let (low, high) = change.interval.unwrap();
    assert!((low + high - 20.2).abs() < 1e-9 && low > 0.0 && change.p.unwrap() < LEVEL, "{change:?}");
}

#[test]
fn what_moves_both_sides_alike_is_no_noise() {
    // Without its last block each side is far off, and by the same amount.
    let (mine, theirs) = ([1.0, 1.0, 1.0, 5.0], [1.1, 1.1, 1.1, 5.1]);
    let comparison = compared(&[("nc1_pinv", noisy(2.0, 3.0, &mine))], &[("nc1_pinv", noisy(2.1, 3.0, &theirs))]);
    let change = &comparison.pairs[0].changes[0];
    assert!(change.se.unwrap() < 1e-12, "{change:?}");
    assert_eq!(change.verdict, Verdict::Worse);
    // Blocks of other names are other rows.
    let comparison = compared(&[("nc1_pinv", noisy(2.0, 3.0, &mine))], &[("nc1_pinv", noisy(2.1, 3.0, &theirs[..3]))]);
    assert_eq!(comparison.pairs[0].changes[0].verdict, Verdict::WithinNoise);
    // The delete-a-group jackknife of differences 0, 0, 0, 4.
    let comparison =
        compared(&[("nc1_pinv", noisy(2.0, 3.0, &mine))], &[("nc1_pinv", noisy(3.0, 3.0, &[1.0, 1.0, 1.0, 9.0]))]);
    assert!((comparison.pairs[0].changes[0].se.unwrap() - (0.75_f64 * 12.0).sqrt()).abs() < 1e-12);
}

#[test]
fn groups_are_matched_by_their_keys() {
    let one = |epoch, value| group(&[("epoch", epoch)], &[("nc1_pinv", number(value))]);
    let base = side("a", vec![one(0, 1.0), one(1, 2.0), one(2, 3.0)]);
    let other = side("b", vec![one(1, 5.0), one(2, 6.0), one(9, 7.0)]);
    let comparison = Comparison::of(&base, &[other]).unwrap();
    let found: Vec<_> = comparison.pairs.iter().map(|pair| (pair.changes[0].base, pair.changes[0].other)).collect();
    assert_eq!(found, [(Some(2.0), Some(5.0)), (Some(3.0), Some(6.0))]);
    assert_eq!(
        comparison.remarks,
        ["1 group is only in a, and not compared", "1 group is only in b, and not compared"]
    );
    assert_eq!(comparison.lacking, ["b has no group epoch=0"]);
    let lone = side("c", vec![group(&[("layer", 4)], &[("nc1_pinv", number(9.0))])]);
    assert_eq!(Comparison::of(&base, std::slice::from_ref(&lone)).unwrap_err().fact("other"), Some("c (layer)"));
    // Two sides of one group each need no common key.
    let mut picked = base.clone();
    picked.pick(&[("epoch".to_owned(), "2".to_owned())]).unwrap();
    assert_eq!(Comparison::of(&picked, &[lone]).unwrap().pairs[0].changes[0].base, Some(3.0));
    let mut absent = base.clone();
    assert_eq!(absent.pick(&[("layer".to_owned(), "2".to_owned())]).unwrap_err().fact("keys"), Some("epoch"));
    assert!(absent.pick(&[("epoch".to_owned(), "77".to_owned())]).is_err());
    // Of a key with two values both are left, and they tell groups apart.
    let mut two = base;
    two.pick(&[("epoch".to_owned(), "0".to_owned()), ("epoch".to_owned(), "2".to_owned())]).unwrap();
    assert_eq!((two.groups.len(), two.key_names().len()), (2, 1));
}

#[test]
fn sides_are_named_by_what_they_differ_in() {
    let names = |base: &str, others: &[&str]| {
        let one = |name: &str| side(name, vec![group(&[], &[("nc1_pinv", number(1.0))])]);
        let others: Vec<Side> = others.iter().map(|name| one(name)).collect();
        Comparison::of(&one(base), &others).unwrap().short_names()
    };
    assert_eq!(names("a/{run}.npy?run=alpha", &["a/{run}.npy?run=beta", "a/{run}.npy?run=b"]), ["alpha", "beta", "b"]);
    assert_eq!(names("runs/monday.ncst", &["runs/tuesday.ncst"]), ["monday.ncst", "tuesday.ncst"]);
    assert_eq!(names("all.ncst", &["all.ncst?epoch=3"]), ["all.ncst", "all.ncst?epoch=3"]);
    assert_eq!(names("a/", &["a/b"]), ["a/", "a/b"]);
}

#[test]
fn other_conventions_are_refused() {
    let with = |name: &str, value: &str| {
        let mut side = side(name, vec![group(&[], &[])]);
        side.options.insert("centring".to_owned(), value.into());
        side
    };
    let error = Comparison::of(&with("a", "class"), &[with("b", "sample")]).unwrap_err();
    assert_eq!(error.fact("convention"), Some("centring"));
    assert!(Comparison::of(&with("a", "class"), &[with("b", "class")]).is_ok());
}

fn failures(text: &str, comparison: &Comparison) -> usize {
    Condition::parse(text).unwrap().failures(comparison).unwrap().len()
}

#[test]
fn conditions_hold_where_they_say() {
    let base = [("nc1_pinv", number(2.0)), ("ncc_accuracy", number(0.9)), ("nc2_etf_error", number(1.0))];
    let other = [("nc1_pinv", number(2.2)), ("ncc_accuracy", number(0.88)), ("nc2_etf_error", SideNumber::default())];
    let comparison = compared(&base, &other);
    for (text, expected) in [
        ("nc1_pinv > 1.05x", 1),
        ("nc1_pinv>1.05x", 1),
        ("nc1_pinv > 1.2x", 0),
        ("nc1_pinv >= 2.2", 1),
        ("nc1_pinv > 2.2", 0),
        ("nc1_pinv < 2", 0),
        ("nc1_pinv <= base", 0),
        ("nc1_pinv > base", 1),
        ("ncc_accuracy < base-0.01", 1),
        ("ncc_accuracy < base - 0.03", 0),
        ("ncc_accuracy < base+0.01", 1),
        // Nobody knows that this one does not hold.
        ("nc2_etf_error > 9", 1),
        // One is greater, and one has lost its value.
        ("any > 1.05x", 2),
        ("any < 0.99x", 2),
    ] {
        assert_eq!(failures(text, &comparison), expected, "{text}");
    }
    let negative = [("nc2_cos_mean", number(-1.0))];
    let comparison_with = |other: f64| compared(&negative, &[("nc2_cos_mean", number(other))]);
    for (other, text, expected) in [
        (-1.0, "any > 1.1x", 0),
        (-0.95, "any > 1.1x", 0),
        (-0.85, "any > 1.1x", 1),
        (-1.0, "any < 0.9x", 0),
        (-1.2, "any < 0.9x", 1),
    ] {
        assert_eq!(failures(text, &comparison_with(other)), expected, "{other} {text}");
    }
    for text in [
        "",
        "nc1_pinv",
        "nc1_pinv = 3",
        "nc1_pinv > x",
        "nc1_pinv > base*2",
        "any > 0.5",
        "nc1_pinf > 1",
        "nc1_pinv > NaN",
    ] {
        assert!(Condition::parse(text).is_err(), "{text}");
    }
    let absent = Condition::parse("nc1_cdnv > 1").unwrap().failures(&comparison).unwrap_err();
    assert_eq!(absent.advice(), Some("add it to --metrics"));
    assert!(Condition::parse("any differs").unwrap().failures(&comparison).is_err());
}

#[test]
fn any_metric_shares_the_chance_of_a_false_alarm() {
    // p is about 0.03 for each of both.
    let base = [("nc1_pinv", noisy(1.0, 1.0, &[])), ("nc1_cdnv", noisy(1.0, 1.0, &[]))];
    let other = [("nc1_pinv", noisy(4.1, 1.0, &[])), ("nc1_cdnv", noisy(-2.1, 1.0, &[]))];
    let comparison = compared(&base, &other);
    assert_eq!(
        comparison.pairs[0].changes.iter().map(|change| change.verdict).collect::<Vec<_>>(),
        [Verdict::Worse, Verdict::Better]
    );
    for (text, expected) in [
        ("nc1_pinv differs", 1),
        ("nc1_pinv worse", 1),
        ("nc1_pinv better", 0),
        ("nc1_cdnv better", 1),
        ("any differs", 0),
        ("any worse", 0),
    ] {
        assert_eq!(failures(text, &comparison), expected, "{text}");
    }
}

/// Nobody knows that a condition on noise does not hold where noise is unknown.
#[test]
fn unknown_noise_fails_where_noise_has_to_be_known() {
    let without = |value| SideNumber { no_noise: Some("too_few_blocks".to_owned()), ..number(value) };
    let side_of = |name: &str, values: [f64; 2]| {
        let groups = vec![
            group(&[("epoch", 0)], &[("nc1_pinv", noisy(values[0], 0.1, &[])), ("nc1_cdnv_q50", without(values[0]))]),
            group(&[("epoch", 1)], &[("nc1_pinv", without(values[1])), ("nc1_cdnv_q50", without(values[1]))]),
        ];
        side(name, groups)
    };
    let of = |values| Comparison::of(&side_of("a", [1.0, 1.0]), &[side_of("b", values)]).unwrap();
    for (values, text, expected) in [
        ([1.0, 5.0], "nc1_pinv worse", 1),
        ([1.0, 5.0], "any worse", 1),
        ([1.0, 1.0], "nc1_pinv worse", 0),
        ([9.0, 1.0], "any worse", 1),
    ] {
        assert_eq!(failures(text, &of(values)), expected, "{values:?} {text}");
    }
}

/// What is compared is free of the bias of few rows, and so is the verdict.
#[test]
fn a_verdict_goes_by_the_interval() {
    let biased = |value: f64, centre: f64| {
        let noise = Noise { se: 0.05, centre, freedom: 31.0, influences: BTreeMap::new() };
        SideNumber { noise: Some(noise), ..number(value) }
    };
    let comparison = compared(&[("nc1_cdnv", biased(1.0, 0.9))], &[("nc1_cdnv", biased(1.2, 0.6))]);
    let change = &comparison.pairs[0].changes[0];
    assert!(change.difference().unwrap() > 0.0 && change.interval.unwrap().1 < 0.0);
    assert_eq!((change.verdict, change.told()), (Verdict::Better, "better without the bias of few rows".to_owned()));
    assert_eq!(failures("nc1_cdnv worse", &comparison), 0);
}

#[test]
fn what_alone_is_worse_and_not_among_all_is_said() {
    let base = [("nc1_pinv", noisy(1.0, 1.0, &[])), ("nc1_cdnv", noisy(1.0, 1.0, &[]))];
    let other = [("nc1_pinv", noisy(4.1, 1.0, &[])), ("nc1_cdnv", noisy(1.1, 1.0, &[]))];
    let remark = Condition::parse("any worse").unwrap().remark(&compared(&base, &other)).unwrap();
    assert_eq!(remark, "any worse: 1 of 2 numbers alone, at 95 %; none if the 5 % are shared among all 2");
    assert_eq!(Condition::parse("nc1_pinv worse").unwrap().remark(&compared(&base, &other)), None);
    let family = Condition::parse("nc1 > 2x").unwrap_err();
    assert_eq!(family.fact("family"), Some("nc1"));
}

#[test]
fn every_format_holds_the_same_numbers() {
    let base = [
        ("nc1_pinv", noisy(2.0, 0.1, &[])),
        ("nc2_etf_error", SideNumber { reason: Some("single_class".to_owned()), ..SideNumber::default() }),
    ];
    let other = [("nc1_pinv", noisy(1.0, 0.1, &[])), ("nc2_etf_error", number(1.0))];
    let mut comparison = compared(&base, &other);
    comparison.failures.push("nc1_pinv: too small".to_owned());
    let text = |format| {
        let mut out = Vec::new();
        comparison.write(format, &mut out, Style::default()).unwrap();
        String::from_utf8(out).unwrap()
    };
    let table = text(report::Format::Table);
    assert!(table.contains("better") && table.contains("no value in the base: single class"), "{table}");
    assert!(table.contains("fails: nc1_pinv: too small"), "{table}");
    let json: Value = serde_json::from_str(&text(report::Format::Json)).unwrap();
    assert_eq!(json["pairs"][0]["metrics"]["nc1_pinv"]["difference"], -1.0);
    assert_eq!(json["pairs"][0]["metrics"]["nc2_etf_error"]["reason"], "no value in the base: single_class");
    let line: Value = serde_json::from_str(text(report::Format::Ndjson).lines().next().unwrap()).unwrap();
    assert_eq!(
        (&line["metric"], &line["ratio"], &line["verdict"]),
        (&"nc1_pinv".into(), &0.5.into(), &"better".into())
    );
    assert_eq!(line["lo"], json["pairs"][0]["metrics"]["nc1_pinv"]["lo"]);
    let csv = text(report::Format::Csv);
    assert!(
        csv.starts_with("metric,base,other,difference,ratio,se,lo,hi,p,verdict,reason\nnc1_pinv,2.0,1.0,-1.0,0.5,"),
        "{csv}"
    );
    assert!(text(report::Format::Markdown).contains("| nc1_pinv"));
}

#[test]
fn records_are_read_as_they_are_written() {
    let document = r#"{"nckit": "0.2.0", "options": {"centring": "class", "where": "a=b", "normalize": "true"}, "groups": [{"key": {"epoch": 3, "run": "x"},
        "rows": 7, "classes": 2, "dim": 4, "accuracy": {"nc1_pinv": 0.5},
        "metrics": {"nc1_pinv": {"value": 2.0, "reason": null}, "nc4_agreement": {"value": null, "reason": "no_head"}}}]}"#;
    assert!(Side::recognises_records(document.as_bytes()));
    let side = Side::of_records("r", document).unwrap();
    assert_eq!(side.options.keys().collect::<Vec<_>>(), ["centring"]);
    assert_eq!(side.settings, BTreeMap::from([("normalize".to_owned(), "true".to_owned())]));
    let group = &side.groups[0];
    assert_eq!((group.key["epoch"].clone(), group.rows, group.dim), (Label::Int(3), 7, 4));
    assert_eq!((group.numbers["nc1_pinv"].value, group.numbers["nc1_pinv"].rounding), (Some(2.0), 0.5));
    assert_eq!(group.numbers["nc4_agreement"].reason.as_deref(), Some("no_head"));
    let lines = "{\"classes\":2,\"dim\":4,\"dropped_classes\":0,\"epoch\":3,\"flags\":\"\",\"nc1_pinv\":2.5,\"nc1_pinv_se\":0.1,\"rows\":7}\n";
    assert!(Side::of_records("r", &lines.repeat(2)).is_err(), "a group is there twice");
    let side = Side::of_records("r", &(lines.to_owned() + &lines.replace("\"epoch\":3", "\"epoch\":4"))).unwrap();
    assert_eq!((side.groups.len(), side.key_names().into_iter().collect::<Vec<_>>()), (2, vec!["epoch"]));
    assert_eq!(side.groups[1].numbers["nc1_pinv"].value, Some(2.5));
    let known = Side { options: BTreeMap::from([("centring".to_owned(), "class".into())]), ..side.clone() };
    let remarks = Comparison::of(&known, &[side]).unwrap().remarks;
    assert_eq!(remarks, ["under which conventions the other was measured is not known: records a line do not say it"]);
    for text in
        ["", "{}", "[1]", "{\"nckit\": 1}", "{\"nckit\": 1, \"options\": {}, \"groups\": []}", "{\"rows\": 1}", "{"]
    {
        assert!(Side::of_records("r", text).is_err(), "{text}");
    }
}
