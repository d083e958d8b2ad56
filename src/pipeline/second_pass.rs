//! The second pass: rows beside the class means that the first pass made, and beside the classifier.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::ScoreSink;
use super::at_hand::{IN_MEMORY, Readable};
use super::evaluate::{Evaluation, FurtherRows, GroupEvidence, TrainUnits};
use super::first_pass::PRODUCTS_PER_SECOND;
use super::scan::{Place, Watch};
use crate::archive::{DecodedChunk, Key, Skipped};
use crate::batch::Label;
use crate::error::Result;
use crate::kernels::{Device, Mahalanobis, Projection, Workspace};
use crate::metrics::{mahalanobis, neco_projection};
use crate::report::Scored;
use crate::state::{Role, SecondPass, SecondPassResult, SecondPassSpec, SecondPassState, Verdict};

/// What a worker has seen of each group, by the position of the group.
type SeenGroups = BTreeMap<usize, SecondPassState>;

/// The rows that are read in one role.
struct RoleRows<'a> {
    role: Role,
    from: Readable<'a>,
    /// The units that are read, if the rows are stored.
    units: Vec<usize>,
    /// The key under which the rows of each group lie, in the order of the groups.
    keys: Vec<Key>,
}

impl RoleRows<'_> {
    fn count(&self) -> u64 {
        match self.from {
            Readable::Stored(archive) => self.units.iter().map(|&unit| archive.units()[unit].rows).sum(),
            Readable::AtHand(rows) => rows.rows(),
        }
    }
}

/// A pass for each group, and what it has seen so far.
struct GroupPasses<'a> {
    groups: &'a [GroupEvidence],
    passes: Vec<SecondPass<'a>>,
    seen: Vec<SecondPassState>,
}

impl Evaluation {
    /// Makes the second pass over all rows that it needs, and keeps its results with the groups.
    pub(super) fn second_pass(
        &self,
        own: TrainUnits<'_>,
        groups: &mut [GroupEvidence],
        watch: &Watch,
        score: ScoreSink<'_>,
    ) -> Result<()> {
        if !self.reads_again() {
            return Ok(());
        }
        let results = self.second_pass_results(own, groups, watch, score)?;
        groups.iter_mut().zip(results).for_each(|(group, result)| group.second_pass = Some(result));
        Ok(())
    }

