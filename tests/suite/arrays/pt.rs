//! Features and labels as `torch.save` saves them.

use nckit::archive::{Archive, HeadSource, Request, Spellings, StoredHead, is_damage};
use nckit::batch::Label;

use super::torch::{Py, View, dict, pickle, pt, pt_of, view, whole};
use super::write::{Packed, elements, labels};
use super::{Files, chunks, error, read, rows};

const DIM: usize = 3;

fn small() -> Vec<f64> {
    (0..7 * DIM).map(|at| ((at * 37) % 120) as f64).collect()
}

fn classes() -> Vec<f64> {
    (0..7).map(|row| f64::from(row % 3)).collect()
}

fn expected() -> Vec<Label> {
    (0..7).map(|row| Label::Int(row % 3)).collect()
}

/// A dictionary of features and labels.
fn two(features: &'static str, labels: &'static str) -> Py {
    dict([("features", whole(features, 0, &[7, DIM])), ("labels", whole(labels, 1, &[7]))])
}

fn found(input: &str) -> (Vec<f64>, Vec<Label>) {
    rows(&read(&[input.to_owned()], &Request::default()).unwrap())
}

#[test]
fn tensors_of_every_type_are_the_numbers_that_were_saved() {
    let files = Files::new();
    let values = small();
    for (class, descr, bits) in [
        ("HalfStorage", "f2", 11),
        ("BFloat16Storage", "V2", 8),
        ("FloatStorage", "f4", 24),
        ("DoubleStorage", "f8", 53),
        ("CharStorage", "i1", 24),
        ("ByteStorage", "u1", 24),
    ] {
        for (label_class, label_descr) in [
            ("LongStorage", "i8"),
            ("IntStorage", "i4"),
            ("ShortStorage", "i2"),
            ("ByteStorage", "u1"),
            ("FloatStorage", "f4"),
        ] {
            for (order, mark) in [("little", "<"), ("big", ">")] {
                let bytes = |descr: &str, values: &[f64]| elements(&format!("{mark}{descr}"), values);
                let storages = [bytes(descr, &values), bytes(label_descr, &classes())];
                let saved = pickle(&two(class, label_class));
                for packed in [Packed::Stored, Packed::Large] {
                    let path = files.put("x.pt", pt_of(saved.clone(), &storages, order, packed));
                    let archive = Archive::open(std::slice::from_ref(&path), &Request::default()).unwrap();
                    assert_eq!(archive.significand_bits(), bits, "{class}");
                    assert_eq!(rows(&chunks(&archive).unwrap()), (values.clone(), expected()), "{class} {label_class}");
                }
            }
        }
    }
    let flags: Vec<f64> = classes().iter().map(|&class| class.min(1.0)).collect();
    let path = files
        .put("b.pt", pt(&two("FloatStorage", "BoolStorage"), &[elements("<f4", &values), elements("|b1", &flags)]));
    assert_eq!(found(&path).1.len(), 7);
    // Types without a class of storages have one for all.
    let bytes = View { count: 14, ..view("UntypedStorage", 1, &[7]) };
    let typed = dict([("x", whole("FloatStorage", 0, &[7, DIM])), ("y", Py::Typed("uint16", bytes))]);
    let path = files.put("t.pt", pt(&typed, &[elements("<f4", &values), elements("<u2", &classes())]));
    assert_eq!(found(&path), (values, expected()));
}

