//! Measures features that a program holds in memory, batch by batch, as an evaluation loop makes them.

use nckit::error::Result;
use nckit::metrics::{Evidence, Extras, Options, Selection, measure};
use nckit::pipeline::Accumulator;
use nckit::state::Scatter;

const CLASSES: u32 = 10;
const DIM: usize = 16;

/// The features and the labels of a batch: class means on the axes, and noise that stands for what a network has left.
fn batch(number: u32) -> (Vec<f32>, Vec<u32>) {
    let labels: Vec<u32> = (0..256).map(|row| (row * 7 + number) % CLASSES).collect();
    let value = |row: usize, axis: usize| {
        let mean = if labels[row] as usize == axis { 1.0 } else { 0.0 };
        mean + 0.1 * ((number as usize * 256 + row) as f32 * (axis + 1) as f32).sin()
    };
    let features = (0..labels.len()).flat_map(|row| (0..DIM).map(move |axis| (row, axis)));
    (features.map(|(row, axis)| value(row, axis)).collect(), labels)
}

fn main() -> Result<()> {
    let mut rows = Accumulator::<Scatter>::new(DIM);
    for number in 0..8 {
        let (features, labels) = batch(number);
        rows.update(&features, &labels)?;
    }
    let statistics = rows.finish()?.statistics()?;
    let evidence = Evidence::new(&statistics, f32::MANTISSA_DIGITS);
    let selection = Selection::parse(&["nc1_cdnv".to_owned(), "nc2_etf_error".to_owned()])?;
    let made = measure(&evidence, &Options::default(), &selection, Extras::default())?;
    println!("{} rows, {} classes", statistics.rows(), statistics.classes());
    for metric in &made.metrics {
        match metric.value {
            Some(value) => println!("{} = {value:.4}", metric.key),
            None => println!("{}: {}", metric.key, metric.reason.unwrap_or("no reason")),
        }
    }
    Ok(())
}
