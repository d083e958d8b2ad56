use std::collections::HashSet;

use super::*;
use crate::error::ErrorKind;

fn read(pattern: &str, path: &str) -> Result<Option<BTreeMap<String, String>>> {
    let captures = Captures::of_path(pattern, 0)?.expect("a pattern with keys");
    Ok(captures.read(path, &BTreeMap::new())?.map(|captured| captured.keys))
}

/// The values, in the order of their keys; what does not fit is `-`.
fn values(pattern: &str, path: &str) -> String {
    match read(pattern, path) {
        Ok(Some(keys)) => keys.into_values().collect::<Vec<_>>().join(" "),
        Ok(None) => "-".to_owned(),
        Err(error) => error.message().to_owned(),
    }
}

#[test]
fn keys_are_read_as_they_are_written() {
    for (pattern, path, expected) in [
        ("feats/{run}/epoch_{epoch}/{layer}.npy", "feats/a/epoch_003/h.3.npy", "003 h.3 a"),
        ("/d/{a}.npy", "/d/x.npy", "x"),
        ("./d//{a}.npy", "d/x.npy", "x"),
        ("d/{a}.npy", "./d/x.npy", "x"),
        ("../{a}", "../x", "x"),
        ("{a}.npy", ".npy", "-"),
        ("{a}.npy", "x/y.npy", "-"),
        ("{a}.npy", "é\u{301}.npy", "é\u{301}"),
        ("**/{a}.npy", "x.npy", "x"),
        ("**/{a}.npy", "p/q/x.npy", "x"),
        ("p/**/q/{a}", "p/r/s/q/x", "x"),
        ("p/**/q/{a}", "p/q/x", "x"),
        ("p/{a}/**", "p/x", "x"),
        ("*/{a}.npy", "p/x.npy", "x"),
        ("?[xy]{a}[!x]", "pyqz", "q"),
        ("[]]{a}", "]q", "q"),
        ("{a}/{a}.npy", "x/x.npy", "x"),
        ("{a}/{a}.npy", "x/y.npy", "-"),
        ("{a}/{a}.npy", "007/7.npy", "-"),
        ("{a}/{a:01}.npy", "007/7.npy", "007"),
        ("{a:03}/{a:01}.npy", "007/8.npy", "-"),
        ("{e:03}.npy", "003.npy", "003"),
        ("{e:03d}.npy", "1000.npy", "1000"),
        ("{e:03}.npy", "0003.npy", "-"),
        ("{e:03}.npy", "3.npy", "-"),
        ("{e:03}.npy", "abc.npy", "-"),
        ("{e:03}.npy", "+12.npy", "-"),
        ("{e:03}.npy", "-12.npy", "-12"),
        ("e{e:01}_{layer}.npy", "e10_h_3.npy", "10 h_3"),
    ] {
        assert_eq!(values(pattern, path), expected, "{pattern} of {path}");
    }
}

#[test]
fn two_readings_are_refused() {
    let two = "the keys of a name can be read in two ways";
    for (pattern, path, expected) in [
        ("{a}_{b}", "x_y", "x y"),
        ("{a}_{b}", "x_y_z", two),
        ("{a}_{b}", "_x_", "-"),
        ("{a}_{b}", "__x", "_ x"),
        ("*{a}", "x", "x"),
        ("*{a}", "xy", two),
        ("*_{a}", "p_x", "x"),
        ("*_{a}", "p_q_x", two),
        // Only stars can be read in two ways: the values are the same.
        ("{a}.*_*", "x.p_q_r", "x"),
        ("**/{a}/**/x", "p/q/x", two),
        ("**/{a}/**/x", "p/x", "p"),
        // The key that occurs twice decides.
        ("{a}_{a}", "x_y_x_y", "x_y"),
        ("{a}/{b}_{a}", "z/x_y_z", "z x_y"),
    ] {
        assert_eq!(values(pattern, path), expected, "{pattern} of {path}");
    }
    let error = read("{a}_{b}", "x_y_z").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert_eq!(error.fact("readings"), Some("a=x b=y_z, or a=x_y b=z"));
    assert!(error.advice().unwrap().contains("{key:01}"));
    // Many stars and long names take no time, whether a name fits or not.
    let long = format!("x{}", "_".repeat(250));
    assert_eq!(values("{a}_*_*_*_*_*_*_*_*", &long), two);
    assert_eq!(values("{a}x*_*_*_*_*_*_*_*z", &long), "-");
    assert_eq!(values("x*_*_*_*_*_*_*_*.{a}", &format!("{long}.y")), "y");
}

