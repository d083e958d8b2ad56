//! Features and labels as tensors.

use nckit::archive::{Request, is_damage};
use nckit::batch::Label;
use safetensors::Dtype;

use super::write::{elements, safetensors};
use super::{Files, error, read, rows};

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

#[test]
fn tensors_of_every_type_are_the_numbers_that_were_saved() {
    let files = Files::new();
    let values = small();
    for (dtype, descr) in [
        (Dtype::F16, "<f2"),
        (Dtype::BF16, "<V2"),
        (Dtype::F32, "<f4"),
        (Dtype::F64, "<f8"),
        (Dtype::I8, "|i1"),
        (Dtype::U8, "|u1"),
    ] {
        for (label_dtype, label_descr) in
            [(Dtype::I64, "<i8"), (Dtype::U8, "|u1"), (Dtype::I32, "<i4"), (Dtype::F32, "<f4")]
        {
            let tensors = [
                ("features", dtype, &[7, DIM][..], elements(descr, &values)),
                ("labels", label_dtype, &[7], elements(label_descr, &classes())),
                ("scale", Dtype::F32, &[], elements("<f4", &[1.0])),
            ];
            let path = files.put("x.safetensors", safetensors(&tensors));
            assert_eq!(
                rows(&read(&[path], &Request::default()).unwrap()),
                (values.clone(), expected()),
                "{descr} {label_descr}"
            );
        }
    }
    let tensors = [
        ("train.x", Dtype::F32, &[7, DIM][..], elements("<f4", &values)),
        ("train.y", Dtype::I64, &[7], elements("<i8", &classes())),
        ("test.x", Dtype::F32, &[2, DIM], elements("<f4", &values[..2 * DIM])),
        ("test.y", Dtype::I64, &[2], elements("<i8", &classes()[..2])),
    ];
    let path = files.put("split.safetensors", safetensors(&tensors));
    let found = rows(&read(&[format!("{path}:train.x,train.y")], &Request::default()).unwrap());
    assert_eq!(found, (values, expected()));
    assert_eq!(rows(&read(&[format!("{path}:test.x,test.y")], &Request::default()).unwrap()).1.len(), 2);
    assert!(error(&path).advice().unwrap().contains("split.safetensors:FEATURES,LABELS"));
}

#[test]
fn a_third_dimension_is_that_of_layers() {
    let files = Files::new();
    let layers: Vec<f64> =
        (0..4).flat_map(|layer| small().into_iter().map(move |value| value + f64::from(layer))).collect();
    let tensors = [
        ("hidden_states", Dtype::F16, &[4, 7, DIM][..], elements("<f2", &layers)),
        ("label", Dtype::U8, &[7], elements("|u1", &classes())),
    ];
    let path = files.put("x.safetensors", safetensors(&tensors));
    let all = read(std::slice::from_ref(&path), &Request::default()).unwrap();
    assert_eq!(rows(&all), (layers.clone(), [expected(), expected(), expected(), expected()].concat()));
    let request = Request { group_by: vec!["layer".to_owned()], ..Request::default() };
    let grouped = read(std::slice::from_ref(&path), &request).unwrap();
    let keys: Vec<Vec<Label>> =
        grouped.iter().flat_map(|chunk| chunk.parts.iter().map(|part| part.key.clone())).collect();
    assert_eq!(keys, (0..4).map(|layer| vec![Label::Int(layer)]).collect::<Vec<_>>());
    let one = Request { filters: vec![("layer".to_owned(), "2".to_owned())], ..Request::default() };
    assert_eq!(rows(&read(&[path], &one).unwrap()).0, small().iter().map(|value| value + 2.0).collect::<Vec<_>>());
}

#[test]
fn headers_that_lie_are_damage_and_ask_for_no_memory() {
    let files = Files::new();
    let tensors = [
        ("x", Dtype::F32, &[7, DIM][..], elements("<f4", &small())),
        ("y", Dtype::I64, &[7], elements("<i8", &classes())),
    ];
    let sound = safetensors(&tensors);
    for length in 0..sound.len() {
        assert!(is_damage(&error(&files.put("x.safetensors", &sound[..length]))), "{length}");
    }
    let with_header = |header: &str| {
        let padded = format!("{header:<200}");
        [&200_u64.to_le_bytes()[..], padded.as_bytes(), &[0; 84]].concat()
    };
    let tensor = |shape: &str, end: &str| {
        with_header(&format!("{{\"x\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[0,{end}]}}}}"))
    };
    for bytes in [
        [&(1_u64 << 63).to_le_bytes()[..], &sound[8..]].concat(),
        [&99_999_999_u64.to_le_bytes()[..], &sound[8..]].concat(),
        tensor("[7,4]", "84"),
        tensor("[4611686018427387904,4611686018427387904]", "84"),
        tensor("[7,3]", "18446744073709551615"),
        tensor("[-7,3]", "84"),
        with_header("{\"x\":{\"dtype\":\"F32\",\"shape\":[7,3],\"data_offsets\":[4,88]}}"),
        with_header("{\"x\":[]}"),
        with_header("{"),
    ] {
        assert!(is_damage(&error(&files.put("x.safetensors", bytes))));
    }
}
