//! The emulated driver: built by the C++ compiler, and loaded in place of the real one.

use std::ffi::{CStr, CString, c_char, c_longlong};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use libloading::Library;
use nckit::kernels::cuda::{CudaDevice, open};

/// The folder in which `libcuda.so` is the emulator: a program that finds it there runs on it.
///
/// `None` on a real device, or if there is no C++ compiler, which is said aloud, and fails if `NCKIT_REQUIRE_EMULATOR` is 1.
pub(crate) fn folder() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    if is_real() {
        return None;
    }
    let built = BUILT.get_or_init(|| match build() {
        Ok(folder) => Some(folder),
        Err(why) => {
            let required = std::env::var_os("NCKIT_REQUIRE_EMULATOR").is_some_and(|value| value == "1");
            assert!(!required, "no emulated driver: {why}");
            // Not by `eprintln`, which tests that pass keep to themselves.
            let text = format!("skipped: no emulated driver: {why}\n");
            std::io::stderr().write_all(text.as_bytes()).unwrap();
            None
        }
    });
    built.as_deref()
}

/// Whether the tests that need no emulator are to run on a device of this machine.
fn is_real() -> bool {
    std::env::var_os("NCKIT_REQUIRE_CUDA").is_some_and(|value| value == "1")
}

/// The sources of the kernels and of the emulator.
fn sources() -> [PathBuf; 2] {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    [root.join("src/kernels/cuda"), root.join("tests/emulator")]
}

fn build() -> Result<PathBuf, String> {
    let mut crc = crc32fast::Hasher::new();
    for folder in sources() {
        let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|e| e == "h" || e == "cu" || e == "cpp"));
        files.sort();
        for file in files {
            crc.update(&fs::read(file).unwrap());
        }
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("emulator-{:08x}", crc.finalize()));
    let library = folder.join("libcuda.so");
    if library.exists() {
        return Ok(folder);
    }
    fs::create_dir_all(&folder).unwrap();
    let [kernels, emulator] = sources();
    // Another process may build it at the same time: whoever is last replaces the same file.
    let draft = folder.join(format!("{}.so", std::process::id()));
    let compiler = std::env::var_os("CXX").unwrap_or("c++".into());
    let flags = ["-std=c++17", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread", "-Wl,-soname,libcuda.so"];
    // No fused operations, which kernels do not have; values are read as bytes; and threads jump from stack to stack.
    let needed = ["-ffp-contract=off", "-fno-strict-aliasing", "-U_FORTIFY_SOURCE"];
    let outcome = Command::new(&compiler)
        .args(flags)
        .args(needed)
        .args([Path::new("-I"), &kernels, Path::new("-I"), &emulator])
        .arg(emulator.join("driver.cpp"))
        .arg("-o")
        .arg(&draft)
        .output()
        .map_err(|error| format!("{}: {error}", compiler.display()))?;
    assert!(outcome.status.success(), "the emulator: {}", String::from_utf8_lossy(&outcome.stderr));
    fs::rename(draft, library).unwrap();
    Ok(folder)
}

/// What the emulator offers beside the functions of a driver.
struct Functions {
    begin: extern "C" fn(),
    set: extern "C" fn(*const c_char, c_longlong),
    count: extern "C" fn(*const c_char) -> c_longlong,
    entries: extern "C" fn() -> *const c_char,
}

fn functions() -> Option<&'static Functions> {
    static FUNCTIONS: OnceLock<Functions> = OnceLock::new();
    let path = folder()?.join("libcuda.so");
    let load = || {
        #[expect(unsafe_code, reason = "the functions are those of `tests/emulator/driver.cpp`")]
        // SAFETY: they have these types, do nothing when they are loaded, and stay, since the library is not dropped.
        unsafe {
            let library: &'static Library = Box::leak(Box::new(Library::new(path).unwrap()));
            Functions {
                begin: *library.get("nckit_emulator_begin").unwrap(),
                set: *library.get("nckit_emulator_set").unwrap(),
                count: *library.get("nckit_emulator_count").unwrap(),
                entries: *library.get("nckit_emulator_entries").unwrap(),
            }
        }
    };
    Some(FUNCTIONS.get_or_init(load))
}

/// The emulated machine of this thread: no other thread of the process sees a device. Or the machine itself.
pub(crate) struct Machine(Option<&'static Functions>);

impl Machine {
    /// An emulated machine with one device, and nothing in its memory.
    pub(crate) fn begin() -> Option<Self> {
        let functions = functions()?;
        (functions.begin)();
        let machine = Self(Some(functions));
        machine.set("devices", 1);
        Some(machine)
    }

    /// The same; or this machine with its device, on which settings change nothing, if `NCKIT_REQUIRE_CUDA` is 1.
    pub(crate) fn real_or_emulated() -> Option<Self> {
        if is_real() { Some(Self(None)) } else { Self::begin() }
    }

    /// Changes a setting, and begins all counts again. `tests/emulator/settings.h` lists the settings.
    pub(crate) fn set(&self, name: &str, value: i64) {
        let name = CString::new(name).unwrap();
        if let Some(functions) = self.0 {
            (functions.set)(name.as_ptr(), value);
        }
    }

    /// How many `launches`, `copies`, `allocations` or `products` there were, or how many bytes are `used`.
    pub(crate) fn count(&self, what: &str) -> i64 {
        let what = CString::new(what).unwrap();
        self.0.map_or(0, |functions| (functions.count)(what.as_ptr()))
    }

    /// The names of the kernels, a line each, with the bytes of their parameters.
    pub(crate) fn entries(&self) -> String {
        #[expect(unsafe_code, reason = "a text of C is read")]
        // SAFETY: the emulator keeps the text, which ends with a zero.
        let entries = unsafe { CStr::from_ptr((self.0.unwrap().entries)()) };
        entries.to_str().unwrap().to_owned()
    }
}

/// The only device of this thread's machine, which the CPU may replace.
pub(crate) fn device() -> CudaDevice {
    open(None, false).unwrap_or_else(|absent| panic!("{absent}")).remove(0)
}
