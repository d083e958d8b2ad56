//! What the compiler cannot check: the driver, memory of a device, copies, and the launch of each kernel.
//!
//! Callers cannot break anything: memory belongs to one stream, which orders all that touches it, and every launch checks
//! the lengths of what it passes.
#![expect(unsafe_code, reason = "a driver takes addresses without types or lengths")]

mod bench;
mod map;
mod nearest;

pub(super) use bench::BenchKernels;
pub(super) use map::{Chunk, MapKernels, Planes, Rounding, Values};
pub(super) use nearest::{Bests, Bounded, NearestKernels, RoundedVectors};

use std::marker::PhantomData;
use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaEvent, CudaFunction, CudaStream, DriverError, result, sys};
use half::f16;

use super::Absent;
use crate::batch::Features;
use crate::error::{Error, Result};

/// The version of CUDA that a driver must support, as the driver writes it.
const LEAST_VERSION: i32 = 12_000;

/// How many devices the driver knows.
pub(super) fn devices() -> Result<usize, Absent> {
    // SAFETY: this loads the driver's library if there is one. All other calls need it, and panic without it.
    if !unsafe { sys::is_culib_present() } {
        return Err(Absent::NoDriver);
    }
    let mut version = 0;
    // SAFETY: the address is that of an integer, as the driver expects.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }.result().map_err(Absent::failed)?;
    if version < LEAST_VERSION {
        return Err(Absent::OldDriver { major: version / 1000, minor: version % 1000 / 10 });
    }
    match result::init() {
        Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => return Err(Absent::NoDevice),
        other => other.map_err(Absent::failed)?,
    }
    match result::device::get_count().map_err(Absent::failed)? {
        0 => Err(Absent::NoDevice),
        count => Ok(count as usize),
    }
}

/// The context of a device, in which waiting threads sleep.
pub(super) fn context(ordinal: usize) -> Result<Arc<CudaContext>, DriverError> {
    let device = result::device::get(ordinal as i32)?;
    // SAFETY: the device is one of the driver's. A thread that waits would otherwise keep a processor busy.
    unsafe { sys::cuDevicePrimaryCtxSetFlags_v2(device, sys::CUctx_flags::CU_CTX_SCHED_BLOCKING_SYNC as u32) }
        .result()?;
    let context = CudaContext::new(ordinal)?;
    // SAFETY: all memory belongs to one stream, so no event is needed to order what touches it.
    unsafe { context.disable_event_tracking() };
    Ok(context)
}

/// What the driver says about an error.
pub(super) fn detail(error: DriverError) -> String {
    match error.error_string() {
        Ok(text) => text.to_string_lossy().into_owned(),
        Err(_) => format!("{:?}", error.0),
    }
}

/// A value that lies in memory of the device as it does in memory of the host.
pub(super) trait Plain: Copy {}
impl Plain for u8 {}
impl Plain for i8 {}
impl Plain for u32 {}
impl Plain for u64 {}
impl Plain for f16 {}
impl Plain for f32 {}
impl Plain for f64 {}

fn bytes_of<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: plain values have no padding, and every byte is a `u8`.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// Work for a device in order: each step sees what the steps before it have done.
#[derive(Clone)]
pub(super) struct Stream {
    stream: Arc<CudaStream>,
    device: Arc<str>,
}

impl Stream {
    pub(super) fn new(context: &Arc<CudaContext>, device: &str) -> Result<Self> {
        let device: Arc<str> = device.into();
        let stream = context.new_stream().map_err(|error| failed(&device, error))?;
        Ok(Self { stream, device })
    }

    fn check<T>(&self, outcome: Result<T, DriverError>) -> Result<T> {
        outcome.map_err(|error| failed(&self.device, error))
    }

