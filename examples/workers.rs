//! Several workers count rows of their own; their states are added up, and one of them is taken out again.

use nckit::error::Result;
use nckit::pipeline::{Finish, Job, Watch};
use nckit::store::StateFile;
use nckit::{Collapse, report};

/// The state of the rows that a worker has.
fn work(worker: u32) -> Result<StateFile> {
    let mut rows = Collapse::new(2);
    for row in 0..100_u32 {
        let angle = (row * (worker + 1)) as f32;
        let class = row % 2;
        rows.update(&[class as f32 + 0.1 * angle.sin(), 0.1 * angle.cos()], &[class])?;
    }
    rows.state()
}

fn cdnv(states: StateFile) -> Result<f64> {
    let report: report::Report = Finish::new(Job::new::<&str>([]), states)?.run(&Watch::default())?;
    Ok(report.groups[0].value("nc1_cdnv").unwrap_or(f64::NAN))
}

fn main() -> Result<()> {
    // As bytes a state goes from process to process, and to disk.
    let sent: Vec<Vec<u8>> = (0..3).map(|worker| work(worker)?.encode()).collect::<Result<_>>()?;
    let received: Vec<StateFile> = sent.iter().map(|bytes| StateFile::decode(bytes)).collect::<Result<_>>()?;
    let (first, others) = received.split_first().unwrap_or_else(|| unreachable!("there are three"));
    let named: Vec<(String, StateFile)> =
        others.iter().enumerate().map(|(at, state)| (format!("worker {}", at + 1), state.clone())).collect();
    let mut all = first.clone();
    all.merge("worker 0", &named, false)?;
    println!("all three: CDNV {:.6}", cdnv(all.clone())?);
    all.subtract("all", ("worker 2", &received[2]))?;
    all.subtract("all", ("worker 1", &received[1]))?;
    assert_eq!(all, *first, "what is taken out again leaves no trace");
    println!("the first alone: CDNV {:.6}", cdnv(all)?);
    // The same rows are not counted twice.
    let again = all_twice(first);
    println!("twice the first: {}", again.map_or_else(|error| error.message().to_owned(), |()| "counted".to_owned()));
    Ok(())
}

fn all_twice(state: &StateFile) -> Result<()> {
    state.clone().merge("one", &[("the same".to_owned(), state.clone())], false)
}
