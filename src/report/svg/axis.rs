//! Axes: from numbers to pixels, and where the ticks are.

/// How numbers lie on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    Linear,
    Logarithmic,
    /// The logarithm of 1 + x, for counts that begin at 0.
    LogarithmicFromZero,
}

/// An axis of finite numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) scale: Scale,
    low: f64,
    high: f64,
    /// The pixels of both ends.
    from: f64,
    to: f64,
}

impl Axis {
    /// An axis for values: logarithmic if they are positive and span a factor of 30.
    pub(super) fn of_values(values: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Self {
        let (low, high) = bounds(values);
        if low > 0.0 && high >= 30.0 * low {
            let margin = (high / low).powf(0.04);
            return Self { scale: Scale::Logarithmic, low: low / margin, high: high * margin, from, to };
        }
        // Bars and lines near 0 are read against it.
        let low = if low > 0.0 && low <= 0.5 * high { 0.0 } else { low };
        let margin = if high > low { 0.04 * (high - low) } else { 0.5 * high.abs().max(1e-9) };
        let low_margin = if low == 0.0 { 0.0 } else { margin };
        Self { scale: Scale::Linear, low: low - low_margin, high: high + margin, from, to }
    }

    /// An axis for steps, as epochs: logarithmic if the last is far beyond the middle one.
    pub(super) fn of_steps(steps: &[f64], from: f64, to: f64) -> Self {
        let (low, high) = bounds(steps.iter().copied());
        let mut sorted = steps.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted.dedup();
        let middle = sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(low);
        let uneven = low >= 0.0 && sorted.len() > 3 && middle - low < 0.15 * (high - low);
        let scale = if uneven { Scale::LogarithmicFromZero } else { Scale::Linear };
        let (low, high) = if high > low { (low, high) } else { (low - 0.5, high + 0.5) };
        Self { scale, low, high, from, to }
    }

    /// An axis from one number to another.
    pub(super) fn between(low: f64, high: f64, from: f64, to: f64) -> Self {
        Self { scale: Scale::Linear, low, high, from, to }
    }

    /// The pixel of a number.
    pub(super) fn at(&self, value: f64) -> f64 {
        let scaled = |value: f64| match self.scale {
            Scale::Linear => value,
            Scale::Logarithmic => value.ln(),
            Scale::LogarithmicFromZero => value.ln_1p(),
        };
        let (low, high) = (scaled(self.low), scaled(self.high));
        self.from + (scaled(value) - low) / (high - low) * (self.to - self.from)
    }

    /// Whether a number can be drawn.
    pub(super) fn holds(&self, value: f64) -> bool {
        value.is_finite() && self.low <= value && value <= self.high
    }

    /// Round numbers on the axis, about as many as `most`.
    pub(super) fn ticks(&self, most: usize) -> Vec<f64> {
        match self.scale {
            Scale::Linear => self.even_ticks(most),
            Scale::Logarithmic | Scale::LogarithmicFromZero => self.powers(most),
        }
    }

    fn even_ticks(&self, most: usize) -> Vec<f64> {
        let rough = (self.high - self.low) / most as f64;
        let step = round_step(rough);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        // As a quotient a tick has no more digits than it needs.
        let tick = |at: i64| if step < 1.0 { at as f64 / (1.0 / step).round() } else { at as f64 * step };
        if last - first > 2 * most as i64 { Vec::new() } else { (first..=last).map(tick).collect() }
    }

    fn powers(&self, most: usize) -> Vec<f64> {
        let least = if self.low > 0.0 { self.low.log10().ceil() as i32 } else { 0 };
        let powers = least..=self.high.log10().floor() as i32;
        let count = powers.clone().count().max(1);
        let every = count.div_ceil(most.max(1));
        let digits: &[f64] = if count <= 2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let start = least - i32::from(digits.len() > 1);
        let mut ticks: Vec<f64> = (start..=*powers.end())
            .filter(|power| (power - least).rem_euclid(every as i32) == 0)
            .flat_map(|power| digits.iter().map(move |digit| power_of_ten(power) * digit))
            .filter(|&tick| self.holds(tick))
            .collect();
        if self.scale == Scale::LogarithmicFromZero && self.low == 0.0 {
            ticks.insert(0, 0.0);
        }
        ticks
    }
}

/// The least of 1, 2 and 5 times a power of ten that is as large.
pub(super) fn round_step(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|digit| digit * power).find(|&step| step >= rough).unwrap_or(rough)
}

/// A power of ten as it is written.
fn power_of_ten(power: i32) -> f64 {
    if power < 0 { 1.0 / 10_f64.powi(-power) } else { 10_f64.powi(power) }
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|value| value.is_finite());
    finite.map(|value| (value, value)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).unwrap_or((0.0, 1.0))
}

/// A tick in a few characters.
pub(super) fn label(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e6).contains(&size) { format!("{value:e}") } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Axis {
        Axis::of_values(values.iter().copied(), 0.0, 100.0)
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(of(&[0.0, 1.0]).ticks(5), [0.0, 0.5, 1.0]);
        assert_eq!(of(&[0.3, 0.7]).ticks(5), [0.0, 0.2, 0.4, 0.6]);
        assert_eq!(of(&[0.001, 2.0]).ticks(5), [0.001, 0.01, 0.1, 1.0]);
        assert_eq!(Axis::of_steps(&[0.0, 10.0, 20.0, 30.0], 0.0, 1.0).ticks(4), [0.0, 10.0, 20.0, 30.0]);
        let uneven = Axis::of_steps(&[0.0, 9.0, 53.0, 300.0, 4000.0], 0.0, 1.0);
        assert_eq!((uneven.scale, uneven.ticks(8)), (Scale::LogarithmicFromZero, vec![0.0, 1.0, 10.0, 100.0, 1000.0]));
        assert_eq!(Axis::of_steps(&[1.0, 10.0, 50.0, 200.0], 0.0, 1.0).scale, Scale::LogarithmicFromZero);
        assert_eq!([label(1e-5), label(0.001), label(20.0), label(1e7)], ["1e-5", "0.001", "20", "1e7"]);
    }

    #[test]
    fn all_values_are_on_their_axis() {
        for values in [&[1.0, 1.0][..], &[0.0], &[-3.0, 5.0], &[1e-12, 1e12], &[1e-300, 2e-300], &[]] {
            let axis = of(values);
            for &value in values {
                assert!(axis.holds(value) && (-1e-9..=100.0 + 1e-9).contains(&axis.at(value)), "{values:?}");
            }
            assert!(axis.ticks(5).len() <= 11, "{values:?}");
            assert!(axis.ticks(5).iter().all(|&tick| axis.holds(tick)), "{values:?}");
        }
    }
}
