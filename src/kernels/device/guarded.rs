//! The CPU in the place of a device that has failed.

use std::sync::OnceLock;

use super::{
    Batch, ByClass, Candidates, Contenders, Cpu, Device, DeviceSums, Features, GramTarget, Kernels, Profile, Result,
    ShiftedRows, Spread, TooFar, Totals,
};

/// The kernels of a device, and the CPU's in their place once the device has failed.
///
/// What a device keeps for itself is lost then: whoever holds sums there finds that [`device_sums`](Kernels::device_sums) are
/// gone, and begins again.
pub(super) struct Guarded {
    /// Opened when they are first needed: many a worker of a query never sees a row.
    kernels: OnceLock<Box<dyn Kernels>>,
    cpu: Cpu,
    device: Device,
}

impl Guarded {
    pub(super) fn new(device: Device) -> Self {
        Self { kernels: OnceLock::new(), cpu: Cpu::default(), device }
    }

    fn kernels(&mut self) -> &mut dyn Kernels {
        self.kernels.get_or_init(|| self.device.open());
        match self.kernels.get_mut() {
            Some(kernels) => &mut **kernels,
            None => &mut self.cpu,
        }
    }

    /// Does work that leaves nothing on the device.
    fn work<T>(&mut self, mut work: impl FnMut(&mut dyn Kernels) -> Result<T>) -> Result<T> {
        if self.device.failure().is_none() {
            match work(self.kernels()) {
                Err(error) if self.device.is_replaced_after(&error) => {}
                outcome => return outcome,
            }
        }
        work(&mut self.cpu)
    }
}

impl Kernels for Guarded {
    fn spread(&mut self, chunk: &Batch<'_>, order: &ByClass, means: &mut Vec<f64>) -> Result<Spread> {
        self.work(|kernels| kernels.spread(chunk, order, means))
    }

    fn outline(&mut self, chunk: &Batch<'_>, order: &ByClass, means: &mut Vec<f64>) -> Result<Vec<f64>> {
        self.work(|kernels| kernels.outline(chunk, order, means))
    }

    /// What comes here was left to the CPU.
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
        let before = lists.lists();
        self.work(|kernels| {
            lists.truncate(before);
            kernels.contenders(candidates, rows, places, lists)
        })
    }

    fn device_sums(&mut self) -> Option<&mut dyn DeviceSums> {
        if self.device.failure().is_some() { None } else { self.kernels().device_sums() }
    }

    fn classes_at_a_time(&self, dim: usize) -> usize {
        self.cpu.classes_at_a_time(dim)
    }

    fn rows_at_a_time(&self, dim: usize) -> usize {
        self.kernels.get_or_init(|| self.device.open()).rows_at_a_time(dim)
    }

    fn spares_rows(&self) -> bool {
        self.device.failure().is_some()
    }
}
