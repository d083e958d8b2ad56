//! Files that are damaged, lie, or hold something else.

use nckit::archive::is_damage;
use nckit::error::ErrorKind;

use super::write::{Packed, features, labels, npy, npy_of, npz};
use super::{Files, error};

fn values() -> Vec<f32> {
    (0..40).map(|at| at as f32).collect()
}

#[test]
fn arrays_that_are_no_features_are_refused_with_what_to_do() {
    let files = Files::new();
    let zeros = |count: usize| vec![0; count];
    for (array, message, advice) in [
        (npy("|O", &[10, 4], b"\x80\x04."), "pickled", "numpy.save(\"array.npy\""),
        (npy("|O", &[], b"\x80\x04."), "pickled", "numpy.savez(\"arrays.npz\", **x.item())"),
        (npy("<f4", &[10, 1, 2, 2], &zeros(160)), "no array holds vectors", "x.reshape(len(x), -1)"),
        (npy("<i8", &[10, 4], &zeros(320)), "no array holds vectors", "x.astype(\"float32\")"),
        (npy("<f4", &[10, 0], &[]), "no array holds vectors", "rows have no elements"),
        (npy("<c8", &[10, 4], &zeros(320)), "no array holds vectors", "rows × D"),
        (npy("[('a', '<f4'), ('b', '<i8')]", &[10], &zeros(120)), "no array holds vectors", "rows × D"),
        (npy("<f4", &[], &zeros(4)), "no array holds vectors", "rows × D"),
        (npy("<f4", &[10], &zeros(40)), "holds no vectors", "rows × D"),
    ] {
        let path = files.put("a.npy", &array);
        files.put("a_labels.npy", labels(&[0; 10]));
        let found = error(&path);
        let said = format!("{} {:?} {}", found, found.facts(), found.advice().unwrap_or_default());
        assert!(said.contains(message) && said.contains(advice), "{said}");
        assert!(!is_damage(&found), "{said}");
    }
    let path = files.put("x.npy", features(4, &values()));
    files.put("y.npy", npy("<f4", &[10, 3], &zeros(120)));
    assert!(error(&path).advice().unwrap().contains("argmax"), "{:?}", error(&path));
    files.put("y.npy", npy("|O", &[10], b"\x80\x04."));
    let found = error(&path);
    assert!(
        found.advice().unwrap().lines().count() == 6 && found.fact("file").unwrap().ends_with("y.npy"),
        "{found:?}"
    );
    let pickled = [("features", features(4, &values())), ("labels", npy("|O", &[10], b"\x80\x04."))];
    let found = error(&files.put("p.npz", npz(&pickled, Packed::Stored)));
    assert!(found.advice().unwrap().contains("**{**x, \"labels\": "), "{found:?}");
    files.put("y.npy", labels(&[0; 9]));
    let found = error(&path);
    assert_eq!((found.fact("rows of features"), found.fact("rows of labels")), (Some("10"), Some("9")));
    let in_one = npz(&[("x", npy_of(1, "<f4", true, &[10, 4], &[0; 160])), ("y", labels(&[0; 10]))], Packed::Deflated);
    assert!(error(&files.put("f.npz", in_one)).advice().unwrap().contains("ascontiguousarray"));
}

#[test]
fn headers_that_lie_are_damage_and_ask_for_no_memory() {
    let files = Files::new();
    let sound = features(4, &values());
    let huge = 1 << 62;
    let mut long = sound.clone();
    long[6] = 2;
    long[8..12].copy_from_slice(b"\xff\xff\xff\xff");
    for (what, array) in [
        ("rows", npy("<f4", &[11, 4], &[0; 160])),
        ("fewer", npy("<f4", &[9, 4], &[0; 160])),
        ("huge", npy("<f4", &[huge, 4], &[0; 160])),
        ("overflow", npy("<f4", &[huge, huge], &[0; 160])),
        ("wide", npy("<f4", &[0, huge], &[0; 160])),
        ("header", long),
        ("cut", sound[..sound.len() - 1].to_vec()),
        ("begun", sound[..20].to_vec()),
        ("version", [b"\x93NUMPY\x09\0", &sound[8..]].concat()),
        ("text", [&sound[..10], &vec![0xff; sound.len() - 10][..]].concat()),
        ("empty", Vec::new()),
    ] {
        let path = files.put("x.npy", &array);
        files.put("y.npy", labels(&[0; 10]));
        assert!(is_damage(&error(&path)), "{what}: {:?}", error(&path));
        let member = npz(&[("x", array), ("y", labels(&[0; 10]))], Packed::Deflated);
        assert!(is_damage(&error(&files.put("x.npz", member))), "{what} in npz");
    }
}

