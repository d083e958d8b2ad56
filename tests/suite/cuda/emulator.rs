//! The emulated driver: built by the C++ compiler, and loaded in place of the real one.

use std::ffi::{CStr, CString, c_char, c_longlong};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use libloading::{Library, Symbol};
use nckit::kernels::cuda::{CudaDevice, open};

/// The folder in which `libcuda.so` is the emulator: a program that finds it there runs on it.
///
/// `None` if there is no C++ compiler, which is said aloud, and fails if `NCKIT_REQUIRE_EMULATOR` is 1.
pub(crate) fn folder() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| match build() {
        Ok(folder) => Some(folder),
        Err(why) => {
            let required = std::env::var_os("NCKIT_REQUIRE_EMULATOR").is_some_and(|value| value == "1");
            assert!(!required, "no emulated driver: {why}");
            eprintln!("skipped: no emulated driver: {why}");
            None
        }
    });
    built.as_deref()
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
        files.iter().for_each(|file| crc.update(&fs::read(file).unwrap()));
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

/// The emulated machine of this thread. No other thread of the process sees a device.
pub(crate) struct Machine(&'static Library);

impl Machine {
    /// A machine with one device, and nothing in its memory.
    pub(crate) fn begin() -> Option<Self> {
        static LIBRARY: OnceLock<Library> = OnceLock::new();
        let path = folder()?.join("libcuda.so");
        #[expect(unsafe_code, reason = "a library is loaded, whose initialisation does nothing")]
        // SAFETY: as the reason says.
        let library = LIBRARY.get_or_init(|| unsafe { Library::new(path) }.unwrap());
        #[expect(unsafe_code, reason = "a function of C is called")]
        // SAFETY: the emulator has this function.
        unsafe {
            let begin: Symbol<'_, unsafe extern "C" fn()> = library.get("nckit_emulator_begin").unwrap();
            begin();
        }
        let machine = Self(library);
        machine.set("devices", 1);
        Some(machine)
    }

    /// Changes a setting, and begins all counts again. `tests/emulator/settings.h` lists the settings.
    pub(crate) fn set(&self, name: &str, value: i64) {
        let name = CString::new(name).unwrap();
        #[expect(unsafe_code, reason = "a function of C is called")]
        // SAFETY: the emulator has this function, and the name ends with a zero.
        unsafe {
            let set: Symbol<'_, unsafe extern "C" fn(*const c_char, c_longlong)> =
                self.0.get("nckit_emulator_set").unwrap();
            set(name.as_ptr(), value);
        }
    }

    /// How many `launches`, `copies` or `allocations` there were, or the bytes that are `used`.
    pub(crate) fn count(&self, what: &str) -> i64 {
        let what = CString::new(what).unwrap();
        #[expect(unsafe_code, reason = "a function of C is called")]
        // SAFETY: the emulator has this function, and the name ends with a zero.
        unsafe {
            let count: Symbol<'_, unsafe extern "C" fn(*const c_char) -> c_longlong> =
                self.0.get("nckit_emulator_count").unwrap();
            count(what.as_ptr())
        }
    }

    /// The names of the kernels, a line each, with the bytes of their parameters.
    pub(crate) fn entries(&self) -> String {
        #[expect(unsafe_code, reason = "a function of C is called")]
        // SAFETY: the emulator has this function, and its text stays and ends with a zero.
        unsafe {
            let entries: Symbol<'_, unsafe extern "C" fn() -> *const c_char> =
                self.0.get("nckit_emulator_entries").unwrap();
            CStr::from_ptr(entries()).to_str().unwrap().to_owned()
        }
    }

    /// Its only device, which the CPU may replace.
    pub(crate) fn device(&self) -> CudaDevice {
        open(None, false).unwrap_or_else(|absent| panic!("{absent}")).remove(0)
    }
}
