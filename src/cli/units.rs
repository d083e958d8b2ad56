//! Sizes and durations as people type them.

/// Parses `8GiB`, `500MB` or `1073741824` as bytes.
pub(super) fn parse_size(text: &str) -> std::result::Result<u64, String> {
    const UNITS: [(&str, u64); 9] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("B", 1),
    ];
    let (number, unit) = UNITS
        .iter()
        .find_map(|(suffix, unit)| text.strip_suffix(suffix).map(|number| (number, *unit)))
        .unwrap_or((text, 1));
    let number: f64 = number.trim().parse().map_err(|_| "expected a number and a unit, such as 8GiB".to_owned())?;
    let size = number * unit as f64;
    if size >= 1.0 && size < 2f64.powi(63) { Ok(size as u64) } else { Err("out of range".to_owned()) }
}

/// Parses `90s`, `5m`, `1.5h` or `200ms`.
pub(super) fn parse_duration(text: &str) -> std::result::Result<std::time::Duration, String> {
    const UNITS: [(&str, f64); 4] = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let parsed = UNITS.iter().find_map(|(suffix, unit)| {
        let number: f64 = text.strip_suffix(suffix)?.trim().parse().ok()?;
        std::time::Duration::try_from_secs_f64(number * unit).ok()
    });
    parsed.ok_or_else(|| "expected a number and a unit, such as 90s, 5m or 1h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("8GiB"), Ok(8 << 30));
        assert_eq!(parse_size("1.5 MB"), Ok(1_500_000));
        assert_eq!(parse_size("4096"), Ok(4096));
        assert!(parse_size("many").is_err() && parse_size("-1GiB").is_err() && parse_size("0").is_err());
    }

    #[test]
    fn times_have_units() {
        use std::time::Duration;
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("1.5h"), Ok(Duration::from_mins(90)));
        assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
        assert_eq!(parse_duration("20ms"), Ok(Duration::from_millis(20)));
        assert!(["60", "-1s", "s", "nans"].iter().all(|text| parse_duration(text).is_err()));
    }
}