    fn second_pass_results(
        &self,
        own: TrainUnits<'_>,
        groups: &[GroupEvidence],
        watch: &Watch,
        score: ScoreSink<'_>,
    ) -> Result<Vec<SecondPassResult>> {
        let score = Mutex::new(score);
        let (needs, options) = (self.needs, &self.job.options);
        let projection = |group: &GroupEvidence| {
            // The largest logit needs a head.
            let scored = needs.neco && (group.head.is_some() || !options.neco_max_logit);
            scored.then(|| neco_projection(&group.statistics, options).ok()).flatten()
        };
        let projections: Vec<_> = groups.iter().map(projection).collect();
        let distances = |group: &GroupEvidence| {
            (needs.mahalanobis || needs.lda).then(|| mahalanobis(&group.statistics, needs.mahalanobis).ok()).flatten()
        };
        let metrics: Vec<_> = groups.iter().map(distances).collect();
        let scored = projections.iter().map(Option::as_ref).zip(metrics.iter().map(Option::as_ref));
        let rows_by_role = self.rows_by_role(own, groups);
        let decided = rows_by_role.iter().filter(|rows| matches!(rows.role, Role::Eval | Role::TrainAndEval));
        let expected = decided.map(RoleRows::count).sum::<u64>() / groups.len().max(1) as u64;
        let pass = |(group, scored)| self.pass(group, scored, expected);
        let passes = groups.iter().zip(scored).map(pass).collect::<Result<_>>()?;
        let seen = groups.iter().map(|_| SecondPassState::default()).collect();
        let mut passes = GroupPasses { groups, passes, seen };
        let device = self.device.get_or_init(|| self.job.device.decided(self.rough_time(&rows_by_role, groups)));
        for rows in &rows_by_role {
            self.read_rows(rows, device, &mut passes, watch, &score)?;
        }
        let GroupPasses { passes, seen, .. } = &passes;
        let finish = |((pass, seen), group): ((&SecondPass<'_>, &SecondPassState), &GroupEvidence)| {
            pass.finish(seen).map_err(|error| self.locate(error, &group.key))
        };
        let found: Vec<SecondPassResult> = passes.iter().zip(seen).zip(groups).map(finish).collect::<Result<_>>()?;
        // Of a group's own rows, those of classes that were left out are counted already.
        if self.decided().is_some() {
            self.undecided.fetch_add(found.iter().map(SecondPassResult::unseen).sum(), Ordering::Relaxed);
        }
        Ok(found)
    }

    /// The pass of a group.
    fn pass<'a>(
        &self,
        group: &'a GroupEvidence,
        (projection, mahalanobis): (Option<&'a Projection>, Option<&'a Mahalanobis>),
        expected_rows: u64,
    ) -> Result<SecondPass<'a>> {
        let (needs, options) = (self.needs, &self.job.options);
        SecondPass::new(&SecondPassSpec {
            statistics: &group.statistics,
            head: group.head.as_ref(),
            use_bias: options.use_bias,
            decisions: needs.decisions,
            directional: needs.directional.then(|| options.variance_count()),
            hug_intra: needs.hug_intra && group.head.is_some(),
            projection,
            mahalanobis,
            expected_rows,
            max_logit: options.neco_max_logit,
        })
        .map_err(|error| self.locate(error, &group.key))
    }

    /// All rows to be read: the group's own, those of `--decisions`, those of `--ood`.
    fn rows_by_role<'a>(&'a self, own: TrainUnits<'a>, groups: &[GroupEvidence]) -> Vec<RoleRows<'a>> {
        let decided = self.judges();
        let own_decided = decided && self.decided().is_none();
        let own = own.map(|(archive, units)| (Readable::Stored(archive), units.to_vec()));
        let own = own.or(self.job.at_hand.own.as_ref().map(|rows| (Readable::AtHand(rows), Vec::new())));
        let train = own.filter(|_| self.reads_own() || own_decided).map(|(from, units)| RoleRows {
            role: if own_decided { Role::TrainAndEval } else { Role::Train },
            from,
            units,
            keys: groups.iter().map(|group| group.key.clone()).collect(),
        });
        let further = [
            (&self.decisions, self.decided(), decided, Role::Eval),
            (&self.ood, self.outside(), self.scores_ood(), Role::Ood),
        ];
        let further = further.into_iter().filter(|(_, _, wanted, _)| *wanted).filter_map(|(stored, from, _, role)| {
            let from = from?;
            let units = stored.as_ref().map_or_else(Vec::new, FurtherRows::units);
            // Rows in memory have no keys, and serve all groups.
            let key_of = |group: &GroupEvidence| stored.as_ref().map_or(Key::new(), |rows| rows.key_of(&group.key));
            Some(RoleRows { role, from, units, keys: groups.iter().map(key_of).collect() })
        });
        train.into_iter().chain(further).collect()
    }

    /// About how long the CPU takes for the scores of all rows, if each row belongs to one group.
    fn rough_time(&self, rows_by_role: &[RoleRows<'_>], groups: &[GroupEvidence]) -> Duration {
        let products = |group: &GroupEvidence| {
            let classes = group.statistics.classes() * (1 + usize::from(group.head.is_some()));
            classes as f64 * group.statistics.dim as f64
        };
        let each = groups.iter().map(products).sum::<f64>() / groups.len().max(1) as f64;
        let rows: u64 = rows_by_role.iter().map(RoleRows::count).sum();
        Duration::from_secs_f64(rows as f64 * each / PRODUCTS_PER_SECOND / self.threads as f64)
    }

    /// Reads the units that hold rows of a group, and hands each group's pass the rows under its key.
    fn read_rows(
        &self,
        rows: &RoleRows<'_>,
        device: &Device,
        passes: &mut GroupPasses<'_>,
        watch: &Watch,
        score: &Mutex<ScoreSink<'_>>,
    ) -> Result<()> {
        let RoleRows { role, from, .. } = *rows;
        let scored = self.job.scores && role != Role::Train;
        let mut by_key: BTreeMap<&[Label], Vec<usize>> = BTreeMap::new();
        rows.keys.iter().enumerate().for_each(|(at, key)| by_key.entry(key).or_default().push(at));
        // The keys of rows may have one more value, which makes blocks.
        let length = rows.keys.first().map_or(0, Vec::len);
        let groups_of = |key: &Key| by_key.get(&key[..length]);
        let serves = |unit: &usize| match from {
            Readable::Stored(archive) => archive.units()[*unit].key.as_ref().is_none_or(|key| groups_of(key).is_some()),
            Readable::AtHand(_) => true,
        };
        let units: Vec<usize> = rows.units.iter().copied().filter(serves).collect();
        let look = |worker: &mut Worker, place: Place, chunk: &DecodedChunk| {
            let Worker { seen, left_out, workspace } = worker;
            let batch = chunk.finite_batch()?;
            for part in &chunk.parts {
                if groups_of(&part.key).is_some() {
                    left_out.add(&part.skipped);
                }
                for &group in groups_of(&part.key).into_iter().flatten() {
                    let mut verdicts = Vec::new();
                    let each = scored.then_some(&mut verdicts);
                    let seen = seen.entry(group).or_default();
                    passes.passes[group].update(role, &batch, part.rows.as_deref(), seen, each, workspace)?;
                    if scored {
                        let file = match from {
                            Readable::Stored(archive) => &archive.files()[archive.units()[units[place.unit]].file].name,
                            Readable::AtHand(_) => IN_MEMORY,
                        };
                        let mut score = score.lock().unwrap_or_else(PoisonError::into_inner);
                        passes.groups[group].score(
                            role,
                            file,
                            (chunk, part.rows.as_deref()),
                            &verdicts,
                            &mut *score,
                        )?;
                    }
                }
            }
            Ok(())
        };
        // One worker looks at rows in their order.
        let threads = if scored { 1 } else { self.threads };
        let worker = || Worker { seen: SeenGroups::new(), left_out: Skipped::default(), workspace: device.workspace() };
        let workers = from.scan(&units, (self.job.request.normalize, threads), watch, worker, look)?;
        let mut left_out = Skipped::of_all(from.skipped());
        for worker in workers {
            left_out.add(&worker.left_out);
            for (group, partial) in worker.seen {
                passes.seen[group].merge(&partial);
            }
        }
        match role {
            // Those of the groups themselves were counted when their states were made.
            Role::Train | Role::TrainAndEval => {}
            Role::Eval => self.leave_out("--decisions", &left_out),
            Role::Ood => self.leave_out("--ood", &left_out),
        }
        Ok(())
    }
}

/// What one thread keeps.
struct Worker {
    seen: SeenGroups,
    left_out: Skipped,
    workspace: Workspace,
}

impl GroupEvidence {
    /// Hands the verdicts on rows of a chunk, all or the ones listed, to `score`.
    fn score(
        &self,
        role: Role,
        file: &str,
        (chunk, rows): (&DecodedChunk, Option<&[u32]>),
        verdicts: &[Verdict],
        score: ScoreSink<'_>,
    ) -> Result<()> {
        let every: Vec<u32> = (0..chunk.codes.len() as u32).collect();
        let rows = rows.unwrap_or(&every);
        let label = |&row: &u32| &chunk.classes[chunk.codes[row as usize] as usize];
        score(&Scored {
            key: &self.key,
            rows: if role == Role::Ood { "ood" } else { "decisions" },
            file,
            file_rows: &rows.iter().map(|&row| chunk.file_rows[row as usize]).collect::<Vec<_>>(),
            labels: &rows.iter().map(label).collect::<Vec<_>>(),
            classes: &self.statistics.labels,
            verdicts,
        })
    }
}