#[test]
fn braces_hold_one_name() {
    for pattern in ["{a,b}.npy", "{1..3}.npy", "{a..z}", "{a b}", "{1}", "{a/b}", "{=}", "{*}"] {
        let error = Captures::of_path(pattern, 0).unwrap_err();
        assert!(error.kind() == ErrorKind::Usage && error.message().contains("one key"), "{pattern}: {error}");
    }
    for pattern in ["{}", "{a:3}", "{a:x}", "{a}{", "{a}[x"] {
        assert_eq!(Captures::of_path(pattern, 0).unwrap_err().kind(), ErrorKind::Usage, "{pattern}");
    }
    for pattern in ["{a}{b}", "x{a:03}{b}"] {
        assert!(Captures::of_path(pattern, 0).unwrap_err().message().contains("nothing parts"), "{pattern}");
    }
    assert!(Captures::of_path("a/b}.npy", 0).unwrap().is_none());
    // What exists with braces in its name is a name.
    assert!(Captures::of_path("{a}/*.npy", 3).unwrap().is_none());
    let captures = Captures::of_path("{a}/{b}.npy", 3).unwrap().unwrap();
    assert_eq!(captures.glob(), "{a}/?*.npy");
    assert_eq!(captures.read("{a}/x.npy", &BTreeMap::new()).unwrap().unwrap().keys["b"], "x");
    assert_eq!(captures.read("y/x.npy", &BTreeMap::new()).unwrap(), None);
}

#[test]
fn every_path_that_fits_matches_the_glob() {
    for (pattern, glob) in [
        ("a/{b}.npy", "a/?*.npy"),
        ("/a//./{b}_{c:03}.npy", "/a/?*_?*.npy"),
        ("**/{b}*", "**/?*"),
        ("*{b}*x", "*?*x"),
        ("x/{b}/**", "x/?*/**"),
    ] {
        assert_eq!(Captures::of_path(pattern, 0).unwrap().unwrap().glob(), glob, "{pattern}");
    }
}

#[test]
fn shapes_have_keys_in_place_of_values() {
    let captures = Captures::of_path("/d/{run}/e_{epoch:03}.npy", 0).unwrap().unwrap();
    let captured = captures.read("/d/a/e_007.npy", &BTreeMap::new()).unwrap().unwrap();
    assert_eq!(captured.shape, ["d", "{run}", "e_{epoch}.npy"]);
}

#[test]
fn names_of_arrays_have_no_stars_and_know_the_keys_of_the_path() {
    let captures = Captures::of_name("{layer}*_{epoch}").unwrap();
    let known = BTreeMap::from([("epoch".to_owned(), "3".to_owned())]);
    let read = |name: &str| captures.read(name, &known).unwrap().map(|captured| captured.keys["layer"].clone());
    assert_eq!(read("h.1*_3").as_deref(), Some("h.1"));
    assert_eq!(read("h.1_3"), None);
    assert_eq!(read("h.1*_4"), None);
    assert_eq!(read("a/b*_3"), None);
}

/// A small generator of numbers, so that every run sees the same ones.
fn numbers(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    }
}

