//! The kernels of one worker, on a stream of its own.

use std::sync::Arc;

use super::contenders::{self, Nearest};
use super::held::{Held, Product};
use super::launch::{self, Chunk, Memory, Parcel, Pinned, Plain, Stream, Values, View};
use super::opened::Opened;
use super::size::near_rows;
use crate::batch::{Batch, ByClass, Features};
use crate::error::{Error, ErrorKind, Result};
use crate::grid::{Spread, ceil_log2};
use crate::kernels::gram::GramTarget;
use crate::kernels::nearest::{Candidates, Contenders};
use crate::kernels::{Cpu, DeviceSums, Kernels, Profile, ShiftedRows, TooFar, Totals};

/// What one worker does on a device. Whatever the device does not take goes to the CPU.
pub(super) struct Session {
    device: Arc<Opened>,
    required: bool,
    cpu: Cpu,
    /// Nothing before the first use, and after the device has failed.
    work: Option<Work>,
}

/// A stream, and the memory that its work needs. Memory is allocated once, and again only when more is needed.
pub(super) struct Work {
    pub(super) device: Arc<Opened>,
    pub(super) stream: Stream,
    pub(super) staging: Staging,
    /// What comes back from the device.
    pub(super) results: Host,
    /// The features of the batch of this number.
    loaded: Option<u64>,
    pub(super) features: Room<u8>,
    /// The other arrays that a call sends.
    pub(super) args: Room<u8>,
    /// `(Σ_k δ)² / n_k`, classes × D.
    class_squares: Room<f64>,
    /// Largest magnitudes, factors, and the four totals of a spread, each D.
    vectors: Room<f64>,
    pub(super) is_long: Room<u8>,
    pub(super) product: Product,
    /// The sums that stay on the device.
    pub(super) held: Vec<Option<Held>>,
    /// The candidates that stay on the device.
    pub(super) nearest: Nearest,
}

/// Memory of the device that grows. What it held is lost then.
pub(super) struct Room<T: Plain>(Option<Memory<T>>);

impl<T: Plain> Room<T> {
    /// No memory as yet.
    pub(super) fn new() -> Self {
        Self(None)
    }

    /// Makes room for so many values. Returns whether the memory is new.
    pub(super) fn reserve(&mut self, stream: &Stream, len: usize) -> Result<bool> {
        if self.0.as_ref().is_some_and(|memory| memory.len() >= len) {
            return Ok(false);
        }
        self.0 = None;
        self.0 = Some(Memory::new(stream, len)?);
        Ok(true)
    }

    /// The memory, once there is some.
    pub(super) fn get(&self) -> Result<&Memory<T>> {
        self.0.as_ref().ok_or_else(|| Error::internal("memory of the device was not reserved"))
    }

    /// The first values.
    pub(super) fn view(&self, len: usize) -> Result<View<'_, T>> {
        self.get()?.view().part(0, len)
    }
}

/// Pinned memory that grows. What it held is lost then.
pub(super) struct Host(Option<Pinned>);

impl Host {
    /// Pinned memory of at least so many bytes.
    pub(super) fn reserve(&mut self, stream: &Stream, bytes: usize) -> Result<&mut Pinned> {
        if self.0.as_ref().is_none_or(|pinned| pinned.bytes() < bytes) {
            self.0 = None;
        }
        match &mut self.0 {
            Some(pinned) => Ok(pinned),
            none => Ok(none.insert(Pinned::new(stream, bytes)?)),
        }
    }
}

/// Two pieces of pinned memory: one is filled while the device copies from the other.
pub(super) struct Staging {
    halves: [Host; 2],
    turn: usize,
}

impl Staging {
    /// Sends arrays without waiting for the device to take them.
    pub(super) fn send(&mut self, stream: &Stream, parcel: &Parcel<'_>, to: View<'_, u8>) -> Result<()> {
        self.turn = 1 - self.turn;
        let half = self.halves[self.turn].reserve(stream, parcel.bytes())?;
        stream.send(parcel, half, to)
    }
}

