//! What a `Rows` holds: the rows that were added to it, and the states that were merged with them.

use std::collections::BTreeSet;

use nckit::archive::{Policy, Skipped};
use nckit::batch::{Features, Label};
use nckit::error::{Error, Result};
use nckit::pipeline::{ErrorBars, Rounding};
use nckit::store::{Dealing, StateFile};
use nckit::{Collapse, RowsInMemory};

use crate::own::{New, Own, Stop};
use crate::rows::Labels;

/// All that one `Rows` holds.
pub(crate) struct State {
    pub(crate) settings: Settings,
    /// What was loaded or merged.
    pub(crate) merged: Option<StateFile>,
    pub(crate) rows: Own,
    /// Rows that were left out before the first row came.
    pub(crate) waiting: Skipped,
    /// Whether an error left the rows as nobody knows.
    pub(crate) broken: bool,
}

/// How rows are counted.
#[derive(Clone)]
pub(crate) struct Settings {
    /// `D`, if it is known before the first row.
    pub(crate) dim: Option<usize>,
    pub(crate) how: RowsInMemory,
}

impl State {
    pub(crate) fn new(settings: Settings, merged: Option<StateFile>) -> Self {
        Self { settings, merged, rows: Own::None, waiting: Skipped::default(), broken: false }
    }

    /// The state that a file holds; rows that come are rounded as those in it.
    pub(crate) fn of_file(file: StateFile) -> Result<Self> {
        file.refuse_unfinished("the state")?;
        let dim = dim_of(&file)?;
        let only = |exponents: &BTreeSet<Option<i16>>| match exponents.len() {
            1 => exponents.first().copied().flatten(),
            _ => None,
        };
        let rounding = Rounding {
            exponent: only(&file.provenance.exponents),
            extra_bits: file.provenance.extra_bits.last().copied().unwrap_or(0),
        };
        let has_rows = file.ledger.units() > 0;
        let of_dealing = |Dealing { blocks, key }: &Dealing| ErrorBars { blocks: Some(*blocks), block_by: key.clone() };
        let policy = |set: &BTreeSet<Policy>| set.iter().copied().max().unwrap_or_default();
        let how = RowsInMemory {
            ignore_label: file.provenance.ignore_label.clone(),
            nulls: policy(&file.provenance.nulls),
            nonfinite: policy(&file.provenance.nonfinite),
            rounding,
            scatter: file.provenance.scatter,
            normalize: file.provenance.normalize,
            error_bars: file.provenance.blocks.as_ref().map(of_dealing),
            ..RowsInMemory::default()
        };
        let settings = Settings { dim, how };
        Ok(Self::new(settings, has_rows.then_some(file)))
    }

    /// Fails if an error has left rows as nobody knows.
    pub(crate) fn check(&self) -> Result<()> {
        if self.broken {
            return Err(Error::data("an earlier error left this state incomplete").help("make a new one"));
        }
        Ok(())
    }

    /// `N`.
    pub(crate) fn count(&self) -> u64 {
        self.rows.count() + self.merged.as_ref().map_or(0, |file| file.ledger.rows().0)
    }

    /// All rows as a state file.
    pub(crate) fn file(&mut self) -> Result<StateFile> {
        self.check()?;
        let Settings { dim, how } = &self.settings;
        match (&self.merged, self.rows.state()?) {
            (None, Some(own)) => Ok(own),
            (None, None) => Collapse::<f32>::counting(dim.unwrap_or(1), how.clone())?.state(),
            (Some(merged), None) => Ok(merged.clone()),
            (Some(merged), Some(mut own)) => {
                self.refuse_groups()?;
                // The columns of a file have names, and arrays have none.
                own.provenance.features.clone_from(&merged.provenance.features);
                own.provenance.labels.clone_from(&merged.provenance.labels);
                own.provenance.dtype = merged.provenance.dtype;
                let mut all = merged.clone();
                all.merge("the state", &[("the rows added since".to_owned(), own)], false)?;
                Ok(all)
            }
        }
    }

    /// Fails if what was loaded has groups: nobody knows of which one new rows are.
    fn refuse_groups(&self) -> Result<()> {
        let keys = self.merged.as_ref().map_or(&[][..], |merged| &merged.provenance.group_by);
        if keys.is_empty() {
            return Ok(());
        }
        Err(Error::usage("rows cannot be added to the states of several groups")
            .with("keys", keys.join(", "))
            .help("make a State for them, and save it by itself"))
    }