#[test]
fn views_share_a_storage_with_offsets_and_strides() {
    let files = Files::new();
    // A matrix of 9 × 5, whose first column is the label, and whose rows 1 to 7 and columns 1 to 3 are the features.
    let mut all = vec![77.0; 45];
    for row in 0..7 {
        all[(row + 1) * 5] = classes()[row];
        all[(row + 1) * 5 + 1..][..DIM].copy_from_slice(&small()[row * DIM..][..DIM]);
    }
    let of = |offset: usize, shape: &[usize], strides: &[usize]| {
        Py::Tensor(View {
            class: "FloatStorage",
            storage: 0,
            count: 45,
            offset,
            shape: shape.to_vec(),
            strides: strides.to_vec(),
        })
    };
    let storages = [elements("<f4", &all)];
    let views = dict([("features", of(6, &[7, DIM], &[5, 1])), ("labels", of(5, &[7], &[5]))]);
    let path = files.put("view.pt", pt(&views, &storages));
    assert_eq!(found(&path), (small(), expected()));
    // So far apart that rows are read one by one.
    let mut far = vec![77.0; 7 * 5000];
    for row in 0..7 {
        far[row * 5000] = classes()[row];
        far[row * 5000 + 9..][..DIM].copy_from_slice(&small()[row * DIM..][..DIM]);
    }
    let of = |offset: usize, shape: &[usize], strides: &[usize], count: usize| {
        Py::Tensor(View {
            class: "FloatStorage",
            storage: 0,
            count,
            offset,
            shape: shape.to_vec(),
            strides: strides.to_vec(),
        })
    };
    let views = dict([("x", of(9, &[7, DIM], &[5000, 1], 35_000)), ("y", of(0, &[7], &[5000], 35_000))]);
    let path = files.put("far.pt", pt(&views, &[elements("<f4", &far)]));
    assert_eq!(found(&path).0, small());
    // Column by column, as x.t() is.
    let columns = super::write::transposed(&small(), DIM);
    let views = dict([("x", of(0, &[7, DIM], &[1, 7], 21)), ("y", whole("LongStorage", 1, &[7]))]);
    let path = files.put("t.pt", pt(&views, &[elements("<f4", &columns), elements("<i8", &classes())]));
    assert_eq!(found(&path), (small(), expected()));
    // Neither, and rows that are repeated.
    for (shape, strides) in [([7, DIM], [6, 2]), ([7, DIM], [0, 1]), ([1 << 40, DIM], [0, 1])] {
        let views = dict([("x", of(0, &shape, &strides, 42)), ("y", whole("LongStorage", 1, &[7]))]);
        let path = files.put("s.pt", pt(&views, &[elements("<f4", &[0.0; 42]), elements("<i8", &classes())]));
        assert!(error(&path).advice().unwrap().contains("x.contiguous()"), "{:?}", error(&path));
    }
}

#[test]
fn tensors_are_found_in_dictionaries_and_lists_and_alone() {
    let files = Files::new();
    let storages = [elements("<f4", &small()), elements("<i8", &classes())];
    let (x, y) = (whole("FloatStorage", 0, &[7, DIM]), whole("LongStorage", 1, &[7]));
    let path = files.put("pair.pt", pt(&Py::Tuple(vec![x.clone(), y.clone()]), &storages));
    assert_eq!(found(&format!("{path}:0,1")), (small(), expected()));
    let epochs = [(Py::Int(3), dict([("features", x.clone()), ("labels", y.clone()), ("loss", Py::Int(2))]))];
    let nested = dict([("epoch", Py::Dict(epochs.to_vec())), ("args", Py::Object("argparse", "Namespace"))]);
    let path = files.put("nested.pth", pt(&nested, &storages));
    assert_eq!(found(&format!("{path}:epoch.3.features,epoch.3.labels")), (small(), expected()));
    let advice = error(&path).advice().map(str::to_owned).unwrap_or_default();
    assert!(
        !advice.is_empty()
            && error(&format!("{path}:epoch.3.x,y")).fact("arrays").unwrap().contains("epoch.3.features")
    );
    // A tensor alone, with its labels in a file beside it, or in any other file.
    files.put("h_features.pt", pt(&x, &storages[..1]));
    let label = files.put("h_labels.pt", pt(&whole("LongStorage", 0, &[7]), &storages[1..]));
    assert_eq!(found(&files.at("h_features.pt")), (small(), expected()));
    let alone = files.put("alone.pt", pt(&x, &storages[..1]));
    assert_eq!(found(&format!("{alone},{label}")), (small(), expected()));
    let request = Request { labels: Some(label), ..Request::default() };
    assert_eq!(rows(&read(std::slice::from_ref(&alone), &request).unwrap()), (small(), expected()));
    let npy = files.put("y.npy", labels(&[0; 7]));
    assert_eq!(found(&format!("{alone},{npy}")).0, small());
    // Layers, as for tensors of safetensors.
    let layers: Vec<f64> = (0..2).flat_map(|_| small()).collect();
    let deep = dict([("hidden_states", whole("FloatStorage", 0, &[2, 7, DIM])), ("label", y)]);
    let path = files.put("deep.pt", pt(&deep, &[elements("<f4", &layers), storages[1].clone()]));
    assert_eq!(found(&path), (layers, [expected(), expected()].concat()));
}