#[test]
fn archives_that_lie_are_damage() {
    let files = Files::new();
    let members = [("x", features(4, &values())), ("y", labels(&[0; 10]))];
    for packed in [Packed::Stored, Packed::Deflated, Packed::Large] {
        let sound = npz(&members, packed);
        let path = files.put("sound.npz", &sound);
        super::read(&[path], &nckit::archive::Request::default()).unwrap();
        for length in 0..sound.len() {
            let path = files.put("cut.npz", &sound[..length]);
            let found = error(&path);
            assert!(is_damage(&found) && found.kind() == ErrorKind::Data, "{length}: {found:?}");
        }
    }
    // A changed byte of an array that is not compressed is found by its checksum, whatever array it is in.
    let sound = npz(&members, Packed::Stored);
    let is_content = |at: &usize| {
        let of =
            |bytes: &[u8]| sound.windows(bytes.len()).position(|window| window == bytes).map(|at| at..at + bytes.len());
        members.iter().any(|(_, array)| of(&array[128..]).is_some_and(|range| range.contains(at)))
    };
    let places: Vec<usize> = (0..sound.len()).filter(is_content).collect();
    assert_eq!(places.len(), 160 + 80);
    for at in places {
        let mut flipped = sound.clone();
        flipped[at] ^= 4;
        let found = error(&files.put("flipped.npz", flipped));
        assert!(is_damage(&found) && found.fact("detail").unwrap().contains("checksum"), "{at}: {found:?}");
    }
    // A changed byte of a compressed array is found by its checksum.
    let sound = npz(&members, Packed::Deflated);
    let data = 30 + 5 + 20;
    for at in data..data + 40 {
        let mut flipped = sound.clone();
        flipped[at] ^= 4;
        assert!(is_damage(&error(&files.put("flipped.npz", flipped))), "{at}");
    }
    let mut encrypted = sound.clone();
    let entry = sound.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    encrypted[entry + 8] |= 1;
    assert!(error(&files.put("encrypted.npz", encrypted)).fact("detail").unwrap().contains("encrypted"));
    // A name is no path: nothing is written anywhere.
    let hostile = [("../../x", features(4, &values())), ("/y", labels(&[0; 10]))];
    let path = files.put("hostile.npz", npz(&hostile, Packed::Stored));
    super::read(&[format!("{path}:../../x,/y")], &nckit::archive::Request::default()).unwrap();
    // A bomb: a header that says as much as the directory, and few bytes that cannot become so many.
    let bomb = npz(&[("x", npy("<f4", &[1 << 40, 4], &[0; 64])), ("y", labels(&[0; 10]))], Packed::Deflated);
    assert!(is_damage(&error(&files.put("bomb.npz", bomb))));
}

#[test]
fn what_macos_packs_beside_arrays_is_passed_over() {
    let files = Files::new();
    let members =
        [("x", features(4, &values())), ("__MACOSX/._x", b"\0\x05\x16\x07".to_vec()), ("y", labels(&[0; 10]))];
    let path = files.put("x.npz", npz(&members, Packed::Stored));
    let archive = nckit::archive::Archive::open(std::slice::from_ref(&path), &nckit::archive::Request::default());
    let archive = archive.unwrap();
    assert!(archive.passed_text().unwrap().contains("__MACOSX/._x"), "{:?}", archive.passed_text());
    assert_eq!(super::chunks(&archive).unwrap()[0].codes.len(), 10);
    assert!(is_damage(&error(&format!("{path}:__MACOSX/._x,y"))));
}

#[test]
fn a_way_of_zip_that_is_not_read_is_named_with_the_array() {
    let files = Files::new();
    let mut bytes = npz(&[("x", features(4, &values())), ("y", labels(&[0; 10]))], Packed::Stored);
    let entry = bytes.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    bytes[entry + 10] = 12;
    let found = error(&files.put("b.npz", bytes));
    assert_eq!((found.fact("array"), found.fact("method")), (Some("x"), Some("12 (bzip2)")), "{found:?}");
    assert!(found.advice().unwrap().contains("savez_compressed") && !is_damage(&found), "{found:?}");
}