impl Work {
    fn new(device: &Arc<Opened>) -> Result<Self> {
        Ok(Self {
            device: device.clone(),
            stream: Stream::new(&device.context, &device.name)?,
            staging: Staging { halves: [Host(None), Host(None)], turn: 0 },
            results: Host(None),
            loaded: None,
            features: Room::new(),
            args: Room::new(),
            class_squares: Room::new(),
            vectors: Room::new(),
            is_long: Room::new(),
            product: Product::new(),
            held: Vec::new(),
            nearest: Nearest::new(),
        })
    }

    /// Sends the features of a batch, unless they are on the device already. Returns the number of their type.
    pub(super) fn load(&mut self, batch: &Batch<'_>) -> Result<usize> {
        let (bytes, stored) = launch::stored(batch.features());
        if self.loaded != Some(batch.id()) {
            self.loaded = None;
            let mut parcel = Parcel::default();
            parcel.add(bytes);
            self.features.reserve(&self.stream, parcel.bytes())?;
            self.staging.send(&self.stream, &parcel, self.features.get()?.view())?;
            self.loaded = Some(batch.id());
        }
        Ok(stored)
    }

    /// Sends the next batch whether it is on the device or not.
    pub(super) fn forget(&mut self) {
        self.loaded = None;
    }

    fn outline(&mut self, batch: &Batch<'_>) -> Result<Vec<f64>> {
        let dim = batch.dim();
        self.vectors.reserve(&self.stream, VECTORS * dim)?;
        let stored = self.load(batch)?;
        let (stream, largest) = (&self.stream, self.vectors.view(dim)?);
        let features = Values { bytes: self.features.get()?.view(), stored, dim };
        self.device.map.magnitudes(stream, &features, batch.rows(), largest)?;
        let results = self.results.reserve(stream, dim * 8)?;
        stream.fetch(largest, results)?;
        Ok(results.values(stream, dim)?.to_vec())
    }

    pub(super) fn spread(&mut self, batch: &Batch<'_>, order: &ByClass, freedom: usize) -> Result<Spread> {
        let (dim, rows, classes) = (batch.dim(), order.rows().len(), order.counts().len());
        let mut starts = vec![0_u32];
        starts.extend(order.counts().iter().scan(0, |end, &count| {
            *end += count as u32;
            Some(*end)
        }));
        let mut parcel = Parcel::default();
        let places = (parcel.add(order.rows()), parcel.add(order.classes()), parcel.add(&starts));
        self.vectors.reserve(&self.stream, VECTORS * dim)?;
        // Some more than this chunk needs, so that few chunks need new memory.
        self.class_squares.reserve(&self.stream, (classes + classes / 4).min(rows) * dim)?;
        self.args.reserve(&self.stream, parcel.bytes())?;
        self.results.reserve(&self.stream, 4 * dim * 8)?;
        let stored = self.load(batch)?;
        self.staging.send(&self.stream, &parcel, self.args.get()?.view())?;

        let is_wide = matches!(batch.features(), Features::F64(_));
        let (stream, map, args) = (&self.stream, &self.device.map, self.args.get()?);
        let vectors = self.vectors.get()?.view();
        let (largest, factors) = (vectors.part(0, dim)?, vectors.part(dim, dim)?);
        let totals = vectors.part(2 * dim, 4 * dim)?;
        let features = Values { bytes: self.features.get()?.view(), stored, dim };
        let chunk = Chunk { features, rows: args.at(places.0)? };
        if is_wide {
            map.magnitudes(stream, &features, batch.rows(), largest)?;
            map.factors(stream, dim, largest, factors)?;
        }
        let class_squares = self.class_squares.get()?.view();
        let (of_rows, starts) = (args.at(places.1)?, args.at(places.2)?);
        map.spread(stream, &chunk, of_rows, starts, freedom, factors, class_squares, totals)?;
        let results = self.results.reserve(stream, 4 * dim * 8)?;
        stream.fetch(totals, results)?;
        let mut totals = results.values::<f64>(stream, 4 * dim)?.chunks_exact(dim).map(<[f64]>::to_vec);
        let mut next = || totals.next().unwrap_or_default();
        let (sigma, deviation, hits, largest) = (next(), next(), next(), next());
        let scale = |&x: &f64| if is_wide && x > 0.0 { ceil_log2(x).clamp(-1022, 1022) } else { 0 };
        let scale = largest.iter().map(scale).collect();
        Ok(Spread { largest, scale, deviation, sigma, hits, rows, freedom, about_first: None })
    }
}

