//! Measures an archive beside its classifier, one group an epoch, and lists the classes of the last one.

use nckit::archive::{HeadSource, Request};
use nckit::error::Result;
use nckit::metrics::{Extras, Selection};
use nckit::pipeline::Job;

fn main() -> Result<()> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/digits");
    let filters = vec![("layer".to_owned(), "h3".to_owned()), ("split".to_owned(), "train".to_owned())];
    let head = format!("{folder}/classifier/epoch={{epoch}}/classifier.parquet");
    let job = Job {
        request: Request { filters, group_by: vec!["epoch".to_owned()], ..Request::default() },
        head: Some(HeadSource::parse(&head)?),
        selection: Selection::parse(&["nc1_pinv".to_owned(), "nc3_duality_error".to_owned()])?,
        extras: Extras { per_class: true, ..Extras::default() },
        ..Job::new([format!("{folder}/hive")])
    };
    let report = job.run()?;
    for group in &report.groups {
        let [pinv, duality] = ["nc1_pinv", "nc3_duality_error"].map(|key| group.value(key).unwrap_or(f64::NAN));
        println!("epoch {:>4}: nc1_pinv {pinv:.5}, nc3_duality_error {duality:.4}", group.key[0].1.to_string());
    }
    let Some(last) = report.groups.last() else { return Ok(()) };
    for class in &last.measurements.per_class {
        let variance = class.variance.unwrap_or(f64::NAN);
        println!("class {}: {} rows, variance {variance:.4}, distance {:.3}", class.label, class.count, class.distance);
    }
    Ok(())
}
