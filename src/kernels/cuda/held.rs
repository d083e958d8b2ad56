//! Sums that stay on the device over many chunks.

use arrow::datatypes::i256;

use super::launch::{Chunk, Memory, Parcel, Pinned, Plain, Planes, Rounding, Stream, Values, View};
use super::session::{MAX_DIM, Room, Session, Work};
use super::size::{BAND, LEFTS, bands, padded, part_rows, slot_capacity, slot_words};
use crate::error::{Error, Result};
use crate::grid::power_of_two;
use crate::kernels::gram::packed_len;
use crate::kernels::{DeviceSums, SlotRows, SumsId, TakenSums};

/// The bytes that are sent to sums or taken from them at a time.
const PIECE_BYTES: usize = 4 << 20;

/// Bands of squares are put together in 256 bits: the last one is moved left by 252. A kernel has 32 bits for them.
const MAX_BANDS: usize = 22;

/// Sums over rows of many chunks.
pub(super) struct Held {
    dim: usize,
    /// By how many bits each step is coarser than the finest one, D.
    weights: Vec<u32>,
    bands: usize,
    slots: usize,
    /// Shifts, slots × D; there may be room for more slots.
    shifts: Memory<f64>,
    /// Each slot has `Σ δ`, D, the residuals, D, and two words a band of squares. There is room for as many slots.
    sums: Memory<u64>,
    /// Values that rounding changed, D × [`LEFTS`].
    changed: Memory<u64>,
    /// `Σ δ δᵀ`, two words an entry.
    gram: Option<Memory<u64>>,
    /// Other than 0 once a product has failed its check.
    is_wrong: Memory<u32>,
}

impl Held {
    fn new(stream: &Stream, exponents: &[i16], gram: bool) -> Result<Self> {
        let dim = exponents.len();
        let finest = i32::from(exponents.iter().copied().min().unwrap_or(0));
        let weights: Vec<u32> = exponents.iter().map(|&e| (i32::from(e) - finest) as u32).collect();
        let bands = bands(weights.iter().copied().max().unwrap_or(0));
        if !(1..=MAX_DIM).contains(&dim) || bands > MAX_BANDS {
            return Err(stream.lacks_memory("the device cannot hold sums on this grid"));
        }
        let held = Self {
            dim,
            weights,
            bands,
            slots: 0,
            shifts: Memory::new(stream, 0)?,
            sums: Memory::new(stream, 0)?,
            changed: Memory::new(stream, dim * LEFTS)?,
            gram: if gram { Some(Memory::new(stream, 2 * packed_len(dim))?) } else { None },
            is_wrong: Memory::new(stream, 1)?,
        };
        stream.zero(held.changed.view())?;
        stream.zero(held.is_wrong.view())?;
        held.gram.iter().try_for_each(|gram| stream.zero(gram.view()))?;
        Ok(held)
    }

    fn words(&self) -> usize {
        slot_words(self.dim, self.bands)
    }

    /// Makes room for so many slots. What is held stays, whether there is memory or not.
    fn reserve(&mut self, stream: &Stream, slots: usize) -> Result<()> {
        let (dim, words) = (self.dim, self.words());
        if self.shifts.len() >= slots * dim {
            return Ok(());
        }
        let capacity = slot_capacity(slots);
        let shifts = Memory::new(stream, capacity * dim)?;
        let sums = Memory::new(stream, capacity * words)?;
        stream.copy(self.shifts.view().part(0, self.slots * dim)?, shifts.view())?;
        stream.copy(self.sums.view().part(0, self.slots * words)?, sums.view())?;
        (self.shifts, self.sums) = (shifts, sums);
        Ok(())
    }
}

/// Memory for the Gram matrix of a part of a chunk.
pub(super) struct Product {
    digits: Room<i8>,
    /// All zeros between parts.
    gram: Room<u64>,
    row_sums: Room<u32>,
    found: Room<u32>,
}

impl Product {
    pub(super) fn new() -> Self {
        Self { digits: Room::new(), gram: Room::new(), row_sums: Room::new(), found: Room::new() }
    }

    fn reserve(&mut self, stream: &Stream, dim: usize, rows: usize) -> Result<()> {
        let (wide, rows) = (padded(dim), padded(rows));
        self.digits.reserve(stream, 3 * wide * rows)?;
        if self.gram.reserve(stream, wide * wide)? {
            stream.zero(self.gram.get()?.view())?;
        }
        self.row_sums.reserve(stream, rows)?;
        self.found.reserve(stream, dim)?;
        Ok(())
    }