/// The largest dimension whose blocks a launch can count.
pub(super) const MAX_DIM: usize = 1 << 20;

/// How many vectors of `D` doubles a session has.
const VECTORS: usize = 6;

impl Session {
    pub(super) fn new(device: Arc<Opened>, required: bool) -> Self {
        Self { device, required, cpu: Cpu::default(), work: None }
    }

    /// Whether the user asked for the device.
    pub(super) fn required(&self) -> bool {
        self.required
    }

    /// Does something on the device. If the device fails, everything that it holds is lost.
    pub(super) fn with<R>(&mut self, act: impl FnOnce(&mut Work) -> Result<R>) -> Result<R> {
        let work = match &mut self.work {
            Some(work) => work,
            none => none.insert(Work::new(&self.device)?),
        };
        let outcome = act(work);
        if outcome.as_ref().is_err_and(|error| error.kind() != ErrorKind::Resource) {
            self.work = None;
        }
        outcome
    }

    /// What the device answers, if it is asked and finds memory or must.
    fn asked<R>(&mut self, dim: usize, act: impl FnOnce(&mut Work) -> Result<R>) -> Result<Option<R>> {
        if dim > MAX_DIM {
            return Ok(None);
        }
        match self.with(act) {
            Err(error) if error.kind() == ErrorKind::Resource && !self.required => Ok(None),
            other => other.map(Some),
        }
    }
}

impl Kernels for Session {
    fn spread(&mut self, chunk: &Batch<'_>, order: &ByClass, means: &mut Vec<f64>) -> Result<Spread> {
        let freedom = order.rows().len() - order.counts().len();
        if freedom >= Spread::MIN_FREEDOM
            && let Some(spread) = self.asked(chunk.dim(), |work| work.spread(chunk, order, freedom))?
        {
            means.clear();
            return Ok(spread);
        }
        self.cpu.spread(chunk, order, means)
    }

    fn outline(&mut self, chunk: &Batch<'_>, order: &ByClass, means: &mut Vec<f64>) -> Result<Vec<f64>> {
        if let Some(largest) = self.asked(chunk.dim(), |work| work.outline(chunk))? {
            means.clear();
            return Ok(largest);
        }
        self.cpu.outline(chunk, order, means)
    }

    fn round(
        &mut self,
        features: Features<'_>,
        rows: &ShiftedRows<'_>,
        profile: &Profile,
        totals: &mut Totals<'_>,
        gram: Option<GramTarget<'_>>,
    ) -> Result<Option<TooFar>> {
        self.cpu.round(features, rows, profile, totals, gram)
    }

    fn contenders(
        &mut self,
        candidates: &Candidates<'_>,
        rows: &[f64],
        places: usize,
        lists: &mut Contenders,
    ) -> Result<()> {
        let dim = candidates.dim();
        for rows in rows.chunks(contenders::rows_at_a_time(candidates) * dim) {
            match self.asked(dim, |work| work.contenders(candidates, rows, places))?.flatten() {
                Some(found) => found.push_to(lists, &mut self.cpu, candidates, rows, places)?,
                None => self.cpu.contenders(candidates, rows, places, lists)?,
            }
        }
        Ok(())
    }

    fn device_sums(&mut self) -> Option<&mut dyn DeviceSums> {
        Some(self)
    }

    fn classes_at_a_time(&self, dim: usize) -> usize {
        self.cpu.classes_at_a_time(dim)
    }

    fn rows_at_a_time(&self, dim: usize) -> usize {
        near_rows(dim, 1)
    }
}