#[test]
fn lists_of_tensors_are_batches_in_their_order() {
    let files = Files::new();
    let (values, numbers) = (small(), classes());
    let cut = [0, 3, 3, 6, 7];
    let (mut xs, mut ys, mut storages) = (Vec::new(), Vec::new(), Vec::new());
    for range in cut.windows(2) {
        let count = range[1] - range[0];
        // The last batches come first in the file.
        xs.push(whole("FloatStorage", storages.len(), &[count, DIM]));
        storages.push(elements("<f4", &values[range[0] * DIM..range[1] * DIM]));
        ys.push(whole("LongStorage", storages.len(), &[count]));
        storages.push(elements("<i8", &numbers[range[0]..range[1]]));
    }
    let path = files.put("b.pt", pt(&dict([("features", Py::List(xs.clone())), ("labels", Py::List(ys))]), &storages));
    assert_eq!(found(&path), (small(), expected()));
    // Two batches that differ are two tensors.
    xs[0] = whole("FloatStorage", 0, &[DIM, 3]);
    xs.push(whole("HalfStorage", storages.len(), &[1, DIM]));
    storages.push(elements("<f2", &[1.0; DIM]));
    let path = files.put("d.pt", pt(&Py::List(xs), &storages));
    assert!(error(&path).fact("arrays").unwrap().contains("2 (3 × 3, float32)"), "{:?}", error(&path));
}

#[test]
fn batches_of_tuples_and_dictionaries_say_how_they_are_named() {
    let files = Files::new();
    let more: Vec<f64> = small().iter().map(|value| value + 1.0).collect();
    let storages =
        [elements("<f4", &small()), elements("<i8", &classes()), elements("<f4", &more), elements("<i8", &classes())];
    let tensors = |at: usize| (whole("FloatStorage", at, &[7, DIM]), whole("LongStorage", at + 1, &[7]));
    let pair = |at: usize| Py::Tuple(vec![tensors(at).0, tensors(at).1]);
    let named = |at: usize| dict([("features", tensors(at).0), ("labels", tensors(at).1)]);
    for (name, batches, parts) in
        [("t.pt", vec![pair(0), pair(2)], ["0", "1"]), ("d.pt", vec![named(0), named(2)], ["features", "labels"])]
    {
        let path = files.put(name, pt(&Py::List(batches), &storages));
        let found = error(&path);
        let [features, labels] = parts;
        let advice = format!("'{path}:{{batch}}.{features},{{batch}}.{labels}'");
        assert!(found.advice().unwrap().contains(&advice), "{found:?} {:?}", found.advice());
        let input = advice.trim_matches('\'').to_owned();
        assert_eq!(rows(&read(&[input], &Request::default()).unwrap()).1.len(), 14);
    }
}

