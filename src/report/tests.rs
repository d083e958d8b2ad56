use std::collections::BTreeMap;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type};

use super::*;
use crate::archive::Skipped;
use crate::metrics::{ClassRow, FigureData, Measured, NOT_DECOMPOSED, Pair, ROUNDED};

const PLAIN: Style = Style { width: Some(100), colour: false, headline: false };

fn number(key: &'static str, value: f64) -> Measured {
    Measured {
        key,
        value: Some(value),
        floor: None,
        reason: None,
        flags: Vec::new(),
        counts: Vec::new(),
        error_bar: None,
    }
}

fn nothing(key: &'static str, reason: &'static str) -> Measured {
    Measured {
        key,
        value: None,
        floor: None,
        reason: Some(reason),
        flags: Vec::new(),
        counts: Vec::new(),
        error_bar: None,
    }
}

fn group(key: &[(&str, Label)], metrics: Vec<Measured>) -> GroupReport {
    GroupReport {
        replicates: None,
        key: key.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        rows: 1257,
        dim: 64,
        significand_bits: 24,
        dropped_classes: 0,
        skipped: Skipped::default(),
        measurements: Measurements { classes: 10, metrics, ..Measurements::default() },
    }
}

fn report(groups: Vec<GroupReport>) -> Report {
    Report {
        options: Options::default(),
        settings: BTreeMap::new(),
        remarks: Vec::new(),
        command: None,
        class_names: BTreeMap::new(),
        groups,
        bad_files: Vec::new(),
    }
}

