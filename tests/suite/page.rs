//! A report as a page, and its figures as files.
//!
//! `DOCS=overwrite cargo test --test suite page::` writes the page that is kept.

use std::path::Path;
use std::process::Command;

use nckit::Job;
use nckit::archive::{HeadSource, Request};
use nckit::metrics::{Extras, Selection};
use nckit::report::{Format, Report, Style};

use crate::docs::hold;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const DIGITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/digits");

/// What is within a page, and differs in its last digits between machines.
const RECORDS: [(&str, &str); 2] = [("charset=utf-8,", "\">nckit.csv"), ("id=\"records\">\n", "</script>")];

fn job(filters: &[(&str, &str)], group_by: &[&str]) -> Job {
    let request = Request {
        filters: filters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        group_by: group_by.iter().map(ToString::to_string).collect(),
        ..Request::default()
    };
    let head = HeadSource::parse(&format!("{DIGITS}/classifier/epoch={{epoch}}/classifier.parquet")).unwrap();
    let head = group_by.contains(&"epoch").then_some(head);
    let extras = Extras { figures: true, ..Extras::default() };
    let selection = Selection::headline().with("nc1_vci");
    Job { request, head, extras, selection, threads: 2, ..Job::new([format!("{DIGITS}/hive")]) }
}

fn report(filters: &[(&str, &str)], group_by: &[&str]) -> Report {
    job(filters, group_by).run().unwrap()
}