#[test]
fn changed_bits_of_tensors_are_found_by_the_checksums_of_their_storages() {
    let files = Files::new();
    let storages = [elements("<f4", &small()), elements("<i8", &classes())];
    let sound = pt(&two("FloatStorage", "LongStorage"), &storages);
    let archive = |bytes: &[u8]| Archive::open(&[files.put("x.pt", bytes)], &Request::default()).unwrap();
    assert!(archive(&sound).checksums(0).unwrap());
    for storage in &storages {
        let at = sound.windows(storage.len()).position(|window| window == &storage[..]).unwrap();
        for at in at..at + storage.len() {
            let mut flipped = sound.clone();
            flipped[at] ^= 0x10;
            let found = error(&files.put("f.pt", flipped));
            assert!(is_damage(&found) && found.fact("detail").unwrap().contains("checksum"), "{found:?}");
        }
    }
    // Without checksums there is nothing to compare.
    let mut without = sound.clone();
    for storage in &storages {
        let crc = crc32fast::hash(storage).to_le_bytes();
        let places: Vec<usize> = (0..without.len() - 4).filter(|&at| without[at..at + 4] == crc).collect();
        for at in places {
            without[at..at + 4].fill(0);
        }
    }
    assert!(!archive(&without).checksums(0).unwrap());
    assert_eq!(rows(&chunks(&archive(&without)).unwrap()), (small(), expected()));
}