fn epoch(epoch: i128) -> [(&'static str, Label); 1] {
    [("epoch", Label::Int(epoch))]
}

fn two_epochs() -> Report {
    let error = Measured { floor: Some(0.0), ..number("nc2_etf_error", 0.875_812) };
    let sensitive = Measured { flags: vec!["pinv_tolerance_sensitive"], ..number("nc1_pinv", 2.113_149_3) };
    report(vec![
        group(&epoch(0), vec![sensitive, number("nc1_cdnv", 1.038), error, nothing("nc3_duality_error", "no_head")]),
        group(
            &epoch(4000),
            vec![
                number("nc1_pinv", 0.000_747_312_345_678_9),
                number("nc1_cdnv", 0.1 + 0.2),
                number("nc2_etf_error", 0.1131),
                number("nc3_duality_error", f64::INFINITY),
            ],
        ),
    ])
}

fn text(report: &Report, format: Format, style: Style) -> String {
    let mut bytes = Vec::new();
    report.write(format, &mut bytes, style).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn tempfile_of(bytes: &[u8]) -> std::fs::File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn per_class(report: &Report, format: Format) -> String {
    let mut bytes = Vec::new();
    report.write_per_class(format, &mut bytes, PLAIN).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// One of everything that a table has to say.
fn all_remarks() -> Report {
    let mut report = two_epochs();
    report.options.cdnv_exponent = 2.0;
    report.settings.insert("where", "layer=\u{1b}[2Jh3".to_owned());
    report.bad_files.push(("a\nb.parquet".to_owned(), "truncated".to_owned()));
    let pairs = [("層三", "\u{1b}c", 0.25, 3.5), ("3", "8", 12.5, 0.125)];
    report.groups[0].key[0].1 = Label::Text("層三".into());
    report.groups[1].key[0].1 = Label::Text("h3".into());
    report.groups[0].measurements.worst_pairs = pairs
        .map(|(first, second, cdnv, distance)| Pair {
            first: Label::Text(first.into()),
            second: Label::Text(second.into()),
            cdnv,
            distance,
        })
        .into();
    report.groups[0].skipped =
        Skipped { nulls: 1, nonfinite: [(Label::Int(3), 1000), (Label::Int(4), 234)].into(), ignored: 5, filtered: 6 };
    report.groups[1].skipped.nulls = 2;
    report.groups[1].dropped_classes = 2;
    report.groups[1].measurements.classes = 8;
    report.groups[0].measurements.flags = vec!["singleton_classes"];
    report.groups[0].measurements.metrics[0].flags.push(ROUNDED);
    report.groups[0].measurements.accuracy =
        [("nc1_pinv", 3.2e-4), ("nc1_cdnv", 1e-9), ("quantisation_floor", 0.5)].into();
    report.groups[1].measurements.accuracy = [("nc1_pinv", 2e-6), ("variance_max", 4e-6)].into();
    report
}

fn classes() -> Report {
    let class = |label: Label, worst: Option<Label>| ClassRow {
        label,
        count: 12_345,
        variance: Some(0.131_944),
        distance: 2.5,
        snr: None,
        cdnv_mean: Some(0.012_875_3),
        cdnv_worst: Some(0.042_028_7),
        worst_neighbour: worst,
        cos_head: None,
        dot_head: None,
        agreements: Some(12_000),
        decisions: Some(12_345),
        ncc_hits: None,
        classifier_hits: None,
    };
    let mut report = report(vec![group(&epoch(0), Vec::new()), group(&epoch(7), Vec::new())]);
    let labels = [3, 29_233].map(Label::Int);
    for group in &mut report.groups {
        let rows = [class(labels[0].clone(), Some(labels[1].clone())), class(labels[1].clone(), None)];
        group.measurements.per_class = rows.into();
    }
    report
}

/// All metrics there are, with values of many sizes.
fn everything(groups: i128) -> Report {
    let metrics = |at: i128| {
        crate::metrics::cards().iter().enumerate().map(move |(index, card)| match index % 7 {
            3 => nothing(card.key, "no_head"),
            _ => number(card.key, 10_f64.powi(3 - (index as i32) % 9) / (at + 3) as f64),
        })
    };
    let key = |at: i128| [("layer", Label::Text("h3".into())), ("epoch", Label::Int(at * at))];
    report((0..groups).map(|at| group(&key(at), metrics(at).collect())).collect())
}

#[test]
fn several_groups_have_a_line_each() {
    let expected = &r"
 10 classes · dim 64

 epoch │ nc1_pinv ↓  nc1_cdnv ↓  nc2_etf_error ↓  nc3_duality_error ↓ │  rows
───────┼──────────────────────────────────────────────────────────────┼───────
     0 │ 2.113       1.038       0.8758           —                   │ 1,257
  4000 │ 0.0007473   0.3000      0.1131           ∞                   │ 1,257

 — no head: nc3_duality_error (epoch=0)
 the cut-offs D ε of f64 or of f32 give a number that differs by more than 1 %: nc1_pinv (epoch=0)
 least attainable: nc2_etf_error 0
"[1..];
    assert_eq!(text(&two_epochs(), Format::Table, PLAIN), expected);
}

#[test]
fn a_table_too_wide_parts_between_families_and_says_all() {
    let expected = &r"
 dim 64

 epoch │ nc1_pinv ↓  nc1_cdnv ↓  nc2_etf_error ↓ │  rows │ classes
───────┼─────────────────────────────────────────┼───────┼─────────
 層三  │ 2.113       1.038       0.8758          │ 1,257 │      10
 h3    │ 0.0007473   0.3000      0.1131          │ 1,257 │       8

 epoch │ nc3_duality_error ↓
───────┼─────────────────────
 層三  │ —
 h3    │ ∞

 pairs of classes hardest to tell apart
 epoch │ class │ class   │ cdnv     distance
───────┼───────┼─────────┼───────────────────
 層三  │ 層三  │ \u{1b}c │  0.2500  3.500
 層三  │ 3     │ 8       │ 12.50    0.1250

 — no head: nc3_duality_error (epoch=層三)
 the cut-offs D ε of f64 or of f32 give a number that differs by more than 1 %:
   nc1_pinv (epoch=層三)
 least attainable: nc2_etf_error 0
 some classes have one row (epoch=層三)
 rounding error up to 3e-4 in nc1_pinv (epoch=層三); --extra-bits B makes the grid
   finer
 3 rows with nulls left out (--nulls)
 1,234 rows not finite left out (--nonfinite) (epoch=層三)
 5 rows with the ignored label left out (--ignore-label) (epoch=層三)
 6 rows of classes left out (--min-count, --max-count) (epoch=層三)
 2 classes left out (--min-count, --max-count) (epoch=h3)
 file left out: a\nb.parquet (truncated)
 conventions: cdnv_exponent=2.0 where=layer=\u{1b}[2Jh3
"[1..];
    assert_eq!(text(&all_remarks(), Format::Table, Style { width: Some(80), ..PLAIN }), expected);
}

#[test]
fn a_rounding_error_is_told_where_a_digit_shown_may_be_another() {
    let told = |value: f64, error: f64| {
        let metric = Measured { flags: vec![ROUNDED], ..number("nc1_cdnv", value) };
        let mut group = group(&epoch(0), vec![metric]);
        group.measurements.accuracy = [("nc1_cdnv", error), ("variance_max", 1.0)].into();
        text(&report(vec![group]), Format::Table, PLAIN).contains("rounding error up to 3e-5 in nc1_cdnv")
    };
    assert!(told(1.038_501, 3e-5) && told(1.038_49, 3e-5));
    assert!(!told(1.038_2, 3e-5), "all of 1.03817 to 1.03823 is 1.038");
    assert!(!told(1.038_501, 3e-7), "not worth a word");
    let report = two_epochs();
    assert!(!text(&report, Format::Table, PLAIN).contains("rounding"));
}

#[test]
fn a_single_group_has_a_line_per_metric() {
    let mut report = all_remarks();
    report.groups.truncate(1);
    report.groups[0].measurements.worst_pairs.clear();
    let expected = &r"
 epoch=層三 · 1,257 rows · 10 classes · dim 64

 metric              │ value   floor │ remark
─────────────────────┼───────────────┼──────────────────────────
 nc1_pinv ↓          │ 2.113         │ pinv tolerance sensitive
 nc1_cdnv ↓          │ 1.038         │
                     │               │
 nc2_etf_error ↓     │ 0.8758  0     │
                     │               │
 nc3_duality_error ↓ │ —             │ no head

 some classes have one row
"[1..];
    let table = text(&report, Format::Table, PLAIN);
    assert!(table.starts_with(expected), "{table}");
}

#[test]
fn nothing_is_cut_however_narrow_the_terminal() {
    let report = everything(5);
    for width in [60, 80, 100, 200] {
        let table = text(&report, Format::Table, Style { width: Some(width), ..PLAIN });
        let longest = table.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(longest <= width, "{longest} > {width}");
        for (index, card) in crate::metrics::cards().iter().enumerate() {
            let heads = table.lines().filter(|line| line.starts_with(" layer"));
            let found = heads.flat_map(|line| line.split_whitespace()).filter(|word| *word == card.key).count();
            assert_eq!(found, usize::from(index % 7 != 3), "{} at {width}", card.key);
        }
    }
    // No room for anything: a metric a block.
    let table = text(&report, Format::Table, Style { width: Some(1), ..PLAIN });
    let valued = (0..crate::metrics::cards().len()).filter(|index| index % 7 != 3).count();
    assert_eq!(table.lines().filter(|line| line.starts_with(" layer")).count(), valued);
    let table = text(&report, Format::Table, Style { width: None, ..PLAIN });
    assert_eq!(table.lines().filter(|line| line.starts_with(" layer")).count(), 1);
}

#[test]
fn colour_adds_nothing_but_colour() {
    let plain = text(&all_remarks(), Format::Table, PLAIN);
    assert!(!plain.contains('\u{1b}'));
    let mut bare = text(&all_remarks(), Format::Table, Style { colour: true, ..PLAIN });
    assert!(bare.contains("\u{1b}[1m epoch │") && bare.contains("\u{1b}[33m some classes have one row"));
    for escape in ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[33m"] {
        bare = bare.replace(escape, "");
    }
    assert_eq!(bare, plain);
}

#[test]
fn markdown_is_one_table_and_no_markup_from_outside() {
    let mut report = two_epochs();
    report.groups[0].key[0].1 = Label::Text("a|b<i>`[x](y)".into());
    let expected = r"10 classes · dim 64

| epoch | nc1_pinv ↓ | nc1_cdnv ↓ | nc2_etf_error ↓ | nc3_duality_error ↓ | rows |
| --- | ---: | ---: | ---: | ---: | ---: |
| a\|b\<i>\`\[x](y) | 2.113 | 1.038 | 0.8758 | — | 1,257 |
| 4000 | 0.0007473 | 0.3000 | 0.1131 | ∞ | 1,257 |

- — no head: nc3_duality_error (epoch=a\|b\<i>\`\[x](y))
- the cut-offs D ε of f64 or of f32 give a number that differs by more than 1 %: nc1_pinv (epoch=a\|b\<i>\`\[x](y))
- least attainable: nc2_etf_error 0
";
    assert_eq!(text(&report, Format::Markdown, PLAIN), expected);
}

#[test]
fn flat_records_keep_every_digit() {
    assert_eq!(
        text(&two_epochs(), Format::Csv, PLAIN),
        "epoch,rows,classes,dim,dropped_classes,flags,nc1_pinv,nc1_cdnv,nc2_etf_error,nc3_duality_error\n\
         0,1257,10,64,0,pinv_tolerance_sensitive:nc1_pinv,2.1131493,1.038,0.875812,\n\
         4000,1257,10,64,0,,0.0007473123456789,0.30000000000000004,0.1131,inf\n"
    );
    assert_eq!(
        text(&two_epochs(), Format::Ndjson, PLAIN),
        concat!(
            r#"{"epoch":0,"rows":1257,"classes":10,"dim":64,"dropped_classes":0,"flags":"pinv_tolerance_sensitive:nc1_pinv","#,
            r#""nc1_pinv":2.1131493,"nc1_cdnv":1.038,"nc2_etf_error":0.875812,"nc3_duality_error":null}"#,
            "\n",
            r#"{"epoch":4000,"rows":1257,"classes":10,"dim":64,"dropped_classes":0,"flags":"","#,
            r#""nc1_pinv":0.0007473123456789,"nc1_cdnv":0.30000000000000004,"nc2_etf_error":0.1131,"#,
            r#""nc3_duality_error":null}"#,
            "\n"
        )
    );
}

#[test]
fn json_holds_everything() {
    let report = all_remarks();
    let json: Value = serde_json::from_str(&text(&report, Format::Json, PLAIN)).unwrap();
    assert_eq!(json["nckit"], env!("CARGO_PKG_VERSION"));
    assert_eq!(json["options"]["cdnv_exponent"], 2.0);
    assert_eq!(json["options"]["where"], "layer=\u{1b}[2Jh3");
    assert_eq!(json["bad_files"], serde_json::json!([{"file": "a\nb.parquet", "reason": "truncated"}]));
    let expected = serde_json::json!({
        "key": {"epoch": "層三"},
        "rows": 1257,
        "classes": 10,
        "dim": 64,
        "significand_bits": 24,
        "dropped_classes": 0,
        "skipped": {"nulls": 1, "nonfinite": {"3": 1000, "4": 234}, "ignored": 5, "filtered": 6},
        "accuracy": {"nc1_cdnv": 1e-9, "nc1_pinv": 3.2e-4, "quantisation_floor": 0.5},
        "metrics": {
            "nc1_pinv": {"value": 2.113_149_3, "floor": null, "reason": null, "flags": ["pinv_tolerance_sensitive", "rounding_above_1e-6"]},
            "nc1_cdnv": {"value": 1.038, "floor": null, "reason": null, "flags": []},
            "nc2_etf_error": {"value": 0.875_812, "floor": 0.0, "reason": null, "flags": []},
            "nc3_duality_error": {"value": null, "floor": null, "reason": "no_head", "flags": []},
        },
        "flags": ["singleton_classes"],
        "worst_pairs": [
            {"first": "層三", "second": "\u{1b}c", "cdnv": 0.25, "distance": 3.5},
            {"first": "3", "second": "8", "cdnv": 12.5, "distance": 0.125},
        ],
    });
    assert_eq!(json["groups"][0], expected);
    assert_eq!(json["groups"].as_array().unwrap().len(), 2);
    let infinite = serde_json::json!({"value": null, "floor": null, "reason": "infinite", "flags": []});
    assert_eq!(json["groups"][1]["metrics"]["nc3_duality_error"], infinite);
    // Keys keep their type.
    let json: Value = serde_json::from_str(&text(&two_epochs(), Format::Json, PLAIN)).unwrap();
    assert_eq!(json["groups"][1]["key"], serde_json::json!({"epoch": 4000}));
}

#[test]
fn parquet_reads_back_with_its_conventions() {
    let mut report = two_epochs();
    report.options.cdnv_exponent = 2.0;
    report.settings.insert("where", "layer=h3".to_owned());
    for (group, flag) in report.groups.iter_mut().zip([true, false]) {
        group.key.push(("split".to_owned(), Label::Text("train".into())));
        group.key.push(("flag".to_owned(), Label::Bool(flag)));
    }
    let mut bytes = Vec::new();
    report.write(Format::Parquet, &mut bytes, PLAIN).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(tempfile_of(&bytes)).unwrap();
    let metadata: BTreeMap<_, _> = builder
        .metadata()
        .file_metadata()
        .key_value_metadata()
        .unwrap()
        .iter()
        .map(|pair| (pair.key.clone(), pair.value.clone().unwrap_or_default()))
        .collect();
    assert_eq!(metadata["nckit"], env!("CARGO_PKG_VERSION"));
    assert_eq!([&metadata["nckit.cdnv_exponent"], &metadata["nckit.where"]], ["2.0", "\"layer=h3\""]);
    let batch = builder.build().unwrap().next().unwrap().unwrap();
    let schema = batch.schema();
    let columns: Vec<_> =
        schema.fields().iter().map(|field| (field.name().as_str(), field.data_type().clone())).collect();
    let expected = [
        ("epoch", DataType::Int64),
        ("split", DataType::Utf8),
        ("flag", DataType::Boolean),
        ("rows", DataType::Int64),
        ("classes", DataType::Int64),
        ("dim", DataType::Int64),
        ("dropped_classes", DataType::Int64),
        ("flags", DataType::Utf8),
        ("nc1_pinv", DataType::Float64),
        ("nc1_cdnv", DataType::Float64),
        ("nc2_etf_error", DataType::Float64),
        ("nc3_duality_error", DataType::Float64),
    ];
    assert_eq!(columns, expected);
    assert_eq!(batch["epoch"].as_primitive::<Int64Type>().values(), &[0, 4000]);
    assert_eq!(batch["flag"].as_boolean().iter().collect::<Vec<_>>(), [Some(true), Some(false)]);
    assert_eq!(batch["nc1_cdnv"].as_primitive::<Float64Type>().values(), &[1.038, 0.1 + 0.2]);
    let dual = batch["nc3_duality_error"].as_primitive::<Float64Type>();
    assert!(dual.is_null(0) && dual.value(1).is_infinite());
}

#[test]
fn keys_are_typed_by_all_of_their_values_and_yield_their_names() {
    let records = |labels: [Label; 2]| {
        let groups = labels.map(|label| group(&[("rows", label)], vec![number("nc1_pinv", 1.0)]));
        text(&report(groups.into()), Format::Ndjson, PLAIN)
    };
    let keys = |labels| {
        records(labels).lines().map(|line| line.split_once(",\"rows\"").unwrap().0.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(keys([Label::Int(-1), Label::Int(7)]), [r#"{"key_rows":-1"#, r#"{"key_rows":7"#]);
    assert_eq!(keys([Label::Int(1), Label::Int(u64::MAX.into())])[1], r#"{"key_rows":18446744073709551615"#);
    assert_eq!(keys([Label::Int(1), Label::Text("a".into())]), [r#"{"key_rows":"1""#, r#"{"key_rows":"a""#]);
    let both = report(vec![group(&[("rows", Label::Int(1)), ("key_rows", Label::Int(2))], Vec::new())]);
    assert!(text(&both, Format::Csv, PLAIN).starts_with("key_rows,key_key_rows,rows,classes,"));
    assert_eq!(keys([Label::Bool(true), Label::Int(1)]), [r#"{"key_rows":"true""#, r#"{"key_rows":"1""#]);
}

#[test]
fn classes_are_records_under_their_groups_keys() {
    assert_eq!(
        per_class(&classes(), Format::Csv),
        "epoch,class,count,variance,distance,snr,cdnv_mean,cdnv_worst,worst_neighbour,cos_head,dot_head,\
         agreements,decisions,ncc_hits,classifier_hits\n\
         0,3,12345,0.131944,2.5,,0.0128753,0.0420287,29233,,,12000,12345,,\n\
         0,29233,12345,0.131944,2.5,,0.0128753,0.0420287,,,,12000,12345,,\n\
         7,3,12345,0.131944,2.5,,0.0128753,0.0420287,29233,,,12000,12345,,\n\
         7,29233,12345,0.131944,2.5,,0.0128753,0.0420287,,,,12000,12345,,\n"
    );
    let json: Value = serde_json::from_str(&per_class(&classes(), Format::Json)).unwrap();
    assert_eq!(json["classes"][3]["class"], 29_233);
    assert_eq!(json["options"]["centring"], "class");
    let table = per_class(&classes(), Format::Table);
    let expected = &r"
 epoch │ class │  count  variance  distance  snr  cdnv_mean  cdnv_worst  cos_head │ worst_neighbour
───────┼───────┼──────────────────────────────────────────────────────────────────┼─────────────────
     0 │     3 │ 12,345  0.1319    2.500     —    0.01288    0.04203     —        │           29233
"[1..];
    assert!(table.starts_with(expected), "{table}");
    assert_eq!(per_class(&classes(), Format::Ndjson).lines().count(), 4);
    assert_eq!(per_class(&classes(), Format::Markdown).lines().count(), 6);
    let mut bytes = Vec::new();
    classes().write_per_class(Format::Parquet, &mut bytes, PLAIN).unwrap();
    assert!(bytes.starts_with(b"PAR1"));
}

#[test]
fn bins_hold_the_classes_of_a_range_of_sizes() {
    let mut report = classes();
    let rows = &mut report.groups[1].measurements.per_class;
    let class = |count: u64, at: i128| ClassRow { label: Label::Int(at), count, ..rows[0].clone() };
    let mut many = vec![
        // A single row has no variance.
        ClassRow { variance: None, cdnv_mean: None, decisions: None, agreements: None, ..class(1, 1) },
        ClassRow { variance: Some(1.0), distance: 1.0, ncc_hits: Some(2), decisions: Some(2), ..class(2, 2) },
        ClassRow { variance: Some(2.0), distance: 3.0, ncc_hits: Some(3), decisions: Some(6), ..class(3, 3) },
        ClassRow { variance: Some(4.0), agreements: Some(1), decisions: Some(4), ..class(4, 4) },
    ];
    many.reverse();
    *rows = many;
    let mut bytes = Vec::new();
    report.write_per_class_bins(Format::Csv, &mut bytes, PLAIN).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "epoch,from_rows,to_rows,classes,rows,decisions,variance,nc1_trace_ratio,cdnv_mean,ncc_accuracy,\
         classifier_accuracy,nc4_agreement"
    );
    assert_eq!(lines[1], "0,8192,16383,2,24690,24690,0.131944,0.02111104,0.0128753,,,0.9720534629404617");
    assert_eq!(lines[2], "7,1,1,1,1,0,,,,,,");
    // (2 · 1 + 3 · 2)/5 over (1 + 9)/2, and 5 of 8 rows.
    assert_eq!(lines[3], "7,2,3,2,5,8,1.6,0.32,0.0128753,0.625,,3000.0");
    assert_eq!(lines[4], "7,4,7,1,4,4,4.0,0.64,0.0128753,,,0.25");
}

#[test]
fn a_closed_pipe_can_be_told_from_other_failures() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let error = two_epochs().write(Format::Csv, &mut Closed, PLAIN).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().downcast_ref::<std::io::Error>().unwrap();
    assert_eq!(source.kind(), std::io::ErrorKind::BrokenPipe);
}

const HEADLINE: Style = Style { headline: true, ..PLAIN };

/// Three epochs of each of several layers.
fn layers(layers: usize) -> Report {
    let keys = |at: usize| {
        let layer = Label::Text(format!("h{}", at / 3).into());
        [("layer", layer), ("epoch", Label::Int([0, 9, 4000][at % 3]))]
    };
    let metrics = |at: usize| {
        let value = [2.113, 0.1, 0.000_747][at % 3];
        vec![number("nc1_pinv", value), number("nc1_vci", value), nothing("nc3_duality_error", "no_head")]
    };
    report((0..3 * layers).map(|at| group(&keys(at), metrics(at))).collect())
}

#[test]
fn a_headline_shows_a_few_metrics_and_how_they_develop() {
    let shown = text(&layers(2), Format::Table, HEADLINE);
    let expected = " 10 classes · dim 64 · 1,257 rows each

       │        │ nc1 pinv
 layer │  epoch │ ↓
───────┼────────┼───────────
 h0    │      0 │ 2.113
 h0    │      9 │ 0.1000
 h0    │   4000 │ 0.0007470
 h1    │      0 │ 2.113
 h1    │      9 │ 0.1000
 h1    │   4000 │ 0.0007470
 h0    │ 0…4000 │ █▅▁
 h1    │ 0…4000 │ █▅▁

 no classifier (--head): nc3_duality_error
 ▁█ least to greatest over epoch; a column with a hundredfold has a logarithmic scale
";
    assert_eq!(shown, expected);
}

#[test]
fn a_headline_fits_a_screen() {
    let shown = text(&layers(40), Format::Table, HEADLINE);
    assert!(shown.lines().count() < 40, "{shown}");
    assert!(shown.contains(" …     │") && shown.contains("… 96 groups more"), "{shown}");
    assert!(shown.contains("h0 ") && shown.contains("h39") && !shown.contains("h20"), "{shown}");
    // A file has all of them.
    assert_eq!(text(&layers(40), Format::Csv, HEADLINE).lines().count(), 121);
    // Of fewer lines the ends are shown.
    let shown = text(&layers(12), Format::Table, HEADLINE);
    let rows = |epoch: &str| shown.lines().filter(|line| line.contains(&format!(" {epoch} │ "))).count();
    assert_eq!((rows("4000"), rows("9")), (12, 0), "{shown}");
    assert!(shown.contains("of each line the last epoch is shown, 24 groups more: -o FILE"), "{shown}");
    assert!(shown.contains("h7    │ 0…4000 │ █▅▁"), "{shown}");
}

#[test]
fn a_headline_keeps_what_differs_between_groups() {
    let mut report = layers(1);
    report.groups[0].rows = 3;
    report.groups[1].measurements.metrics[2] = number("nc3_duality_error", 0.5);
    let shown = text(&report, Format::Table, HEADLINE);
    assert!(shown.contains("rows") && shown.contains("0.5000"), "{shown}");
    assert!(shown.contains("— no head: nc3_duality_error (2 of 3 groups)"), "{shown}");
}

#[test]
fn a_page_holds_its_numbers_and_no_markup_of_others() {
    let mut report = layers(4);
    report.command = Some("nckit measure '<script>'".to_owned());
    for group in &mut report.groups {
        group.key[0].0 = "</script><b>".to_owned();
    }
    let page = text(&report, Format::Html, PLAIN);
    assert_eq!(page, text(&report, Format::Html, PLAIN));
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    assert_eq!(page.matches("<script").count(), 1, "the records");
    assert_eq!(page.matches("</script").count(), 1);
    assert!(!page.contains("<b>") && !page.contains("src="), "{page}");
    // One plot a metric that has a value, and a map of the headline.
    assert_eq!(page.matches("<svg ").count(), 3);
    let records = page.split("id=\"records\">\n").nth(1).unwrap().split("</script").next().unwrap();
    let records: Value = serde_json::from_str(records).unwrap();
    assert_eq!(records["rows"].as_array().unwrap().len(), 12);
    assert_eq!((&records["columns"][0], &records["columns"][7]), (&"</script><b>".into(), &"nc1_pinv".into()));
    assert_eq!((&records["rows"][0][0], records["rows"][0][7].as_f64()), (&"h0".into(), Some(2.113)));
    let csv = page.split("charset=utf-8,").nth(1).unwrap().split('"').next().unwrap();
    assert!(csv.contains("%3C%2Fscript%3E%3Cb%3E,epoch,rows"), "{csv}");
}

#[test]
fn a_large_page_stays_below_a_megabyte() {
    let names = crate::metrics::cards();
    let groups = (0..1200).map(|at| {
        let key = [("layer", Label::Int(at / 50)), ("epoch", Label::Int(at % 50))];
        let value = |number: usize| (number as f64 + 1.1) / (at as f64 + 1.3);
        group(&key, names.iter().enumerate().map(|(number, card)| self::number(card.key, value(number))).collect())
    });
    let report = report(groups.collect());
    let page = text(&report, Format::Html, PLAIN);
    assert!(page.len() < 1_000_000, "{}", page.len());
    assert!(page.contains("stays small: figures of ") && page.contains("-o FILE.csv has all"));
}

/// Figures of a group of so many classes and dimensions, without meaning.
fn figures(classes: usize, dim: usize) -> Box<FigureData> {
    let wave = |at: usize| (at as f64 * 0.37).sin();
    let compared = classes.min(64);
    let class = |at: usize| ClassRow {
        label: Label::Int(at as i128),
        count: 1000 / (at as u64 + 1) + 2,
        variance: Some(1.5 + wave(at)),
        distance: 3.0 + wave(3 * at),
        snr: None,
        cdnv_mean: None,
        cdnv_worst: None,
        worst_neighbour: None,
        cos_head: None,
        dot_head: None,
        agreements: None,
        decisions: None,
        ncc_hits: None,
        classifier_hits: None,
    };
    let pair = Pair { first: Label::Int(0), second: Label::Int(1), cdnv: 0.5, distance: 2.0 };
    Box::new(FigureData {
        within: Ok((0..dim).map(|r| 0.9_f64.powi(r as i32)).collect()),
        between: Ok(vec![4.0; dim.min(classes - 1)]),
        classes: (0..classes).map(class).collect(),
        worst_pairs: vec![pair],
        plane: (0..classes).map(|at| [wave(at), wave(7 * at + 1)]).collect(),
        plane_shares: [0.5, 0.25],
        compared: (0..compared).collect(),
        cosines: (0..compared * compared).map(|at| Some(wave(at))).collect(),
    })
}

#[test]
fn a_page_shows_the_last_group_class_by_class() {
    let mut report = layers(1);
    for group in &mut report.groups {
        group.measurements.figures = Some(figures(10, 8));
    }
    let last = report.groups.len() - 1;
    report.groups[last].measurements.figures = Some(figures(12, 2000));
    report.class_names = BTreeMap::from([(Label::Int(1), "<cat> & dog".to_owned())]);
    let page = text(&report, Format::Html, PLAIN);
    let section = page.split("<h2>Class by class").nth(1).unwrap();
    assert!(section.contains("<p>12 classes of 85 to 1,002 rows."), "{section}");
    assert!(page.contains("&lt;cat&gt; &amp; dog") && !page.contains("<cat>"));
    for title in [
        "variance of each class over its size",
        "distance of each class mean over its size",
        "cosines between class means",
    ] {
        assert_eq!(page.matches(&format!("aria-label=\"{title}\"")).count(), 1, "{title}");
    }
    assert!(section.contains("Pairs hardest to tell apart"));
    for group in &mut report.groups {
        group.measurements.figures.as_mut().unwrap().within = Err(NOT_DECOMPOSED);
    }
    let page = text(&report, Format::Html, PLAIN);
    assert!(page.contains("to decompose a matrix of 64 × 64 takes long: --metrics all"), "{page}");
}

#[test]
fn figures_of_many_classes_and_layers_leave_a_page_small() {
    let mut one = report(vec![group(&[], vec![number("nc1_pinv", 1.0)])]);
    one.groups[0].measurements.figures = Some(figures(2000, 4096));
    let page = text(&one, Format::Html, PLAIN);
    assert!(page.len() < 250_000, "{}", page.len());
    let names = crate::metrics::cards();
    let groups = (0..1200).map(|at| {
        let key = [("layer", Label::Int(at / 50)), ("epoch", Label::Int(at % 50))];
        let numbers = names
            .iter()
            .enumerate()
            .map(|(number, card)| self::number(card.key, (number as f64 + 1.1) / (at as f64 + 1.3)));
        let mut group = group(&key, numbers.collect());
        if at % 200 == 199 {
            group.measurements.figures = Some(figures(5000, 1024));
        }
        group
    });
    let page = text(&report(groups.collect()), Format::Html, PLAIN);
    assert!(page.len() < 1_000_000, "{}", page.len());
    assert!(page.contains("<h2>Spectra</h2>") && page.contains(">3000 of 5000<"));
}

/// One group with all metrics, remarks on some of them; and groups whose keys are longer than a terminal is wide.
#[test]
fn no_table_is_wider_than_the_terminal_if_it_can_be_helped() {
    let longest = |report: &Report, width: usize| {
        let table = text(report, Format::Table, Style { width: Some(width), ..PLAIN });
        (table.lines().map(|line| line.chars().count()).max().unwrap(), table)
    };
    let remarked = crate::metrics::cards().iter().enumerate().map(|(at, card)| match at % 3 {
        0 => nothing(card.key, "filter_after_pooling"),
        1 => Measured { flags: vec!["directions_dropped", "pinv_tolerance_sensitive"], ..number(card.key, 1.25e-7) },
        _ => number(card.key, -0.123_456),
    });
    let one = report(vec![group(&epoch(0), remarked.collect())]);
    let (found, table) = longest(&one, 64);
    assert!(found <= 64, "{found}: {table}");
    // The words stand below each other, and nothing is lost.
    let flat: String = longest(&one, 200).1.split_whitespace().collect();
    for word in ["filter", "pooling", "directions", "dropped,", "sensitive"] {
        assert_eq!(table.matches(word).count(), flat.matches(word).count(), "{word}: {table}");
    }
    let key = |end: &str| vec![("layer", Label::Text(format!("{}{end}", "model.encoder.".repeat(6)).into()))];
    let metrics = || vec![number("nc1_pinv", 1.0), number("nc1_cdnv", 2.0), number("nc2_etf_error", 3.0)];
    let groups = ["attention", "mlp.in", "mlp.out"].map(|end| group(&key(end), metrics()));
    let several = report(groups.to_vec());
    let (found, table) = longest(&several, 80);
    assert!(found <= 80, "{found}: {table}");
    assert!(table.contains("…") && table.contains("mlp.in") && table.contains("mlp.out"), "{table}");
    let brief = text(&several, Format::Table, Style { width: Some(80), headline: true, ..PLAIN });
    assert!(brief.lines().all(|line| line.chars().count() <= 80), "{brief}");
    // Where there is room, names are whole.
    assert!(longest(&several, 200).1.contains(&"model.encoder.".repeat(6)));
}

#[test]
fn a_figure_stands_alone_or_says_why_it_cannot() {
    let mut report = layers(4);
    let last = report.groups.len() - 1;
    report.groups[last].measurements.figures = Some(figures(10, 8));
    let drawn = |report: &Report, name: &str| {
        let mut bytes = Vec::new();
        report.write_plot(Plot::parse(name).unwrap(), &mut bytes).map(|()| String::from_utf8(bytes).unwrap())
    };
    for name in Plot::names().chain(["nc1_pinv", "map:nc1_pinv"]) {
        let svg = drawn(&report, name).unwrap();
        assert!(svg.starts_with("<?xml ") && svg.contains("xmlns=") && svg.ends_with("</svg>\n"), "{name}");
        assert!(!svg.contains("var(--"), "{name}");
    }
    let missing = drawn(&two_epochs(), "spectrum").unwrap_err();
    assert_eq!((missing.message(), missing.fact("figure")), ("there is nothing to draw", Some("spectrum")));
    let no_map = drawn(&two_epochs(), "map:nc1_pinv").unwrap_err();
    assert_eq!(no_map.advice(), Some("--plot nc1_pinv draws lines"));
    let null = self::report(vec![
        group(&epoch(0), vec![nothing("nc3_duality_error", "no_head")]),
        group(&epoch(1), vec![nothing("nc3_duality_error", "no_head")]),
    ]);
    let null = drawn(&null, "nc3_duality_error").unwrap_err();
    assert_eq!(null.fact("reason"), Some("no head"));
    let single = self::report(vec![group(&epoch(0), vec![number("nc1_pinv", 1.0)])]);
    assert_eq!(drawn(&single, "nc1_pinv").unwrap_err().message(), "one group makes no line");
}
