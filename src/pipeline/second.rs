//! The second read: rows beside the means and the classifier that the first one made.

use std::collections::BTreeMap;

use super::plan::{Plan, Rows};
use super::scan::{Watch, scan};
use super::Finished;
use crate::archive::{Archive, Decoded, Key};
use crate::error::Result;
use crate::metrics::neco_projection;
use crate::state::{Judge, Questions, Role, Sightings};

impl Plan {
    /// Fills the findings of a wave's groups.
    pub(super) fn second_read(&self, wave: &[usize], groups: &mut [Finished], watch: &Watch) -> Result<()> {
        let needs = self.needs;
        let judged = needs.decisions || needs.neco;
        let own = needs.directional || needs.hug_intra;
        if !judged && !own {
            return Ok(());
        }
        let projections: Vec<_> = groups
            .iter()
            .map(|group| needs.neco.then(|| neco_projection(&group.statistics, &self.job.options).ok()).flatten())
            .collect();
        let judges: Vec<Judge> = groups
            .iter()
            .zip(&projections)
            .map(|(group, projection)| {
                Judge::new(&Questions {
                    statistics: &group.statistics,
                    head: group.head.as_ref(),
                    use_bias: self.job.options.use_bias,
                    decisions: needs.decisions,
                    directional: needs.directional,
                    hug_intra: needs.hug_intra && group.head.is_some(),
                    projection: projection.as_ref(),
                    max_logit: self.job.options.neco_max_logit,
                })
                .map_err(|error| self.locate(error, &group.key))
            })
            .collect::<Result<_>>()?;

        let mut seen: Vec<Sightings> = groups.iter().map(|_| Sightings::default()).collect();
        let keys: Vec<&Key> = groups.iter().map(|group| &group.key).collect();
        let mut read = |archive: &Archive, units: &[usize], keys: &[Key], role: Role| {
            let mut by_key: BTreeMap<&Key, Vec<usize>> = BTreeMap::new();
            keys.iter().enumerate().for_each(|(at, key)| by_key.entry(key).or_default().push(at));
            let units: Vec<usize> = units
                .iter()
                .copied()
                .filter(|&unit| archive.units()[unit].key.as_ref().is_none_or(|key| by_key.contains_key(key)))
                .collect();
            let look = |seen: &mut BTreeMap<usize, Sightings>, chunk: &Decoded| {
                let batch = chunk.batch()?;
                for part in &chunk.parts {
                    for &group in by_key.get(&part.key).into_iter().flatten() {
                        let seen = seen.entry(group).or_default();
                        judges[group].look(role, &batch, part.rows.as_deref(), seen)?;
                    }
                }
                Ok(())
            };
            let workers =
                scan(archive, &units, self.threads, watch, BTreeMap::new, |seen, place, chunk| {
                    look(seen, chunk).map_err(|error| super::accumulate::at_row(error, archive, units[place.unit], chunk))
                })?;
            for (group, sightings) in workers.into_iter().flatten() {
                seen[group].merge(&sightings);
            }
            Ok(())
        };
        let of_rows = |rows: &Rows| -> (Vec<usize>, Vec<Key>) {
            ((0..rows.archive.units().len()).collect(), keys.iter().map(|key| rows.key_of(key)).collect())
        };
        let own_decisions = judged && self.decisions.is_none();
        if own || own_decisions {
            let keys: Vec<Key> = keys.iter().map(|&key| key.clone()).collect();
            read(&self.archive, wave, &keys, Role { own, decisions: own_decisions, ood: false })?;
        }
        if let Some(rows) = &self.decisions
            && judged
        {
            let (units, keys) = of_rows(rows);
            read(&rows.archive, &units, &keys, Role { own: false, decisions: true, ood: false })?;
        }
        if let Some(rows) = &self.ood
            && needs.neco
        {
            let (units, keys) = of_rows(rows);
            read(&rows.archive, &units, &keys, Role { own: false, decisions: false, ood: true })?;
        }
        let findings: Vec<_> = judges
            .iter()
            .zip(&seen)
            .zip(&*groups)
            .map(|((judge, seen), group)| judge.conclude(seen).map_err(|error| self.locate(error, &group.key)))
            .collect::<Result<_>>()?;
        drop(judges);
        groups.iter_mut().zip(findings).for_each(|(group, findings)| group.findings = Some(findings));
        Ok(())
    }
}
