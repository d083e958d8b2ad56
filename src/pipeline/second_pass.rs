//! The second read: rows beside the means and the classifier that the first one made.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::ScoreSink;
use super::evaluate::{Evaluation, GroupEvidence, TrainUnits};
use super::first_pass::at_row;
use super::scan::{Place, Watch, scan};
use crate::archive::{Archive, Decoded, Key};
use crate::error::Result;
use crate::kernels::Workspace;
use crate::metrics::neco_projection;
use crate::report::Scored;
use crate::state::{Role, SecondPass, SecondPassResult, SecondPassSpec, SecondPassState};

/// What a worker has seen of each group, by the position of the group.
type SeenGroups = BTreeMap<usize, SecondPassState>;

impl Evaluation {
    /// Fills the findings of groups.
    pub(super) fn second_read(
        &self,
        own: TrainUnits<'_>,
        groups: &mut [GroupEvidence],
        watch: &Watch,
        score: ScoreSink<'_>,
    ) -> Result<()> {
        if !self.reads_again() {
            return Ok(());
        }
        let findings = self.findings(own, groups, watch, score)?;
        groups.iter_mut().zip(findings).for_each(|(group, findings)| group.findings = Some(findings));
        Ok(())
    }

    fn findings(
        &self,
        own: TrainUnits<'_>,
        groups: &[GroupEvidence],
        watch: &Watch,
        score: ScoreSink<'_>,
    ) -> Result<Vec<SecondPassResult>> {
        let score = Mutex::new(score);
        let needs = self.needs;
        let options = &self.job.options;
        let judged = needs.decisions || needs.neco;
        let projections: Vec<_> = groups
            .iter()
            .map(|group| {
                // The largest logit needs a head.
                let scored = needs.neco && (group.head.is_some() || !options.neco_max_logit);
                scored.then(|| neco_projection(&group.statistics, options).ok()).flatten()
            })
            .collect();
        let passes: Vec<SecondPass<'_>> = groups
            .iter()
            .zip(&projections)
            .map(|(group, projection)| {
                SecondPass::new(&SecondPassSpec {
                    statistics: &group.statistics,
                    head: group.head.as_ref(),
                    use_bias: options.use_bias,
                    decisions: needs.decisions,
                    directional: needs.directional.then(|| options.min_count.unwrap_or(2)),
                    hug_intra: needs.hug_intra && group.head.is_some(),
                    projection: projection.as_ref(),
                    max_logit: options.neco_max_logit,
                })
                .map_err(|error| self.locate(error, &group.key))
            })
            .collect::<Result<_>>()?;
        let mut seen: Vec<SecondPassState> = groups.iter().map(|_| SecondPassState::default()).collect();

        let own_decisions = judged && self.decisions.is_none();
        if let Some((archive, units)) = own
            && (self.reads_own() || own_decisions)
        {
            let keys: Vec<Key> = groups.iter().map(|group| group.key.clone()).collect();
            let role = if own_decisions { Role::TrainAndEval } else { Role::Train };
            self.look(archive, units, (groups, &keys), role, &passes, &mut seen, watch, &score)?;
        }
        let others = [(&self.decisions, judged, Role::Eval), (&self.ood, needs.neco, Role::Ood)];
        for (rows, wanted, role) in others {
            if let Some(rows) = rows
                && wanted
            {
                let units: Vec<usize> = (0..rows.archive.units().len()).collect();
                let keys: Vec<Key> = groups.iter().map(|group| rows.key_of(&group.key)).collect();
                self.look(&rows.archive, &units, (groups, &keys), role, &passes, &mut seen, watch, &score)?;
            }
        }
        let finish = |((pass, seen), group): ((&SecondPass<'_>, &SecondPassState), &GroupEvidence)| {
            pass.finish(seen).map_err(|error| self.locate(error, &group.key))
        };
        passes.iter().zip(&seen).zip(groups).map(finish).collect()
    }

    /// Reads the `units` that hold rows of a group, and hands each group's pass the rows under its key.
    #[expect(clippy::too_many_arguments, reason = "one read: what, for whom, in which role, and where to put it")]
    fn look(
        &self,
        archive: &Archive,
        units: &[usize],
        (groups, keys): (&[GroupEvidence], &[Key]),
        role: Role,
        passes: &[SecondPass<'_>],
        seen: &mut [SecondPassState],
        watch: &Watch,
        score: &Mutex<ScoreSink<'_>>,
    ) -> Result<()> {
        let scored = self.job.scores && role != Role::Train;
        let mut by_key: BTreeMap<&Key, Vec<usize>> = BTreeMap::new();
        keys.iter().enumerate().for_each(|(at, key)| by_key.entry(key).or_default().push(at));
        let serves = |unit: &usize| archive.units()[*unit].key.as_ref().is_none_or(|key| by_key.contains_key(key));
        let units: Vec<usize> = units.iter().copied().filter(serves).collect();
        let look = |(seen, workspace): &mut (SeenGroups, Workspace), place: Place, chunk: &Decoded| {
            let batch = chunk.finite_batch()?;
            for part in &chunk.parts {
                for &group in by_key.get(&part.key).into_iter().flatten() {
                    let mut verdicts = Vec::new();
                    let each = scored.then_some(&mut verdicts);
                    let (rows, seen) = (part.rows.as_deref(), seen.entry(group).or_default());
                    passes[group].update(role, &batch, rows, seen, each, workspace)?;
                    if scored {
                        let every: Vec<u32> = (0..batch.rows() as u32).collect();
                        let rows = part.rows.as_deref().unwrap_or(&every);
                        let label = |&row: &u32| &chunk.classes[chunk.codes[row as usize] as usize];
                        let file = archive.units()[units[place.unit]].file;
                        let scored = Scored {
                            key: &groups[group].key,
                            rows: if role == Role::Ood { "ood" } else { "decisions" },
                            file: &archive.files()[file].name,
                            file_rows: &rows.iter().map(|&row| chunk.file_rows[row as usize]).collect::<Vec<_>>(),
                            labels: &rows.iter().map(label).collect::<Vec<_>>(),
                            classes: &groups[group].statistics.labels,
                            verdicts: &verdicts,
                        };
                        score.lock().unwrap_or_else(PoisonError::into_inner)(&scored)?;
                    }
                }
            }
            Ok(())
        };
        // One worker looks at rows in their order.
        let threads = if scored { 1 } else { self.threads };
        let worker = || (SeenGroups::new(), self.job.device.workspace());
        let workers = scan(archive, &units, threads, watch, worker, |worker, place, chunk| {
            look(worker, place, chunk).map_err(|error| at_row(error, archive, units[place.unit], chunk))
        })?;
        for (group, partial) in workers.into_iter().flat_map(|(seen, _)| seen) {
            seen[group].merge(&partial);
        }
        Ok(())
    }
}
