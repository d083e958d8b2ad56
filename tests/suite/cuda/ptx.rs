//! The committed PTX is made of the sources beside it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::emulator::Machine;

/// The texts of all files of a kind among the kernels, with their names.
fn files(extension: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kernels/cuda");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let of_kind = paths.filter(|path| path.extension().is_some_and(|e| e == extension));
    let mut files: Vec<_> = of_kind.map(|path| (name(&path), fs::read_to_string(&path).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn the_checksum_is_that_of_the_sources() {
    let [(_, header)] = &files("h")[..] else { panic!("more than one header") };
    let (sources, ptx) = (files("cu"), files("ptx"));
    assert_eq!(sources.len(), ptx.len());
    for ((name, source), (of, ptx)) in sources.iter().zip(&ptx) {
        assert_eq!(name, of);
        let crc = crc32fast::hash(format!("{header}{source}").as_bytes());
        let first = format!("// sources crc32 {crc:08x}\n");
        assert!(ptx.starts_with(&first), "{name}.ptx is not of these sources: run src/kernels/cuda/ptx.py");
    }
}

#[test]
fn no_operation_is_fused() {
    for (name, ptx) in files("ptx") {
        assert!(ptx.contains(".target sm_80") && ptx.contains(".version 8.0"), "{name}");
        let fused = ["fma.rn", "fma.rz", "mad.f", "mad.rn", ".ftz"].into_iter().filter(|word| ptx.contains(word));
        assert_eq!(fused.collect::<Vec<_>>(), Vec::<&str>::new(), "{name}");
    }
}

/// The kernels of the PTX, a line each, with the bytes of their parameters.
fn entries(ptx: &str) -> BTreeSet<String> {
    let entry = |part: &str| {
        let (name, rest) = part.split_once('(').unwrap();
        let parameters = rest.split_once(')').unwrap().0.split(',').filter(|parameter| parameter.contains(".param"));
        let bytes = |parameter: &str| match parameter.split_whitespace().nth(1).unwrap() {
            ".u64" | ".f64" => " 8",
            ".u32" => " 4",
            other => panic!("{name}: {other}"),
        };
        format!("{name}{}", parameters.map(bytes).collect::<String>())
    };
    ptx.split(".visible .entry ").skip(1).map(entry).collect()
}

/// The driver is passed the arguments of the source that the emulator has.
#[test]
fn the_kernels_are_those_of_the_emulator() {
    let Some(machine) = Machine::begin() else { return };
    let found: BTreeSet<String> = files("ptx").iter().flat_map(|(_, ptx)| entries(ptx)).collect();
    assert!(found.len() > 15, "{found:?}");
    assert_eq!(found, machine.entries().lines().map(str::to_owned).collect());
}