    /// Fails if there is no row to be measured, with what was left out.
    pub(crate) fn refuse_nothing(&self) -> Result<()> {
        if self.count() > 0 {
            return Ok(());
        }
        let Skipped { nulls, ignored, nonfinite, .. } = &self.waiting;
        let counts =
            [("rows ignored", *ignored), ("rows with nulls", *nulls), ("rows not finite", nonfinite.values().sum())];
        let counts = counts.into_iter().filter(|(_, rows)| *rows > 0);
        let error =
            counts.fold(Error::missing("there are no rows to measure"), |error, (what, rows)| error.with(what, rows));
        Err(match self.waiting.total() {
            0 => error.help("update(features, labels) adds rows to a state"),
            _ => error.help("every row is left out by ignore_label, nulls or nonfinite"),
        })
    }

    /// Adds the rows of another; if that fails, this one is as before.
    pub(crate) fn merge(&mut self, other: StateFile) -> Result<()> {
        self.check()?;
        if other.ledger.units() == 0 {
            return Ok(());
        }
        let before = self.merged.take();
        let merged = before.clone().map_or_else(
            || Ok(other.clone()),
            |mut all| all.merge("this state", &[("the other".to_owned(), other.clone())], false).map(|()| all),
        );
        self.merged = Some(merged.inspect_err(|_| self.merged.clone_from(&before))?);
        if self.rows.count() > 0
            && let Err(error) = self.file()
        {
            // Its own rows do not fit.
            self.merged = before;
            return Err(error);
        }
        if self.settings.dim.is_none() {
            self.settings.dim = dim_of(&other)?;
        }
        Ok(())
    }

    /// Takes the rows of another out again; if that fails, this one is as before.
    pub(crate) fn subtract(&mut self, other: &StateFile) -> Result<()> {
        if other.ledger.units() == 0 {
            return self.check();
        }
        let mut rest = self.file()?;
        rest.subtract("this state", ("the other", other))?;
        self.rows = Own::None;
        self.merged = Some(rest).filter(|rest| rest.ledger.units() > 0);
        Ok(())
    }

    /// Adds rows, after all of them were checked: `features` has this shape.
    pub(crate) fn update(
        &mut self,
        features: Features<'_>,
        shape: [usize; 2],
        labels: Labels<'_>,
        blocks: Option<&[Label]>,
        left_out: &Skipped,
    ) -> Result<(), Stop> {
        self.check()?;
        self.refuse_groups()?;
        let [rows, dim] = shape;
        if labels.len() != rows {
            return Err(Error::data("there is not one label a row")
                .with("rows", rows)
                .with("labels", labels.len())
                .into());
        }
        // A list without rows does not say how long they are.
        if let Some(known) = self.dim().filter(|&known| known != dim && (rows, dim) != (0, 0)) {
            return Err(Error::data("feature vector has the wrong length")
                .with("expected", known)
                .with("found", dim)
                .into());
        }
        self.check_blocks(rows, blocks)?;
        if rows == 0 {
            self.leave_out(left_out);
            return Ok(());
        }
        if dim == 0 {
            return Err(Error::data("the rows have no dimensions").with("rows", rows).into());
        }
        let new = New { labels, blocks };
        let first = self.merged.is_some() && self.rows.count() == 0;
        let added = self.rows.add(features, dim, new, &self.settings.how, &mut self.broken);
        if first && self.rows.count() > 0 && !self.broken {
            // They may not fit what was loaded: then it is as before.
            self.file().inspect_err(|_| self.rows = Own::None)?;
        }
        added?;
        self.leave_out(left_out);
        Ok(())
    }

    /// Takes note of rows that were left out.
    fn leave_out(&mut self, skipped: &Skipped) {
        self.waiting.add(skipped);
        if self.rows.count() > 0 {
            self.rows.leave_out(&std::mem::take(&mut self.waiting));
        }
    }

    /// Values that make blocks come with all rows, or with none.
    fn check_blocks(&self, rows: usize, blocks: Option<&[Label]>) -> Result<()> {
        let key = self.settings.how.error_bars.as_ref().and_then(|bars| bars.block_by.as_ref());
        match (key, blocks) {
            (Some(key), None) => {
                return Err(Error::usage("rows come without the values of the key that makes blocks")
                    .with("key", key)
                    .help("update(features, labels, blocks), with one value of the key a row"));
            }
            (None, Some(_)) => {
                return Err(Error::usage("no key makes blocks of these rows")
                    .help("State(error_bars=\"jackknife:32\", block_by=\"NAME\"), or no blocks"));
            }
            _ => {}
        }
        if let Some(blocks) = blocks.filter(|blocks| blocks.len() != rows) {
            return Err(Error::data("there is not one block a row").with("rows", rows).with("blocks", blocks.len()));
        }
        Ok(())
    }

    /// `D`, if it is known.
    pub(crate) fn dim(&self) -> Option<usize> {
        self.rows.dim().or(self.settings.dim)
    }
}

/// `D` of the first group that has rows.
fn dim_of(file: &StateFile) -> Result<Option<usize>> {
    Ok(file.shapes()?.into_iter().map(|shape| shape.dim).find(|&dim| dim > 0))
}