#[test]
fn what_is_no_tensor_is_refused_by_its_name() {
    let files = Files::new();
    let storages = [elements("<f4", &small()), elements("<i8", &classes())];
    let x = whole("FloatStorage", 0, &[7, DIM]);
    for (value, class, advice) in [
        (Py::Object("__main__", "Net"), "__main__.Net", "x.state_dict()"),
        (
            dict([("features", x.clone()), ("labels", Py::List(vec![Py::Int(1); 7]))]),
            "a list of Python values",
            "as_tensor",
        ),
        (
            dict([("features", Py::Object("numpy.core.multiarray", "_reconstruct")), ("labels", x.clone())]),
            "numpy.core.multiarray._reconstruct",
            "weights_only=False",
        ),
        // Reading runs nothing.
        (Py::Raw(b"cposix\nsystem\n(X\x08\0\0\0touch /xtR".to_vec()), "posix.system", "torch.load"),
    ] {
        let path = files.put("x.pt", pt(&value, &storages));
        let found = error(&path);
        assert_eq!(found.fact("object"), Some(class), "{found:?}");
        assert!(found.advice().unwrap().contains(advice) && found.advice().unwrap().contains("x.pt"), "{found:?}");
        assert!(!is_damage(&found));
    }
    // An object elsewhere does no harm, and neither does a type that is not read.
    let y = whole("LongStorage", 1, &[7]);
    let beside = dict([
        ("features", x.clone()),
        ("labels", y),
        ("config", Py::Object("omegaconf", "DictConfig")),
        ("fft", whole("ComplexFloatStorage", 0, &[7])),
    ]);
    assert_eq!(found(&files.put("x.pt", pt(&beside, &storages))), (small(), expected()));
    let compressed = pt_of(pickle(&x), &storages[..1], "little", Packed::Deflated);
    assert!(error(&files.put("c.pt", compressed)).message().contains("compressed"));
    let old = files.put("old.pt", b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.");
    assert!(error(&old).advice().unwrap().contains("torch.load"), "{:?}", error(&old));
}

#[test]
fn files_that_lie_are_damage_and_ask_for_no_memory() {
    let files = Files::new();
    let storages = [elements("<f4", &small()), elements("<i8", &classes())];
    let sound = pt(&two("FloatStorage", "LongStorage"), &storages);
    for length in (0..sound.len()).step_by(3) {
        let found = error(&files.put("x.pt", &sound[..length]));
        assert!(is_damage(&found), "{length}: {found:?}");
    }
    let of = |count: usize, offset: usize, shape: &[usize], strides: &[usize]| {
        let strides = strides.to_vec();
        let x = Py::Tensor(View { class: "FloatStorage", storage: 0, count, offset, shape: shape.to_vec(), strides });
        pickle(&dict([("x", x), ("y", whole("LongStorage", 1, &[7]))]))
    };
    let huge = 1 << 62;
    let repeated = |times: usize| {
        // A dictionary that holds the one before it many times.
        let mut bytes = b"\x80\x02}q\0".to_vec();
        for level in 1..=20_u8 {
            bytes.extend(b"}(");
            for at in 0..times {
                bytes.extend([&b"X\x01\0\0\0"[..], &[b'a' + at as u8], &[b'h', level - 1]].concat());
            }
            bytes.extend([b'u', b'q', level]);
        }
        [bytes, b".".to_vec()].concat()
    };
    for (what, pickle) in [
        ("rows", of(21, 0, &[8, DIM], &[DIM, 1])),
        ("offset", of(21, 1, &[7, DIM], &[DIM, 1])),
        ("huge", of(21, 0, &[huge, DIM], &[DIM, 1])),
        ("overflow", of(21, huge, &[huge, huge], &[huge, huge])),
        ("count", of(22, 0, &[7, DIM], &[DIM, 1])),
        ("large count", of(usize::MAX, 0, &[7, DIM], &[DIM, 1])),
        ("strides", of(21, 0, &[7, DIM], &[1])),
        ("no storage", pickle(&whole("FloatStorage", 9, &[7, DIM]))),
        ("empty", Vec::new()),
        ("no end", b"\x80\x02}".to_vec()),
        ("nothing", b"\x80\x02.".to_vec()),
        ("value below", b"\x80\x02N(a.".to_vec()),
        ("pop", b"\x80\x02(0.".to_vec()),
        ("mark", b"\x80\x02t.".to_vec()),
        ("memo", b"\x80\x02h\x07.".to_vec()),
        ("odd", b"\x80\x02}(K\x01u.".to_vec()),
        ("long text", b"\x80\x02X\xff\xff\xff\xffa.".to_vec()),
        ("longer text", b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xffa.".to_vec()),
        ("version", b"\x80\x09N.".to_vec()),
        ("protocol 0", b"(dp0\n.".to_vec()),
        ("deep", [b"\x80\x02".to_vec(), b"]".repeat(100_000), b"a".repeat(99_999), b".".to_vec()].concat()),
        ("itself", b"\x80\x02]q\0h\0a.".to_vec()),
        ("repeated", repeated(10)),
        ("arguments", b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nK\x01\x85R.".to_vec()),
        (
            "twice",
            pickle(&dict([("x", whole("FloatStorage", 0, &[7, DIM])), ("x", whole("FloatStorage", 0, &[7, DIM]))])),
        ),
    ] {
        let found = error(&files.put("x.pt", pt_of(pickle, &storages, "little", Packed::Stored)));
        assert!(is_damage(&found), "{what}: {found:?}");
    }
    let nothing = pt_of(b"\x80\x02}.".to_vec(), &storages, "little", Packed::Stored);
    assert!(error(&files.put("x.pt", nothing)).message().contains("no array holds vectors"));
    let order = pt_of(pickle(&two("FloatStorage", "LongStorage")), &storages, "middle", Packed::Stored);
    assert!(is_damage(&error(&files.put("x.pt", order))));
}

#[test]
fn heads_are_layers_of_the_state_of_a_model() {
    let files = Files::new();
    let (weight, bias): (Vec<f64>, Vec<f64>) = ((0..6).map(f64::from).collect(), vec![0.5, -0.5]);
    let storages = [elements("<f4", &weight), elements("<f4", &bias), elements("<f4", &[9.0; 4])];
    let text = |text: &str| Py::Text(text.to_owned());
    let parameter = |tensor: Py| Py::Parameter(Box::new(tensor));
    let state = |prefix: &str| {
        Py::State(vec![
            (text(&format!("{prefix}fc.weight")), parameter(whole("FloatStorage", 0, &[2, DIM]))),
            (text(&format!("{prefix}fc.bias")), parameter(whole("FloatStorage", 1, &[2]))),
            (text(&format!("{prefix}body.weight")), whole("FloatStorage", 2, &[2, 2])),
        ])
    };
    let read = |text: &str| {
        let path = HeadSource::parse(text).unwrap().fill(&[], &Spellings::default()).unwrap();
        StoredHead::read(&path, false)
    };
    let shown = |text: &str| {
        let head = read(text).unwrap();
        let labels = [Label::Int(0), Label::Int(1)];
        let naming = nckit::archive::Naming::default();
        let head = head.for_classes(&labels, DIM, &naming).unwrap();
        (head.weights, head.bias)
    };
    let plain = files.put("model.pt", pt(&state(""), &storages));
    assert_eq!(shown(&format!("{plain}:fc")), (weight.clone(), Some(bias.clone())));
    let lightning = dict([("state_dict", state("model.")), ("hyper", Py::Object("argparse", "Namespace"))]);
    let nested = files.put("last.ckpt", pt(&lightning, &storages));
    assert_eq!(shown(&format!("{nested}:state_dict.model.fc")), (weight.clone(), Some(bias.clone())));
    let found = read(&plain).unwrap_err();
    assert!(found.fact("candidates").unwrap().contains("fc.weight (2 × 3)"), "{found:?}");
    let found = read(&format!("{plain}:fd")).unwrap_err();
    assert!(found.advice().unwrap().contains("fc"), "{found:?}");
    let module = files.put("module.pt", pt(&Py::Object("__main__", "Net"), &[]));
    let found = read(&format!("{module}:fc")).unwrap_err();
    assert!(found.fact("object") == Some("__main__.Net") && found.advice().unwrap().contains("module.pt"), "{found:?}");
    let old = files.put("old.pth", b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.");
    let found = read(&format!("{old}:fc")).unwrap_err();
    assert!(found.message().contains("is a pickle") && found.advice().unwrap().contains("old.pth"), "{found:?}");
    let view = View { offset: 1, strides: vec![4, 1], count: 12, ..view("FloatStorage", 0, &[2, DIM]) };
    let cut: Vec<f64> = [9.0, 0.0, 1.0, 2.0, 9.0, 3.0, 4.0, 5.0, 9.0, 9.0, 9.0, 9.0].to_vec();
    let path = files.put("view.pth", pt(&dict([("fc.weight", Py::Tensor(view))]), &[elements("<f4", &cut)]));
    assert_eq!(shown(&format!("{path}:fc")), (weight, None));
}

#[test]
fn later_units_of_a_view_begin_at_their_own_rows() {
    let files = Files::new();
    let (count, dim, pitch) = (2100, 2048, 2050);
    let value = |row: usize, at: usize| ((row * 7 + at) % 1000) as f64;
    let all: Vec<f64> = (0..count * pitch).map(|at| value(at / pitch, at % pitch)).collect();
    let view = View {
        class: "HalfStorage",
        storage: 0,
        count: all.len(),
        offset: 1,
        shape: vec![count, dim],
        strides: vec![pitch, 1],
    };
    let labels: Vec<f64> = (0..count).map(|row| (row % 3) as f64).collect();
    let saved = dict([("x", Py::Tensor(view)), ("y", whole("ShortStorage", 1, &[count]))]);
    let path = files.put("x.pt", pt(&saved, &[elements("<f2", &all), elements("<i2", &labels)]));
    let archive = Archive::open(std::slice::from_ref(&path), &Request::default()).unwrap();
    assert_eq!(archive.units().len(), 2);
    let (values, classes) = rows(&chunks(&archive).unwrap());
    assert!(values.iter().enumerate().all(|(at, &found)| found == value(at / dim, at % dim + 1)));
    assert!(classes.iter().enumerate().all(|(row, class)| *class == Label::Int(row as i128 % 3)));
}
