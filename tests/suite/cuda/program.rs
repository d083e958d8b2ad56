//! The unchanged program, which finds the emulated driver where it looks for the real one.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, ArrayRef, FixedSizeListArray, Float16Array, Float32Array, Float64Array};
use arrow::datatypes::Field;
use half::f16;

use super::emulator::folder;
use crate::faults::{Place, ints, said};
use crate::rows::Random;

/// Runs the program on an emulated device, with these settings of the emulator.
fn on_device(place: &Place, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut command = place.command(arguments);
    command.env("LD_LIBRARY_PATH", folder().unwrap()).env("NCKIT_EMU_DEVICES", "1");
    command.envs(settings.iter().copied()).output().unwrap()
}

/// The same, which must succeed; returns what it prints.
fn succeed(place: &Place, arguments: &[&str], settings: &[(&str, &str)]) -> String {
    let output = on_device(place, arguments, settings);
    assert!(output.status.success(), "{arguments:?} {settings:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The same, which must fail with this code; returns what it says.
fn fail(place: &Place, code: i32, arguments: &[&str], settings: &[(&str, &str)]) -> String {
    let output = on_device(place, arguments, settings);
    assert_eq!(output.status.code(), Some(code), "{arguments:?} {settings:?}: {}", said(&output));
    said(&output)
}

/// Vectors of `dim` values, stored in so many bytes each.
fn stored(values: &[f64], dim: usize, bytes: usize) -> ArrayRef {
    let values: ArrayRef = match bytes {
        2 => Arc::new(Float16Array::from_iter_values(values.iter().map(|&x| f16::from_f64(x)))),
        4 => Arc::new(Float32Array::from_iter_values(values.iter().map(|&x| x as f32))),
        _ => Arc::new(Float64Array::from(values.to_vec())),
    };
    let item = Arc::new(Field::new("element", values.data_type().clone(), false));
    Arc::new(FixedSizeListArray::new(item, dim as i32, values, None))
}

/// Writes rows about means of their classes, which come as Zipf's law has them; one row in `one_in` lies far out.
fn zipf(place: &Place, name: &str, (rows, dim, classes): (usize, usize, usize), bytes: usize, one_in: usize) {
    let mut random = Random::new(name.bytes().map(u64::from).sum());
    let labels: Vec<i32> = (0..rows).map(|_| ((classes as f64).powf(random.uniform()) - 1.0) as i32).collect();
    let mut values = Vec::new();
    for &label in &labels {
        let far = if one_in > 0 && random.chance(one_in) { 3000.0 } else { 1.0 };
        values.extend((0..dim).map(|j| f64::from((label * 7 + j as i32) % 11) + far * random.normal()));
    }
    place.write_columns(name, &[("feature", stored(&values, dim, bytes)), ("label", ints(labels))], rows / 3 + 1);
}

/// The state of an archive, which must be the same from the CPU and from a device under three schedules.
fn compare(place: &Place, input: &str, more: &[&str], settings: &[(&str, &str)]) {
    let run = |output: &'static str, device: &'static str| {
        [&["accumulate", input, "-o", output, "--overwrite", "-q", "--threads=2", "--device", device], more].concat()
    };
    place.succeed(&run("cpu.ncst", "cpu"));
    let expected = fs::read(place.path("cpu.ncst")).unwrap();
    for order in ["0", "1", "2"] {
        let settings = [settings, &[("NCKIT_EMU_ORDER", order)]].concat();
        succeed(place, &run("cuda.ncst", "cuda"), &settings);
        assert!(fs::read(place.path("cuda.ncst")).unwrap() == expected, "{input} {more:?} {settings:?}");
    }
}

fn digits() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/digits/hive").to_str().unwrap().to_owned()
}

#[test]
fn states_of_archives_are_the_same_bytes() {
    if folder().is_none() {
        return;
    }
    let place = Place::new();
    compare(&place, &digits(), &["--group-by", "epoch,layer", "--where", "split=train", "--where", "epoch=0"], &[]);
    zipf(&place, "zipf.parquet", (4500, 6, 3000), 4, 0);
    compare(&place, "zipf.parquet", &[], &[]);
    compare(&place, "zipf.parquet", &["--metrics", "nc1_cdnv"], &[("NCKIT_EMU_DEVICES", "2")]);
    zipf(&place, "half.parquet", (400, 70, 5), 2, 0);
    compare(&place, "half.parquet", &[], &[]);
    zipf(&place, "double.parquet", (400, 30, 5), 8, 0);
    compare(&place, "double.parquet", &["--extra-bits", "2"], &[]);
    zipf(&place, "far.parquet", (900, 20, 4), 4, 100);
    compare(&place, "far.parquet", &[], &[]);
    compare(&place, "far.parquet", &["--grid=-12"], &[]);
    compare(&place, "far.parquet", &["--group-by", "label"], &[("NCKIT_EMU_MEMORY", "3000000")]);
}

#[test]
fn measure_finish_and_sql_give_the_same_output() {
    if folder().is_none() {
        return;
    }
    let place = Place::new();
    zipf(&place, "in.parquet", (700, 20, 6), 4, 200);
    zipf(&place, "ood.parquet", (90, 20, 3), 4, 0);
    let weights: Vec<f64> = (0..6 * 20).map(|at| f64::from((at * 7) % 11) - 5.0).collect();
    place.write_columns("head.parquet", &[("weight", stored(&weights, 20, 4))], 10);
    let further =
        ["--head=head.parquet", "--ood=ood.parquet", "--scores=scores.parquet", "--overwrite", "--format=json", "-q"];
    let measure = [&["measure", "in.parquet"][..], &further].concat();
    let read = || fs::read(place.path("scores.parquet")).unwrap();
    let cpu = (place.succeed(&[&measure[..], &["--device=cpu"]].concat()), read());
    for order in ["0", "1", "2"] {
        let cuda = succeed(&place, &[&measure[..], &["--device=cuda"]].concat(), &[("NCKIT_EMU_ORDER", order)]);
        assert!((cuda, read()) == cpu, "{order}");
    }
    place.succeed(&["accumulate", "in.parquet", "-o", "x.ncst", "-q"]);
    let finish = [&["finish", "x.ncst", "--decisions=in.parquet"][..], &further].concat();
    let cpu = (place.succeed(&[&finish[..], &["--device=cpu"]].concat()), read());
    assert!((succeed(&place, &[&finish[..], &["--device=cuda:0"]].concat(), &[]), read()) == cpu);
}

#[cfg(feature = "sql")]
#[test]
fn queries_give_the_same_output() {
    if folder().is_none() {
        return;
    }
    let place = Place::new();
    zipf(&place, "in.parquet", (700, 20, 6), 4, 200);
    let query = "SELECT label % 2 AS part, nc_state(feature, label) AS state, nc1_pinv(feature, label) AS nc1 \
                 FROM 'in.parquet' GROUP BY part ORDER BY part";
    let sql = ["sql", "-c", query, "--format=json", "-q"];
    let cpu = place.succeed(&sql);
    assert_eq!(succeed(&place, &[&sql[..], &["--device=cuda"]].concat(), &[]), cpu);
}

#[test]
fn fault_50_whoever_asks_for_a_device_that_is_not_there_learns_why() {
    if folder().is_none() {
        return;
    }
    let place = Place::new();
    place.write("in.parquet", 1, 100, 8, 40);
    let measure = ["measure", "in.parquet", "--device", "cuda"];
    for (settings, why) in [
        (&[("NCKIT_EMU_DEVICES", "0")][..], "finds no device"),
        (&[("NCKIT_EMU_DRIVER", "11080")], "supports CUDA 11.8, and 12.0 is needed"),
        (&[("NCKIT_EMU_CAPABILITY", "75")], "compute capability 7.5, and 8.0 is needed"),
    ] {
        let text = fail(&place, 2, &measure, settings);
        assert!(text.contains(why), "{text}");
    }
    let text = fail(&place, 2, &["measure", "in.parquet", "--device", "cuda:2"], &[("NCKIT_EMU_DEVICES", "2")]);
    assert!(text.contains("there are 2 devices, cuda:0 to cuda:1, and no cuda:2"), "{text}");
    let text = place.fail(2, &["measure", "in.parquet", "--device", "gpu"]);
    assert!(text.contains("expected auto, cpu, cuda or cuda:N"), "{text}");
    let text = fail(&place, 75, &measure, &[("NCKIT_EMU_MEMORY", "1000")]);
    assert!(text.contains("the device cannot be used") && text.contains("too little free memory"), "{text}");
    // What the environment says holds unless a flag says otherwise.
    let text = fail(&place, 2, &["measure", "in.parquet"], &[("NCKIT_EMU_DEVICES", "0"), ("NCKIT_DEVICE", "cuda")]);
    assert!(text.contains("finds no device"), "{text}");
    succeed(
        &place,
        &["measure", "in.parquet", "--device=cpu"],
        &[("NCKIT_DEVICE", "cuda"), ("NCKIT_EMU_DEVICES", "0")],
    );
    if cfg!(feature = "sql") {
        let text = fail(&place, 2, &["sql", "-c", "SET nc.device = 'cuda'"], &[("NCKIT_EMU_DEVICES", "0")]);
        assert!(text.contains("finds no device"), "{text}");
    }
    // Small work is done at once.
    let text = said(&on_device(&place, &["measure", "in.parquet", "-v"], &[]));
    assert!(text.contains("cpu: the work takes less than 3 s"), "{text}");
    let plan = succeed(&place, &["measure", "in.parquet", "--dry-run", "--device=cuda"], &[]);
    assert!(plan.contains("device  cuda:0, emulated device 0: up to ") && plan.contains("that are free"), "{plan}");
}

/// A device that fails, or that has no memory, at each point in turn.
#[test]
fn fault_51_a_run_whose_device_fails_ends_cleanly() {
    if folder().is_none() {
        return;
    }
    let place = Place::new();
    zipf(&place, "in.parquet", (300, 9, 4), 4, 60);
    let run =
        |device: &'static str| ["accumulate", "in.parquet", "-o", "x.ncst", "-q", "--threads=1", "--device", device];
    place.succeed(&run("cpu"));
    let expected = fs::read(place.path("x.ncst")).unwrap();
    for (what, code) in [("NCKIT_EMU_FAIL_LAUNCH", 74), ("NCKIT_EMU_FAIL_COPY", 74), ("NCKIT_EMU_FAIL_ALLOC", 75)] {
        let mut failed = 0;
        for at in 1_u64.. {
            fs::remove_file(place.path("x.ncst")).unwrap();
            let output = on_device(&place, &run("cuda"), &[(what, &at.to_string())]);
            if output.status.success() {
                assert!(fs::read(place.path("x.ncst")).unwrap() == expected, "{what} {at}");
                // The n-th did not happen, or other memory was made free.
                if what != "NCKIT_EMU_FAIL_ALLOC" || at > 60 {
                    break;
                }
                continue;
            }
            failed += 1;
            // While the device is tried, it does not count as there.
            assert!([2, code].map(Some).contains(&output.status.code()), "{what} {at}: {}", said(&output));
            assert!(!place.path("x.ncst").exists(), "{what} {at}");
            fs::write(place.path("x.ncst"), []).unwrap();
        }
        assert!(failed > 3, "{what}: {failed}");
    }
}

#[test]
fn killed_on_a_device_and_resumed_it_ends_in_the_same_bytes() {
    if folder().is_none() {
        return;
    }
    let place = Place::new();
    place.archive(6, 4);
    let run =
        ["accumulate", "in", "-o", "x.ncst", "--resume", "--checkpoint-every=0s", "--threads=2", "-q", "--device"];
    place.succeed(&[&run[..], &["cpu"]].concat());
    let expected = fs::read(place.path("x.ncst")).unwrap();
    fs::remove_file(place.path("x.ncst")).unwrap();
    let start = Instant::now();
    succeed(&place, &[&run[..], &["cuda"]].concat(), &[]);
    let took = start.elapsed();
    fs::remove_file(place.path("x.ncst")).unwrap();
    let (mut random, mut killed) = (Random::new(3), 0);
    for _ in 0..4 {
        let mut command = place.command(&[&run[..], &["cuda"]].concat());
        command.env("LD_LIBRARY_PATH", folder().unwrap()).env("NCKIT_EMU_DEVICES", "1").stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(took.mul_f64(0.8 * random.uniform()));
        child.kill().unwrap();
        killed += usize::from(!child.wait().unwrap().success());
    }
    succeed(&place, &[&run[..], &["cuda"]].concat(), &[]);
    assert!(fs::read(place.path("x.ncst")).unwrap() == expected);
    assert!(killed > 0, "none was killed in time");
}

#[test]
fn a_device_is_measured_beside_what_bounds_it() {
    if folder().is_none() {
        return;
    }
    let place = Place::new();
    place.write("in.parquet", 1, 150, 8, 150);
    let text = succeed(&place, &["bench", "in.parquet", "--device", "cuda", "-q"], &[]);
    let (cpu, device) = text.split_once("\ncuda:0, emulated device 0\n").unwrap_or_else(|| panic!("{text}"));
    assert_eq!(cpu.lines().filter(|line| line.contains("GB/s")).count(), 5, "{text}");
    for (line, limit) in
        device.lines().zip(["copying", "copying on the device", "copying on the device", "products alone"])
    {
        assert!(line.contains(&format!("% of {limit} (")), "{text}");
    }
    assert_eq!(device.lines().count(), 5, "{text}");
}

/// Archives for `benches/gpu.sh`, in the folder that `NCKIT_ARCHIVES` names.
#[test]
#[ignore = "writes some gigabytes"]
fn archives_for_a_device() {
    let folder = std::env::var("NCKIT_ARCHIVES").expect("NCKIT_ARCHIVES names a folder");
    let (folder, place) = (Path::new(&folder), &Place::new());
    for (archive, shape, bytes, one_in) in [
        ("d512", (65_536, 512, 100), 4, 0),
        ("d768", (43_691, 768, 1000), 4, 0),
        ("d2048", (16_384, 2048, 1000), 4, 0),
        ("zipf", (43_691, 256, 3000), 4, 0),
        ("half", (43_691, 768, 100), 2, 0),
        ("double", (16_384, 512, 100), 8, 0),
        ("far", (43_691, 256, 100), 4, 100),
    ] {
        std::thread::scope(|scope| {
            for part in 0..8 {
                let path = folder.join(archive).join(format!("{part}.parquet"));
                scope.spawn(move || zipf(place, path.to_str().unwrap(), shape, bytes, one_in));
            }
        });
    }
}