    /// What an allocation returned: only there does want of memory leave everything as it was.
    fn allocated<T>(&self, outcome: Result<T, DriverError>) -> Result<T> {
        outcome.map_err(|error| match error.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => self.lacks_memory("the device has too little memory"),
            _ => failed(&self.device, error),
        })
    }

    /// What the CPU does instead, unless the device is required.
    pub(super) fn lacks_memory(&self, why: &'static str) -> Error {
        Error::resource(why).with("device", &self.device)
    }

    fn bind(&self) -> Result<()> {
        self.check(self.stream.context().bind_to_thread())
    }

    /// Waits until all work is done.
    pub(super) fn finish(&self) -> Result<()> {
        self.check(self.stream.synchronize())
    }

    /// Fills memory with zeros.
    pub(super) fn zero<T: Plain>(&self, to: View<'_, T>) -> Result<()> {
        if to.len == 0 {
            return Ok(());
        }
        self.bind()?;
        // SAFETY: a view lies in memory of this device.
        self.check(unsafe { result::memset_d8_async(to.address, 0, to.bytes(), self.stream.cu_stream()) })
    }

    /// Copies values to the beginning of other memory.
    pub(super) fn copy<T: Plain>(&self, from: View<'_, T>, to: View<'_, T>) -> Result<()> {
        check_length(from.len <= to.len)?;
        if from.len == 0 {
            return Ok(());
        }
        self.bind()?;
        // SAFETY: both lie in memory of this device, and there is room.
        self.check(unsafe {
            result::memcpy_dtod_async(to.address, from.address, from.bytes(), self.stream.cu_stream())
        })
    }

    /// Writes a parcel to `through`, as soon as that has been read by the device, and has it copied from there.
    pub(super) fn send(&self, parcel: &Parcel<'_>, through: &mut Pinned, to: View<'_, u8>) -> Result<()> {
        check_length(parcel.bytes <= to.len && parcel.bytes <= through.bytes)?;
        let room = through.wait(self)?;
        for (part, offset) in &parcel.parts {
            room[*offset..][..part.len()].copy_from_slice(part);
        }
        let room = &room[..parcel.bytes];
        // SAFETY: there is room. Nobody writes to pinned memory before the event that is recorded next.
        self.check(unsafe { result::memcpy_htod_async(to.address, room, self.stream.cu_stream()) })?;
        self.check(through.event.record(&self.stream))
    }

    /// Has values copied to the beginning of pinned memory.
    pub(super) fn fetch<T: Plain>(&self, from: View<'_, T>, to: &mut Pinned) -> Result<()> {
        check_length(from.bytes() <= to.bytes)?;
        let room = &mut to.wait(self)?[..from.bytes()];
        // SAFETY: there is room. Nobody reads pinned memory before the event that is recorded next.
        self.check(unsafe { result::memcpy_dtoh_async(room, from.address, self.stream.cu_stream()) })?;
        self.check(to.event.record(&self.stream))
    }

    /// Launches a kernel.
    ///
    /// # Safety
    ///
    /// The arguments are those of the kernel, and memory is as long as it expects.
    unsafe fn launch(&self, kernel: &CudaFunction, grid: (u32, u32), block: (u32, u32), args: &[Arg]) -> Result<()> {
        // SAFETY: as above.
        unsafe { self.launch_with(kernel, grid, block, 0, args) }
    }

    /// The same with so many bytes of shared memory that the kernel shares out itself.
    unsafe fn launch_with(
        &self,
        kernel: &CudaFunction,
        grid: (u32, u32),
        block: (u32, u32),
        shared: u32,
        args: &[Arg],
    ) -> Result<()> {
        self.bind()?;
        let mut addresses: Vec<_> = args.iter().map(|arg| (&raw const arg.0).cast_mut().cast()).collect();
        let (grid, block) = ((grid.0, grid.1, 1), (block.0, block.1, 1));
        // SAFETY: the caller's.
        self.check(unsafe {
            result::launch_kernel(kernel.cu_function(), grid, block, shared, self.stream.cu_stream(), &mut addresses)
        })
    }
}

/// The device has failed, and what it held is lost.
pub(super) fn failed(device: &str, error: DriverError) -> Error {
    Error::io("the device failed").with("device", device).with("detail", detail(error))
}

fn check_length(fits: bool) -> Result<()> {
    if fits { Ok(()) } else { Err(Error::internal("memory of the device is shorter than a kernel expects")) }
}

/// How many blocks of so many threads or rows cover a length: at least one.
fn blocks(length: usize, of: usize) -> u32 {
    length.div_ceil(of).max(1) as u32
}

/// An argument of a kernel. The driver reads as many bytes as the parameter has; CUDA knows no host whose low bytes are
/// not the first ones.
#[derive(Clone, Copy)]
struct Arg(u64);

impl From<u32> for Arg {
    fn from(value: u32) -> Self {
        Self(value.into())
    }
}

impl From<f64> for Arg {
    fn from(value: f64) -> Self {
        Self(value.to_bits())
    }
}

impl<T> From<View<'_, T>> for Arg {
    fn from(view: View<'_, T>) -> Self {
        Self(view.address)
    }
}

/// Values in memory of a device, which kernels read and write.
pub(super) struct View<'a, T> {
    address: sys::CUdeviceptr,
    len: usize,
    memory: PhantomData<&'a [T]>,
}

impl<T> Clone for View<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for View<'_, T> {}

impl<'a, T> View<'a, T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn bytes(&self) -> usize {
        self.len * size_of::<T>()
    }

    /// The same memory as bytes.
    pub(super) fn as_bytes(self) -> View<'a, u8> {
        View { address: self.address, len: self.bytes(), memory: PhantomData }
    }

    /// `len` values from `start` on.
    pub(super) fn part(self, start: usize, len: usize) -> Result<Self> {
        check_length(start.checked_add(len).is_some_and(|end| end <= self.len))?;
        Ok(Self { address: self.address + (start * size_of::<T>()) as u64, len, ..self })
    }
}

