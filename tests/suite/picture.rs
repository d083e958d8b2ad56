//! README's picture is drawn from what `measure` makes of the digits archive.

use std::fmt::Write as _;
use std::path::Path;

use nckit::Job;
use nckit::archive::{HeadSource, Request};
use nckit::batch::Label;
use nckit::metrics::Selection;

use crate::docs::hold;

const DIGITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/digits");

/// Metric, caption, colour, and how far below the end of its line the caption stands.
const LINES: [(&str, &str, &str, f64); 3] = [
    ("nc1_pinv", "NC1: spread within classes", "#d1495b", 4.0),
    ("nc2_etf_error", "NC2: distance from a simplex", "#3a86c8", 0.0),
    ("nc3_duality_error", "NC3: distance from the classifier", "#c98a1b", 8.0),
];

const LEFT: f64 = 60.0;
const RIGHT: f64 = 530.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 255.0;

/// The epochs are far apart: as log(1 + epoch).
fn x(epoch: f64) -> f64 {
    LEFT + (RIGHT - LEFT) * (1.0 + epoch).log10() / 4001_f64.log10()
}

/// Powers of ten from 10⁻⁴ to 10.
fn y(value: f64) -> f64 {
    BOTTOM - (BOTTOM - TOP) * (value.log10() + 4.0) / 5.0
}

fn picture() -> String {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let request = Request {
        filters: vec![pair("layer", "h3"), pair("split", "train")],
        group_by: vec!["epoch".to_owned()],
        ..Request::default()
    };
    let keys: Vec<String> = LINES.iter().map(|(key, ..)| (*key).to_owned()).collect();
    let head = HeadSource::parse(&format!("{DIGITS}/classifier/epoch={{epoch}}/classifier.parquet")).unwrap();
    let selection = Selection::parse(&keys).unwrap();
    let job = Job { request, head: Some(head), selection, ..Job::new([format!("{DIGITS}/hive")]) };
    let report = job.run().unwrap();
    let epoch = |label: &Label| label.to_string().parse::<f64>().unwrap();
    let epochs: Vec<f64> = report.groups.iter().map(|group| epoch(&group.key[0].1)).collect();

    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 300\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <style>text{fill:#57606a}path{fill:none;stroke-width:2}.grid{stroke:#8b949e;stroke-opacity:.3}</style>\n",
    );
    for value in [1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0] {
        let at = y(value);
        writeln!(svg, "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>").unwrap();
        writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>", LEFT - 8.0, at + 4.0).unwrap();
    }
    for &epoch in &epochs {
        writeln!(svg, "<text x=\"{:.1}\" y=\"274\" text-anchor=\"middle\">{epoch}</text>", x(epoch)).unwrap();
    }
    writeln!(svg, "<text x=\"{:.1}\" y=\"294\" text-anchor=\"middle\">epoch</text>", f64::midpoint(LEFT, RIGHT))
        .unwrap();
    for (key, caption, colour, below) in LINES {
        let values = report.groups.iter().map(|group| group.value(key).unwrap());
        let points: Vec<(f64, f64)> = epochs.iter().zip(values).map(|(&epoch, value)| (x(epoch), y(value))).collect();
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
        writeln!(svg, "<path stroke=\"{colour}\" d=\"M{}\"/>", path.join("L")).unwrap();
        for (x, y) in &points {
            writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>").unwrap();
        }
        let end = points[points.len() - 1];
        writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" style=\"fill:{colour}\">{caption}</text>",
            end.0 + 10.0,
            end.1 + below
        )
        .unwrap();
    }
    svg + "</svg>\n"
}

#[test]
fn the_picture_shows_what_is_measured() {
    hold(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/digits.svg"), &picture());
}