/// All readings of a text, by trying every length of every piece.
fn all_readings(
    tokens: &[&str],
    text: &str,
    known: &BTreeMap<String, String>,
    all: &mut HashSet<BTreeMap<String, String>>,
) {
    let Some((token, rest)) = tokens.split_first() else {
        if text.is_empty() {
            all.insert(known.clone());
        }
        return;
    };
    for end in (0..=text.len()).filter(|&end| text.is_char_boundary(end)) {
        let (piece, left) = text.split_at(end);
        let inner = !piece.contains('/');
        match *token {
            "*" if inner => all_readings(rest, left, known, all),
            "?" if inner && piece.chars().count() == 1 => all_readings(rest, left, known, all),
            "**/" if piece.is_empty() || piece.ends_with('/') => all_readings(rest, left, known, all),
            "{a}" | "{b}" if inner && !piece.is_empty() => {
                let mut values = known.clone();
                if values.insert(token[1..2].to_owned(), piece.to_owned()).is_none_or(|before| before == piece) {
                    all_readings(rest, left, &values, all);
                }
            }
            literal if piece == literal => all_readings(rest, left, known, all),
            _ => {}
        }
    }
}

#[test]
fn readings_are_those_that_there_are_and_filling_gives_the_values_back() {
    let mut random = numbers(17);
    let (mut fitting, mut refused, mut strange) = (0, 0, 0);
    for _ in 0..30_000 {
        let mut tokens: Vec<&str> = Vec::new();
        for at in 0..=random(5) {
            let choice = ["{a}", "{b}", "_", "x", "/", "*", "?", "é"][random(8)];
            let last = tokens.last().copied().unwrap_or("/");
            let doubled = (choice == "/" && last.ends_with('/')) || (choice.starts_with('{') && last.starts_with('{'));
            let doubled = doubled || (choice == "*" && last == "*");
            if !doubled {
                tokens.push(if at == 0 && random(8) == 0 { "**/" } else { choice });
            }
        }
        if tokens.last() == Some(&"/") || !tokens.iter().any(|token| token.starts_with('{')) {
            continue;
        }
        let pattern: String = tokens.concat();
        let mut value = || (0..=random(2)).map(|_| ['x', '_', 'é', 'y'][random(4)]).collect::<String>();
        let values = BTreeMap::from([("a".to_owned(), value()), ("b".to_owned(), value())]);
        let filler = |token: &&str| match *token {
            "{a}" => values["a"].clone(),
            "{b}" => values["b"].clone(),
            "*" => "__".to_owned(),
            "?" => "x".to_owned(),
            "**/" => "p/q/".to_owned(),
            text => text.to_owned(),
        };
        let is_filled = random(4) > 0;
        let path: String = if is_filled {
            tokens.iter().map(filler).collect()
        } else {
            (0..=random(5)).map(|_| ['x', '_', 'é', 'y'][random(4)]).collect()
        };
        let mut expected = HashSet::new();
        all_readings(&tokens, &path, &BTreeMap::new(), &mut expected);
        let mentioned = |key: &&String| pattern.contains(&format!("{{{key}}}"));
        let filled = values.iter().filter(|(key, _)| mentioned(key)).map(|(key, value)| (key.clone(), value.clone()));
        assert!(!is_filled || expected.contains(&filled.collect::<BTreeMap<_, _>>()), "{pattern} of {path}");
        let found = read(&pattern, &path);
        match expected.len() {
            0 => {
                assert_eq!(found.unwrap(), None, "{pattern} of {path}");
                strange += 1;
            }
            1 => {
                assert_eq!(found.unwrap(), expected.into_iter().next(), "{pattern} of {path}");
                fitting += 1;
            }
            _ => {
                assert_eq!(found.unwrap_err().kind(), ErrorKind::Usage, "{pattern} of {path}");
                refused += 1;
            }
        }
    }
    assert!(fitting > 3000 && refused > 1000 && strange > 1000, "{fitting} {refused} {strange}");
}
