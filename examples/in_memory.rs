//! Measures features that a program holds in memory, batch by batch, as an evaluation loop makes them.

use nckit::Collapse;
use nckit::error::Result;

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
    let mut rows = Collapse::new(DIM);
    for number in 0..8 {
        let (features, labels) = batch(number);
        rows.update(&features, &labels)?;
    }
    let group = rows.measure()?;
    println!("{} rows, {} classes", group.rows, group.measurements.classes);
    for key in ["nc1_pinv", "nc1_cdnv", "nc2_etf_error"] {
        match group.value(key) {
            Some(value) => println!("{key} = {value:.4}"),
            None => println!("{key}: {}", group.metric(key).and_then(|metric| metric.reason).unwrap_or("not made")),
        }
    }
    Ok(())
}
