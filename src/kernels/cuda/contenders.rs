//! Which candidates rows may choose, on the device.
//!
//! The kernels leave few candidates of each row, and never one too few: `nearest.cu` says why. The CPU takes what they
//! cannot: numbers far from 1, rows that many candidates are left of, and all of it if the device has too little memory.

use std::ops::RangeInclusive;

use super::launch::{Bests, Bounded, Memory, Parcel, Place, RoundedVectors, View};
use super::session::{Room, Work};
use super::size::{LIST, NEAR_TILE, near_rows, padded};
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::nearest::{Candidates, Contenders, relative_error};
use crate::kernels::{Cpu, Kernels};

/// How many sets of candidates stay on the device: a second read asks for centres and classifier in turn.
const SETS: usize = 2;

/// The largest dimension of which sums of products of digits fit into 32 bits.
const MAX_DIM: usize = 1 << 16;

/// Norms of candidates, unless 0, whose largest numbers the kernels take.
const NORMS: RangeInclusive<f64> = 1e-97..=1e100;

/// Offsets and bounds on errors up to this keep all scores within the range of `f64`.
const MAX_OFFSET: f64 = 1e200;

/// Norms are rounded up by this factor, which is more than what summation has cost them.
const ROUND_UP: f64 = 1.000_000_001;

/// How many values are sent at a time.
const PIECE: usize = 1 << 22;

/// The length of a list that the device leaves to the CPU.
const NOT_LISTED: u32 = u32::MAX;

/// Candidates on the device, and memory to compare rows with them.
pub(super) struct Nearest {
    /// The sets of candidates that were asked for last, by their numbers; `None` for those that the CPU takes.
    sets: Vec<(u64, Option<Set>)>,
    digits: Room<i8>,
    norms: Room<f64>,
    bests: Room<f64>,
    which: Room<u32>,
    lists: Room<u32>,
}

/// Candidates on the device.
struct Set {
    count: usize,
    dim: usize,
    rules: usize,
    relative: f64,
    blur: f64,
    vectors: (Memory<u8>, Place<f64>),
    /// Origin, norms, offsets and slacks.
    bounds: (Memory<u8>, [Place<f64>; 4]),
    /// Norms, rests and slacks of tiles.
    tiles: (Memory<u8>, [Place<f64>; 3]),
    digits: Memory<i8>,
    /// Units, lengths and rests.
    norms: Memory<f64>,
}

/// What the device has found out about rows.
pub(super) struct Found {
    /// The lengths of lists, rows × rules, or [`NOT_LISTED`].
    counts: Vec<u32>,
    /// Rows × rules × [`LIST`].
    lists: Vec<u32>,
}

/// How many rows the device looks at together.
pub(super) fn rows_at_a_time(candidates: &Candidates<'_>) -> usize {
    near_rows(candidates.dim(), padded(candidates.len()) / NEAR_TILE * candidates.rules())
}

/// Whether the kernels take these candidates: with others, scores or sums could leave the range of their numbers.
fn suit(candidates: &Candidates<'_>) -> bool {
    let are_small = |values: &[f64]| values.iter().all(|x| x.abs() <= MAX_OFFSET);
    candidates.dim() <= MAX_DIM
        && candidates.norms.iter().all(|norm| *norm == 0.0 || NORMS.contains(norm))
        && candidates.blur() <= MAX_OFFSET
        && candidates.rules.iter().all(|rule| are_small(&rule.rounded) && are_small(&rule.slack))
}

impl Nearest {
    /// No candidates, and no memory as yet.
    pub(super) fn new() -> Self {
        Self {
            sets: Vec::new(),
            digits: Room::new(),
            norms: Room::new(),
            bests: Room::new(),
            which: Room::new(),
            lists: Room::new(),
        }
    }
}

impl Work {
    /// Which candidates the rows, at least one, may choose; `None` if the CPU takes such candidates.
    pub(super) fn contenders(
        &mut self,
        candidates: &Candidates<'_>,
        rows: &[f64],
        places: usize,
    ) -> Result<Option<Found>> {
        let found = self.find(candidates, rows, places);
        if found.as_ref().is_err_and(|error| error.kind() == ErrorKind::Resource) {
            // Others may need the memory more, and it will hardly be there for the next rows.
            let sets = self.nearest.sets.iter().map(|&(id, _)| (id, None)).collect();
            self.nearest = Nearest { sets, ..Nearest::new() };
        }
        found
    }