/// Memory of a device, in which anything may stand at first.
pub(super) struct Memory<T: Plain> {
    address: sys::CUdeviceptr,
    len: usize,
    stream: Arc<CudaStream>,
    values: PhantomData<T>,
}

impl<T: Plain> Memory<T> {
    pub(super) fn new(stream: &Stream, len: usize) -> Result<Self> {
        stream.bind()?;
        // SAFETY: a number of bytes. Nobody takes what stands there for values before a copy or a kernel wrote them.
        let address = stream.allocated(unsafe { result::malloc_sync((len * size_of::<T>()).max(1)) })?;
        Ok(Self { address, len, stream: stream.stream.clone(), values: PhantomData })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn view(&self) -> View<'_, T> {
        View { address: self.address, len: self.len, memory: PhantomData }
    }
}

impl Memory<u8> {
    /// A part of a parcel that was sent here.
    pub(super) fn at<T: Plain>(&self, place: Place<T>) -> Result<View<'_, T>> {
        let bytes = self.view().part(place.offset, place.len * size_of::<T>())?;
        Ok(View { address: bytes.address, len: place.len, memory: PhantomData })
    }
}

impl<T: Plain> Drop for Memory<T> {
    fn drop(&mut self) {
        // A device that has failed says so here too, and there is nothing left to free.
        let _ = self.stream.synchronize();
        // SAFETY: the stream alone used the memory, and its work is done.
        let _ = unsafe { result::free_sync(self.address) };
    }
}

/// Memory of the host that a device copies from and to while the host goes on.
pub(super) struct Pinned {
    address: *mut u8,
    bytes: usize,
    /// The last copy from or to here.
    event: CudaEvent,
}

// SAFETY: it owns its memory, and the driver may be called by any thread.
unsafe impl Send for Pinned {}
// SAFETY: as above; nothing is written through a shared reference.
unsafe impl Sync for Pinned {}

impl Pinned {
    pub(super) fn new(stream: &Stream, bytes: usize) -> Result<Self> {
        stream.bind()?;
        let flags = sys::CUevent_flags::CU_EVENT_BLOCKING_SYNC;
        let event = stream.check(stream.stream.context().new_event(Some(flags)))?;
        // SAFETY: a number of bytes, which are written below before anybody reads them.
        let address = stream.allocated(unsafe { result::malloc_host(bytes.max(1), 0) })?.cast::<u8>();
        // SAFETY: so many bytes were allocated.
        unsafe { address.write_bytes(0, bytes) };
        Ok(Self { address, bytes, event })
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All of it, once no copy needs it any longer.
    fn wait(&mut self, stream: &Stream) -> Result<&mut [u8]> {
        stream.check(self.event.synchronize())?;
        // SAFETY: so many bytes were allocated and written, and no copy is under way.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.address, self.bytes) })
    }

    /// The values that a device has sent, once they are there.
    pub(super) fn values<T: Plain>(&mut self, stream: &Stream, len: usize) -> Result<&[T]> {
        check_length(len.checked_mul(size_of::<T>()).is_some_and(|bytes| bytes <= self.bytes))?;
        let bytes = self.wait(stream)?;
        // SAFETY: pinned memory begins a page, every bit pattern is a plain value, and there are enough of them.
        Ok(unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), len) })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = self.event.synchronize();
        // SAFETY: no copy is under way any longer.
        let _ = unsafe { result::free_host(self.address.cast()) };
    }
}

/// Arrays that are sent together.
#[derive(Default)]
pub(super) struct Parcel<'a> {
    parts: Vec<(&'a [u8], usize)>,
    bytes: usize,
}

/// Where an array lies in a parcel.
#[derive(Clone, Copy)]
pub(super) struct Place<T> {
    offset: usize,
    len: usize,
    values: PhantomData<T>,
}

impl<'a> Parcel<'a> {
    /// Adds an array.
    pub(super) fn add<T: Plain>(&mut self, values: &'a [T]) -> Place<T> {
        // Kernels load up to 16 bytes at a time.
        let (offset, bytes) = (self.bytes.next_multiple_of(16), bytes_of(values));
        self.parts.push((bytes, offset));
        self.bytes = offset + bytes.len();
        Place { offset, len: values.len(), values: PhantomData }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The bytes of features, and the number of their type among those that kernels are compiled for.
pub(super) fn stored(features: Features<'_>) -> (&[u8], usize) {
    match features {
        Features::F16(values) => (bytes_of(values), 0),
        Features::F32(values) => (bytes_of(values), 1),
        Features::F64(values) => (bytes_of(values), 2),
    }
}