fn page(report: &Report) -> String {
    let mut bytes = Vec::new();
    report.write(Format::Html, &mut bytes, Style::default()).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_page_of_digits_is_the_one_that_is_kept() {
    let mut page = page(&report(&[("layer", "h3"), ("split", "train")], &["epoch"]));
    for (begin, end) in RECORDS {
        let (before, rest) = page.split_once(begin).unwrap();
        let (_, after) = rest.split_once(end).unwrap();
        page = format!("{before}{begin}…{end}{after}");
    }
    page = page.replace(&format!("{ROOT}/"), "").replace(env!("CARGO_PKG_VERSION"), "…");
    hold(&Path::new(ROOT).join("tests/data/pages/digits.html"), &page);
}

#[test]
fn equal_results_are_equal_bytes() {
    let of = |threads: usize| page(&Job { threads, ..job(&[("epoch", "9")], &["split"]) }.run().unwrap());
    assert_eq!(of(1), of(5));
}

#[test]
fn only_the_last_group_of_a_line_has_figures_of_its_own() {
    let job = job(&[("layer", "h3")], &["epoch", "split"]);
    let drawn = |job: Job| -> Vec<String> {
        let groups = job.run().unwrap().groups.into_iter().filter(|group| group.measurements.figures.is_some());
        groups.map(|group| format!("{} {}", group.key[0].1, group.key[1].1)).collect()
    };
    let last = ["4000 ood", "4000 test", "4000 train"];
    assert_eq!(drawn(job.clone()), last);
    // With little memory, groups are read in several batches.
    let error = Job { memory: 1 << 20, ..job.clone() }.run().unwrap_err();
    let needed: u64 = error.fact("needed").unwrap().split(' ').next().unwrap().parse().unwrap();
    assert_eq!(drawn(Job { memory: needed + (1 << 19), ..job }), last);
}

/// Reads pages by the rules of HTML, to which a browser holds nobody, and their figures by those of XML.
const STRICT: &str = "
import re, sys
from xml.dom import minidom
import html5lib
for path in sys.argv[1:]:
    text = open(path, encoding='utf-8').read()
    if path.endswith('.html'):
        html5lib.HTMLParser(strict=True).parse(text)
        figures = re.findall(r'<svg .*?</svg>', text, re.S)
    else:
        figures = [text]
    for figure in figures:
        minidom.parseString(figure.encode())
    assert figures or 'no figures' in path, path
    print(path, len(figures))
";

#[test]
fn pages_are_html_and_figures_are_xml() {
    let Some(python) = std::env::var_os("NCKIT_TEST_PYTHON") else {
        return println!("skipped: NCKIT_TEST_PYTHON names no Python with html5lib");
    };
    let has_parser = Command::new(&python).args(["-c", "import html5lib"]).output().unwrap().status.success();
    if !has_parser {
        return println!("skipped: the Python of NCKIT_TEST_PYTHON has no html5lib");
    }
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let mut odd = report(&[("layer", "h3"), ("split", "train")], &["epoch"]);
    odd.command = Some("nckit measure '</code><script>&amp;'".to_owned());
    odd.remarks.push("a <b> & \"c\" --> ]]>".to_owned());
    for group in &mut odd.groups {
        group.key[0].0 = "<epoch> & \"all\" --> \u{1}".to_owned();
    }
    for class in &odd.groups[4].measurements.figures.as_ref().unwrap().classes {
        odd.class_names.insert(class.label.clone(), format!("</title><i>'{}' ]]> \u{8}", class.label));
    }
    let one = report(&[("layer", "h3"), ("split", "train"), ("epoch", "9")], &[]);
    let many = report(&[("layer", "h3")], &["epoch", "split"]);
    let mut files = Vec::new();
    for (name, report) in [("odd", &odd), ("one", &one), ("many", &many)] {
        files.push(path(&format!("{name}.html")));
        std::fs::write(&files[files.len() - 1], page(report)).unwrap();
    }
    for name in nckit::report::Plot::names().chain(["nc1_pinv"]) {
        files.push(path(&format!("{name}.svg")));
        let mut bytes = Vec::new();
        odd.write_plot(nckit::report::Plot::parse(name).unwrap(), &mut bytes).unwrap();
        std::fs::write(&files[files.len() - 1], bytes).unwrap();
    }
    let output = Command::new(&python).args(["-c", STRICT]).args(&files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[cfg(feature = "cli")]
mod cli {
    use std::fs;

    use super::DIGITS;
    use crate::cli::nckit;

    fn measure(more: &[&str]) -> (i32, String) {
        let hive = format!("{DIGITS}/hive");
        let base = ["measure", &hive, "--where", "layer=h3", "--where", "split=train", "--group-by", "epoch", "-q"];
        let output = nckit(&[&base, more].concat());
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    #[test]
    fn a_figure_needs_a_name_and_a_file() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
        let (svg, other, json) = (path("a.SVG"), path("b.svg"), path("c.json"));
        for (arguments, code, advice) in [
            (&["-o", &svg][..], 2, "--plot KEY of a metric, map:KEY, or one of spectrum, "),
            (&["--plot", "nc1_pinv"], 2, "add -o FILE.svg"),
            (&["-o", &json, "--plot", "nc1_pinv"], 2, "add -o FILE.svg"),
            (&["-o", &svg, "-o", &other, "--plot", "nc1_pinv"], 2, "give -o FILE.svg once"),
            (&["-o", &svg, "--plot", "nc1_pin"], 2, "did you mean nc1_pinv?"),
            (&["-o", &svg, "--plot", "class-cosine"], 2, "did you mean class-cosines?"),
            (&["-o", &svg, "--plot", "nc3_duality_error"], 65, "reason no head"),
            (&["-o", &svg, "--plot", "map:nc1_pinv"], 65, "--plot nc1_pinv draws lines"),
            // What is known before rows are read is said before, by a plan too.
            (&["-o", &svg, "-o", &json, "--plot", "nc3_duality_error", "--dry-run"], 65, "help: --head FILE"),
            (&["-o", &svg, "-o", &json, "--plot", "nc3_duality_error"], 65, "help: --head FILE"),
            (&["-o", &svg, "--plot", "nc5_ortho_dev", "--dry-run"], 65, "help: --ood INPUT"),
            (&["-o", &svg, "--plot", "map:nc1_pinv", "--dry-run"], 65, "--plot nc1_pinv draws lines"),
            (&["-o", &svg, "--plot", "nc1_pinv", "--where", "epoch=9", "--dry-run"], 65, "one group makes no line"),
        ] {
            let (found, said) = measure(arguments);
            assert_eq!(found, code, "{arguments:?}: {said}");
            assert!(said.contains(advice), "{arguments:?}: {said}");
            assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "{arguments:?}");
        }
        // What can be written is, where rows have to be read to see that a figure cannot.
        let (code, said) = measure(&["-o", &svg, "-o", &json, "--plot", "spectrum_alpha_req"]);
        assert_eq!(code, 65, "{said}");
        let left: Vec<_> = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["c.json"]);
    }

    #[test]
    fn a_figure_is_drawn_whatever_metrics_were_asked_for() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
        for (name, more) in [
            ("nc1_pinv", &[][..]),
            ("spectrum_rankme", &["--metrics", "nc2"]),
            ("spectrum", &["--metrics", "nc2"]),
            ("class-projection", &[]),
            ("class-cosines", &["--format", "csv"]),
        ] {
            let svg = path(&format!("{name}.svg"));
            let (code, said) = measure(&[&["-o", &svg, "--plot", name], more].concat());
            assert_eq!(code, 0, "{name}: {said}");
            assert!(fs::read_to_string(svg).unwrap().ends_with("</svg>\n"));
        }
    }

    /// Two groups, of three classes and of one, and layers whose names differ at the end.
    fn layers() -> crate::faults::Place {
        use crate::faults::{Place, ints, vectors};
        use crate::rows::Random;
        let place = Place::new();
        let write = |name: &str, classes: i32| {
            let mut random = Random::new(name.len() as u64 + u64::from(name.as_bytes()[name.len() - 11]));
            let labels: Vec<i32> = (0..60).map(|row| row % classes).collect();
            let values = labels
                .iter()
                .flat_map(|&label| (0..5).map(move |j| (label, j)))
                .map(|(label, j)| (random.normal() + if j == label { 3.0 } else { 0.0 }) as f32);
            let columns = [("feature", vectors(values.collect(), 5)), ("label", ints(labels.clone()))];
            place.write_columns(name, &columns, 60);
        };
        for layer in 0..12 {
            write(&format!("ly/layer=layer_{layer}/p.parquet"), 3);
        }
        for layer in ["0.conv1", "0.conv2", "1.conv1", "1.conv2"] {
            for epoch in 0..3 {
                write(&format!("bb/layer=backbone.layer4.{layer}/epoch={epoch}/p.parquet"), 3);
            }
        }
        write("one/epoch=0/p.parquet", 3);
        write("one/epoch=1/p.parquet", 1);
        place
    }

    #[test]
    fn figures_have_layers_in_their_order_and_tell_them_apart() {
        let place = layers();
        let draw = |arguments: &[&str]| {
            let output = place.run(&[&["measure", "-o", "a.svg", "--overwrite"], arguments].concat());
            assert!(output.status.success(), "{}", crate::faults::said(&output));
            (String::from_utf8(place.read("a.svg")).unwrap(), crate::faults::said(&output))
        };
        let texts = |svg: &str| -> Vec<String> {
            let texts = svg.split("</text>").filter_map(|part| Some(part.rsplit_once('>')?.1.to_owned()));
            texts.collect()
        };
        let (svg, _) = draw(&["ly", "--group-by=layer", "--plot=nc1_cdnv"]);
        let ticks: Vec<String> = texts(&svg).into_iter().filter(|text| text.starts_with("layer_")).collect();
        assert_eq!(ticks, (0..12).map(|layer| format!("layer_{layer}")).collect::<Vec<_>>());
        for plot in ["class-variance", "class-cosines", "spectrum", "class-projection"] {
            let (svg, said) = draw(&["ly", "--group-by=layer", "--plot", plot]);
            assert!(texts(&svg)[0].ends_with(": layer_11"), "{plot}: {:?}", texts(&svg)[0]);
            assert!(said.contains("Of 12 groups, the last is shown here: layer_11."), "{said}");
        }
        let (svg, said) =
            draw(&["bb", "--group-by=epoch", "--where=layer=backbone.layer4.0.conv1", "--plot=spectrum-within"]);
        assert_eq!(texts(&svg)[0], "eigenvalues of Σ_W: epoch 2");
        assert!(said.contains("Of 3 groups, 1 is shown here, at its last epoch: epoch 2."), "{said}");
        for plot in ["nc1_cdnv", "map:nc1_cdnv", "spectrum-between"] {
            let (svg, _) = draw(&["bb", "--group-by=layer,epoch", "--plot", plot]);
            let texts = texts(&svg);
            let names: Vec<&String> = texts.iter().filter(|text| text.contains("conv")).collect();
            assert_eq!(names.len(), 4, "{texts:?}");
            assert!(names.iter().all(|name| names.iter().filter(|other| *other == name).count() == 1), "{names:?}");
        }
        let text = "a".repeat(90);
        place.write(&format!("long/layer={text}/p.parquet"), 1, 60, 5, 60);
        place.write(&format!("long/layer=b{text}/p.parquet"), 2, 60, 5, 60);
        let (svg, _) = draw(&["long", "--group-by=layer", "--plot=class-cosines"]);
        assert!(texts(&svg)[0].starts_with("cosines between class means: baaa") && texts(&svg)[0].ends_with('…'));
        // Records keep the order of texts.
        let csv = place.succeed(&["measure", "ly", "--group-by=layer", "--metrics=nc1_cdnv", "--format=csv", "-q"]);
        let second = csv.lines().nth(3).unwrap();
        assert!(second.starts_with("layer_10,"), "{second}");
    }

    #[test]
    fn a_figure_of_one_class_says_that_it_is_one() {
        let place = layers();
        for plot in ["class-cosines", "class-projection", "cosine-histogram", "spectrum-between"] {
            let text = place.fail(65, &["measure", "one", "--group-by=epoch", "-o", "a.svg", "--plot", plot]);
            assert!(text.contains("reason single class"), "{plot}: {text}");
        }
    }

    #[test]
    fn report_is_finish_by_another_name() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
        let (state, hive) = (path("all.ncst"), format!("{DIGITS}/hive"));
        let rows = ["--where", "layer=h3", "--group-by", "epoch,split", "-q", "-o", &state];
        assert!(nckit(&[&["accumulate", &hive], &rows[..]].concat()).status.success());
        let page = |verb: &str| {
            let page = path(&format!("{verb}.html"));
            let output = nckit(&[verb, &state, "-o", &page, "-q"]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            // The foot holds the command.
            let page = fs::read_to_string(page).unwrap();
            page.split_once("Made by nckit").unwrap().0.to_owned()
        };
        let made = page("report");
        assert_eq!(made, page("finish"));
        assert!(
            made.contains("<h2>Class by class: 4000 train</h2>")
                || made.contains("<h2>Class by class: epoch 4000 train</h2>")
        );
        // The page of rows and of their states has the same figures.
        let direct = path("direct.html");
        let output =
            nckit(&["measure", &hive, "--where", "layer=h3", "--group-by", "epoch,split", "-o", &direct, "-q"]);
        assert!(output.status.success());
        let direct = fs::read_to_string(direct).unwrap();
        let classes =
            |page: &str| page.split("<h2>Spectra").nth(1).unwrap().split("<h2>All other").next().unwrap().to_owned();
        assert_eq!(classes(&made), classes(&direct));
    }
}