    fn planes(&self, dim: usize, rows: usize) -> Result<Planes<'_>> {
        Ok(Planes {
            dim,
            rows,
            digits: self.digits.get()?.view(),
            gram: self.gram.get()?.view(),
            row_sums: self.row_sums.get()?.view(),
            found: self.found.view(dim)?,
        })
    }
}

/// Sums on the device by their number.
fn find(held: &mut [Option<Held>], sums: SumsId) -> Result<&mut Held> {
    held.get_mut(sums.0).and_then(Option::as_mut).ok_or_else(|| Error::internal("the device holds no such sums"))
}

impl Work {
    fn open(&mut self, exponents: &[i16], gram: bool) -> Result<SumsId> {
        let held = Held::new(&self.stream, exponents, gram)?;
        let free = self.held.iter().position(Option::is_none).unwrap_or(self.held.len());
        if free == self.held.len() {
            self.held.push(None);
        }
        self.held[free] = Some(held);
        Ok(SumsId(free))
    }

    fn extend(&mut self, sums: SumsId, shifts: &[f64]) -> Result<()> {
        let (stream, held) = (&self.stream, find(&mut self.held, sums)?);
        let (dim, words, slots) = (held.dim, held.words(), shifts.len() / held.dim);
        if slots * dim != shifts.len() || !shifts.iter().all(|shift| shift.is_finite()) {
            return Err(Error::internal("shifts do not make whole slots"));
        }
        held.reserve(stream, held.slots + slots)?;
        stream.zero(held.sums.view().part(held.slots * words, slots * words)?)?;
        let mut at = held.slots * dim;
        for piece in shifts.chunks(PIECE_BYTES / 8) {
            let mut parcel = Parcel::default();
            parcel.add(piece);
            self.staging.send(stream, &parcel, held.shifts.view().part(at, piece.len())?.as_bytes())?;
            at += piece.len();
        }
        // Until here, nobody looks at what was written.
        held.slots += slots;
        Ok(())
    }

    fn add(&mut self, sums: SumsId, rows: &SlotRows<'_>, long: &mut Vec<u32>) -> Result<()> {
        let (order, dim) = (rows.order, rows.batch.dim());
        let count = order.rows().len();
        if count == 0 {
            return Ok(());
        }
        let stored = self.load(rows.batch)?;
        let (stream, map, held) = (&self.stream, &self.device.map, find(&mut self.held, sums)?);
        check(held, rows)?;

        let of_class = |&class: &u32| rows.slots[class as usize];
        let slots: Vec<u32> = order.classes().iter().map(of_class).collect();
        let exponents = rows.profile.grid().exponents();
        let inverse: Vec<f64> = exponents.iter().map(|e| power_of_two(-e.unwrap_or(0))).collect();
        let weights: Vec<u32> = held.weights.iter().zip(rows.left).map(|(weight, left)| weight + left).collect();
        let mut parcel = Parcel::default();
        let places = (parcel.add(order.rows()), parcel.add(&slots), parcel.add(&inverse));
        let (left, weights) = (parcel.add(rows.left), parcel.add(&weights));

        // All memory is reserved before anything is added.
        let part = if held.gram.is_some() { part_rows(dim, self.device.plane_bytes).min(count) } else { count };
        if held.gram.is_some() {
            self.product.reserve(stream, dim, part)?;
        }
        self.is_long.reserve(stream, count)?;
        self.args.reserve(stream, parcel.bytes())?;
        let results = self.results.reserve(stream, count)?;
        self.staging.send(stream, &parcel, self.args.get()?.view())?;

        let args = self.args.get()?;
        let features = Values { bytes: self.features.get()?.view(), stored, dim };
        let chunk = Chunk { features, rows: args.at(places.0)? };
        let to = Rounding {
            slots: args.at(places.1)?,
            is_long: self.is_long.view(count)?,
            inverse: args.at(places.2)?,
            left: args.at(left)?,
            weights: args.at(weights)?,
            shifts: held.shifts.view(),
            bands: held.bands,
            sums: held.sums.view(),
            changed: held.changed.view(),
        };
        map.long_rows(stream, &chunk, &to)?;
        stream.fetch(to.is_long, results)?;
        for first in (0..count).step_by(part) {
            let rows = part.min(count - first);
            let chunk = Chunk { rows: chunk.rows.part(first, rows)?, ..chunk };
            let (slots, is_long) = (to.slots.part(first, rows)?, to.is_long.part(first, rows)?);
            let to = Rounding { slots, is_long, ..to };
            let Some(gram) = &held.gram else {
                map.round_rows(stream, &chunk, &to, None)?;
                continue;
            };
            let planes = self.product.planes(dim, rows)?;
            map.round_rows(stream, &chunk, &to, Some(&planes))?;
            let multiprocessors = self.device.multiprocessors;
            map.gram(stream, &planes, multiprocessors, to.left, gram.view(), held.is_wrong.view())?;
        }
        // The host waits for the marks alone, and the device goes on.
        let marked =
            results.values::<u8>(stream, count)?.iter().zip(order.rows()).filter(|(is_long, _)| **is_long != 0);
        long.extend(marked.map(|(_, row)| row));
        Ok(())
    }