    fn find(&mut self, candidates: &Candidates<'_>, rows: &[f64], places: usize) -> Result<Option<Found>> {
        let id = candidates.id();
        if self.nearest.sets.iter().all(|set| set.0 != id) {
            if self.nearest.sets.len() == SETS {
                self.nearest.sets.remove(0);
            }
            self.nearest.sets.push((id, None));
            if suit(candidates) {
                let new = self.send_candidates(candidates)?;
                if let Some(set) = self.nearest.sets.last_mut() {
                    set.1 = Some(new);
                }
            }
        }
        let at = self.nearest.sets.iter().position(|set| set.0 == id && set.1.is_some());
        at.map(|at| self.compare(at, rows, places)).transpose()
    }

    fn send_candidates(&mut self, candidates: &Candidates<'_>) -> Result<Set> {
        let (dim, count, rules) = (candidates.dim(), candidates.len(), candidates.rules());
        let padded_count = padded(count);
        let vectors_at = Parcel::default().add(candidates.vectors);
        let memory = Memory::new(&self.stream, size_of_val(candidates.vectors).next_multiple_of(16))?;
        for (at, piece) in candidates.vectors.chunks(PIECE).enumerate() {
            let mut parcel = Parcel::default();
            parcel.add(piece);
            let to = memory.view().part(at * PIECE * size_of::<f64>(), parcel.bytes())?;
            self.staging.send(&self.stream, &parcel, to)?;
        }
        let vectors = (memory, vectors_at);

        let nowhere = vec![0.0; dim];
        let mut norms = vec![0.0; padded_count];
        norms.iter_mut().zip(&candidates.norms).for_each(|(to, norm)| *to = norm * ROUND_UP);
        // Only representatives compete: the offset −∞ keeps all others below every score.
        let mut offsets = vec![f64::NEG_INFINITY; rules * padded_count];
        let mut slacks = vec![0.0; rules * padded_count];
        let of_rules = offsets.chunks_exact_mut(padded_count).zip(slacks.chunks_exact_mut(padded_count));
        for (rule, (offsets, slacks)) in candidates.rules.iter().zip(of_rules) {
            for k in (0..count).filter(|&k| rule.alike[k] as usize == k) {
                (offsets[k], slacks[k]) = (rule.rounded[k], rule.slack[k]);
            }
        }
        let origin = candidates.origin.unwrap_or(&nowhere);
        let (bounds, [nowhere, at @ ..]) = self.send_all([&nowhere, origin, &norms, &offsets, &slacks])?;

        let relative = relative_error(dim);
        let digits = Memory::new(&self.stream, 2 * padded_count * padded(dim))?;
        let rounded_norms = Memory::new(&self.stream, 3 * padded_count)?;
        let rounded = vectors_of(count, dim, digits.view(), rounded_norms.view())?;
        let (x, nowhere) = (vectors.0.at(vectors.1)?, bounds.at(nowhere)?);
        self.device.nearest.round(&self.stream, x, nowhere, relative, &rounded)?;
        let results = self.results.reserve(&self.stream, padded_count * size_of::<f64>())?;
        self.stream.fetch(rounded.rests, results)?;
        let rests = results.values::<f64>(&self.stream, padded_count)?;
        let largest = |values: &[f64]| -> Vec<f64> {
            values.chunks_exact(NEAR_TILE).map(|tile| tile.iter().copied().fold(0.0, f64::max)).collect()
        };
        let (of_norms, of_rests, of_slacks) = (largest(&norms), largest(rests), largest(&slacks));
        let tiles = self.send_all([&of_norms, &of_rests, &of_slacks])?;
        let blur = candidates.blur();
        let bounds = (bounds, at);
        Ok(Set { count, dim, rules, relative, blur, vectors, bounds, tiles, digits, norms: rounded_norms })
    }

    /// Sends arrays to memory of their own.
    fn send_all<const N: usize>(&mut self, arrays: [&[f64]; N]) -> Result<(Memory<u8>, [Place<f64>; N])> {
        let mut parcel = Parcel::default();
        let places = arrays.map(|array| parcel.add(array));
        let memory = Memory::new(&self.stream, parcel.bytes())?;
        self.staging.send(&self.stream, &parcel, memory.view())?;
        Ok((memory, places))
    }

