//! The means of out-of-distribution rows.

use std::collections::BTreeMap;

use super::count::{ShiftTables, merge, profile, replaceable};
use crate::archive::{DecodedChunk, Key, Skipped};
use crate::batch::{Batch, Label};
use crate::error::{Error, Result};
use crate::kernels::{Device, Workspace};
use crate::metrics::OodMean;
use crate::pipeline::at_hand::Readable;
use crate::pipeline::evaluate::{Evaluation, FurtherRows};
use crate::pipeline::memory::Meter;
use crate::pipeline::scan::Watch;
use crate::state::{Chunk, DeviceParts};
use crate::store::GroupState;

/// The mean that stands for the out-of-distribution rows, for each key that they have.
pub(in crate::pipeline) fn ood_means(plan: &Evaluation, watch: &Watch) -> Result<BTreeMap<Key, Vec<f64>>> {
    let Some(rows) = plan.outside() else { return Ok(BTreeMap::new()) };
    let merged =
        replaceable(&plan.job.device, watch, &Meter::default(), |device| ood_states(device, plan, rows, watch))?;
    let left_out_before = rows.skipped();
    let skipped = Skipped::of_all(merged.values().map(|group| &group.skipped).chain(left_out_before));
    plan.leave_out("--ood", &skipped);
    if merged.values().all(|group| group.state.dim() == 0) {
        let error = Error::missing("no out-of-distribution row is left");
        return Err(match skipped.total() {
            0 => error.help("loosen the filters in --ood 'PATH?key=value'"),
            total => error
                .with("rows ignored", skipped.ignored)
                .with("rows left out", total - skipped.ignored)
                .help("--ignore-label, --nulls and --nonfinite hold for --ood too"),
        });
    }
    if let Some(ood) = &plan.ood {
        ood.check_filters()?;
    }
    let mut means = BTreeMap::new();
    for (key, group) in merged.into_iter().filter(|(_, group)| group.state.dim() > 0) {
        means.insert(key, group.state.statistics()?.mean_of_means());
    }
    Ok(means)
}

/// The class sums of the out-of-distribution rows, for each key that they have.
fn ood_states(
    device: &Device,
    plan: &Evaluation,
    rows: Readable<'_>,
    watch: &Watch,
) -> Result<BTreeMap<Key, GroupState>> {
    let units = plan.ood.as_ref().map_or_else(Vec::new, FurtherRows::units);
    let one_class = [Label::Int(0)];
    let shifts = ShiftTables::default();
    let look = |worker: &mut OodWorker, chunk: &DecodedChunk| {
        let OodWorker { groups, parts, workspace } = worker;
        let mut batch = chunk.finite_batch()?;
        let codes = vec![0; chunk.codes.len()];
        if plan.job.options.ood_mean == OodMean::Rows {
            batch = Batch::of_finite(chunk.dim, batch.features(), &codes, &one_class)?;
        }
        let profile = profile(plan.job.rounding, &batch, parts, groups, workspace)?;
        for part in &chunk.parts {
            let group = groups.entry(part.key.clone()).or_insert_with(|| GroupState::new(false));
            group.skipped.add(&part.skipped);
            if part.rows.as_ref().map_or(batch.rows(), Vec::len) > 0 {
                let shifts = shifts.of(&part.key, chunk.dim)?;
                let chunk = Chunk { batch, profile: &profile };
                parts.update(&part.key, groups, &chunk, part.rows.as_deref(), &shifts, workspace)?;
            }
        }
        workspace.recycle(profile);
        Ok(())
    };
    let worker = || OodWorker { groups: BTreeMap::new(), parts: DeviceParts::default(), workspace: device.workspace() };
    let look = |worker: &mut OodWorker, _, chunk: &DecodedChunk| look(worker, chunk);
    let workers = rows.scan(&units, (plan.job.request.normalize, plan.threads), watch, worker, look)?;
    let mut merged = BTreeMap::new();
    for OodWorker { mut groups, mut parts, mut workspace } in workers {
        parts.settle(&mut groups, &mut workspace)?;
        for (key, group) in groups {
            merge(merged.entry(key).or_insert_with(|| GroupState::new(false)), &group)?;
        }
    }
    Ok(merged)
}

/// What a worker makes of out-of-distribution rows, and with what.
struct OodWorker {
    groups: BTreeMap<Key, GroupState>,
    parts: DeviceParts<Key>,
    workspace: Workspace,
}