    fn take(&mut self, sums: SumsId) -> Result<TakenSums> {
        let held = find(&mut self.held, sums)?;
        let (dim, words) = (held.dim, held.words());
        let bytes = PIECE_BYTES.max(8 * words);
        let fetching = &mut Fetching { stream: &self.stream, through: self.results.reserve(&self.stream, bytes)? };
        let mut wrong = 0_u32;
        fetching.each(held.is_wrong.view(), 1, |part| wrong = part[0])?;
        if wrong != 0 {
            let error = Error::internal("a matrix product of integers is not exact");
            return Err(error.with("device", &self.device.name));
        }
        let mut taken = TakenSums::default();
        fetching.each(held.sums.view().part(0, held.slots * words)?, words, |slot| {
            let (sums, rest) = slot.split_at(dim);
            let (low, squares) = rest.split_at(dim);
            taken.sums.extend(sums.iter().map(|&sum| sum as i64));
            taken.low.extend(low.iter().map(|&sum| sum as i64));
            taken.squares.push(square(squares));
        })?;
        fetching.each(held.changed.view(), LEFTS, |counts| taken.changed.extend(counts))?;
        if let Some(gram) = &held.gram {
            let mut entries = Vec::with_capacity(packed_len(dim));
            fetching.each(gram.view(), 2, |entry| entries.push(wide_integer(entry) as i128))?;
            taken.gram = Some(entries);
        }
        self.held[sums.0] = None;
        Ok(taken)
    }
}

/// What the caller of [`add`](DeviceSums::add) sees to.
fn check(held: &Held, rows: &SlotRows<'_>) -> Result<()> {
    let dim = rows.batch.dim();
    let fits = held.dim == dim
        && rows.profile.grid().dim() == dim
        && rows.left.len() == dim
        && rows.left.iter().all(|&left| (left as usize) < LEFTS)
        && rows.slots.len() == rows.order.counts().len()
        && rows.slots.iter().all(|&slot| (slot as usize) < held.slots)
        && rows.order.rows().iter().all(|&row| (row as usize) < rows.batch.rows());
    if fits { Ok(()) } else { Err(Error::internal("rows do not fit the sums on the device")) }
}

/// An integer of 128 bits, low word first.
fn wide_integer(words: &[u64]) -> u128 {
    u128::from(words[0]) | u128::from(words[1]) << 64
}

/// `Σ δ²` from its bands, each below `2^126`.
fn square(bands: &[u64]) -> i256 {
    bands.chunks_exact(2).zip(0_u32..).fold(i256::ZERO, |sum, (band, at)| {
        sum.wrapping_add(i256::from_i128(wide_integer(band) as i128) << (at * 2 * BAND) as u8)
    })
}

/// Takes arrays from the device, some of it at a time.
struct Fetching<'a> {
    stream: &'a Stream,
    through: &'a mut Pinned,
}

impl Fetching<'_> {
    /// Hands over every `len` values of an array.
    fn each<T: Plain>(&mut self, from: View<'_, T>, len: usize, mut hand_over: impl FnMut(&[T])) -> Result<()> {
        let at_a_time = self.through.bytes() / (len * size_of::<T>()) * len;
        for first in (0..from.len()).step_by(at_a_time) {
            let values = at_a_time.min(from.len() - first);
            self.stream.fetch(from.part(first, values)?, self.through)?;
            self.through.values(self.stream, values)?.chunks_exact(len).for_each(&mut hand_over);
        }
        Ok(())
    }
}

impl DeviceSums for Session {
    fn is_required(&self) -> bool {
        self.required()
    }

    fn open(&mut self, exponents: &[i16], gram: bool) -> Result<SumsId> {
        self.with(|work| work.open(exponents, gram))
    }

    fn extend(&mut self, sums: SumsId, shifts: &[f64]) -> Result<()> {
        self.with(|work| work.extend(sums, shifts))
    }

    fn add(&mut self, sums: SumsId, rows: &SlotRows<'_>, long: &mut Vec<u32>) -> Result<()> {
        self.with(|work| work.add(sums, rows, long))
    }

    fn take(&mut self, sums: SumsId) -> Result<TakenSums> {
        self.with(|work| work.take(sums))
    }
}