    /// Compares rows with one of the sets.
    fn compare(&mut self, at: usize, rows: &[f64], places: usize) -> Result<Found> {
        let Nearest { sets, digits, norms, bests, which, lists } = &mut self.nearest;
        let set = sets[at].1.as_ref().ok_or_else(|| Error::internal("candidates are not on the device"))?;
        let (dim, count) = (set.dim, rows.len() / set.dim);
        let entries = set.rules * padded(count) * (padded(set.count) / NEAR_TILE);
        let of_rules = count * set.rules;
        let (of_digits, answers) = (2 * padded(count) * padded(dim), of_rules * (1 + LIST));
        let mut parcel = Parcel::default();
        let x = parcel.add(rows);
        self.args.reserve(&self.stream, parcel.bytes())?;
        digits.reserve(&self.stream, of_digits)?;
        norms.reserve(&self.stream, 3 * padded(count))?;
        bests.reserve(&self.stream, 2 * entries)?;
        which.reserve(&self.stream, entries)?;
        lists.reserve(&self.stream, answers)?;
        let results = self.results.reserve(&self.stream, answers * size_of::<u32>())?;
        self.staging.send(&self.stream, &parcel, self.args.get()?.view())?;

        let (stream, kernels, x) = (&self.stream, &self.device.nearest, self.args.get()?.at(x)?);
        let candidates = set.bounded()?;
        let rounded = vectors_of(count, dim, digits.view(of_digits)?, norms.view(3 * padded(count))?)?;
        let bests = bests.view(2 * entries)?;
        let (best, next) = (bests.part(0, entries)?, bests.part(entries, entries)?);
        let bests = Bests { best, next, which: which.view(entries)? };
        let answer = lists.view(answers)?;
        let (counts, listed) = (answer.part(0, of_rules)?, answer.part(of_rules, of_rules * LIST)?);
        kernels.round(stream, x, candidates.origin, set.relative, &rounded)?;
        kernels.score(stream, &rounded, &candidates, &bests)?;
        kernels.select(stream, x, &rounded, &candidates, &bests, places, counts, listed)?;
        stream.fetch(answer, results)?;
        let (counts, lists) = results.values::<u32>(stream, answers)?.split_at(of_rules);
        Ok(Found { counts: counts.to_vec(), lists: lists.to_vec() })
    }
}

impl Set {
    fn bounded(&self) -> Result<Bounded<'_>> {
        let (bounds, [origin, norms, offsets, slacks]) = &self.bounds;
        let (tiles, [tile_norms, tile_rests, tile_slacks]) = &self.tiles;
        Ok(Bounded {
            rounded: vectors_of(self.count, self.dim, self.digits.view(), self.norms.view())?,
            rules: self.rules,
            vectors: self.vectors.0.at(self.vectors.1)?,
            origin: bounds.at(*origin)?,
            norms: bounds.at(*norms)?,
            offsets: bounds.at(*offsets)?,
            slacks: bounds.at(*slacks)?,
            tile_norms: tiles.at(*tile_norms)?,
            tile_rests: tiles.at(*tile_rests)?,
            tile_slacks: tiles.at(*tile_slacks)?,
            relative: self.relative,
            blur: self.blur,
        })
    }
}

impl Found {
    /// Pushes the lists of the device, and those of the CPU for rows that the device has left to it.
    pub(super) fn push_to(
        &self,
        lists: &mut Contenders,
        cpu: &mut Cpu,
        candidates: &Candidates<'_>,
        rows: &[f64],
        places: usize,
    ) -> Result<()> {
        let (dim, rules, count) = (candidates.dim(), candidates.rules(), candidates.len() as u32);
        let of_rows = || self.counts.chunks_exact(rules).map(|counts| counts.contains(&NOT_LISTED));
        let left = rows.chunks_exact(dim).zip(of_rows()).filter(|(_, is_left)| *is_left).flat_map(|(row, _)| row);
        let mut of_cpu = Contenders::default();
        cpu.contenders(candidates, &left.copied().collect::<Vec<f64>>(), places, &mut of_cpu)?;
        let mut of_cpu = (0..of_cpu.lists()).map(|at| of_cpu.list(at));
        let of_device =
            self.counts.iter().zip(self.lists.chunks_exact(LIST)).map(|(&len, list)| list.get(..len as usize));
        let is_left = of_rows().flat_map(|is_left| std::iter::repeat_n(is_left, rules));
        for (of_device, is_left) in of_device.zip(is_left) {
            let list = if is_left { of_cpu.next() } else { of_device };
            let list = list.filter(|list| list.is_sorted() && list.iter().all(|&k| k < count));
            let list = list.ok_or_else(|| Error::internal("the device lists what is no candidate"))?;
            lists.push(list.iter().copied());
        }
        Ok(())
    }
}

fn vectors_of<'a>(count: usize, dim: usize, digits: View<'a, i8>, norms: View<'a, f64>) -> Result<RoundedVectors<'a>> {
    let of = padded(count);
    let (units, lengths, rests) = (norms.part(0, of)?, norms.part(of, of)?, norms.part(2 * of, of)?);
    Ok(RoundedVectors { count, dim, digits, units, lengths, rests })
}
