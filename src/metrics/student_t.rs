//! Student's t: how far a mean of few numbers may lie from the true one by chance.

/// How probable it is that chance alone takes `|t|` this far or farther, 0 to 1, with `freedom` degrees of freedom, more
/// than 0.
pub(crate) fn two_sided(t: f64, freedom: f64) -> f64 {
    let square = t * t;
    match () {
        () if square.is_infinite() => 0.0,
        () if square < freedom => 1.0 - incomplete_beta(square / (freedom + square), 0.5, freedom / 2.0),
        () => incomplete_beta(freedom / (freedom + square), freedom / 2.0, 0.5),
    }
}

/// The `t` below which a share `probability` of all values lies, for 0.5 ≤ `probability` < 1.
pub(crate) fn quantile(probability: f64, freedom: f64) -> f64 {
    let beyond = 2.0 * (1.0 - probability);
    let (mut low, mut high) = (0.0, 1.0);
    while two_sided(high, freedom) > beyond && high < 1e300 {
        high *= 2.0;
    }
    // Halving an interval of doubles ends after some sixty steps.
    loop {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            return middle;
        }
        if two_sided(middle, freedom) > beyond { low = middle } else { high = middle }
    }
}

/// `I_x(a, b)`, the regularised incomplete beta function, by its continued fraction (DLMF 8.17.22) with Lentz's recursion.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    // The fraction converges fast on one side of the mean.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let front = a * x.ln() + b * (-x).ln_1p() - a.ln() - (ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b));
    let away_from_zero = |value: f64| if value.abs() < f64::MIN_POSITIVE { f64::MIN_POSITIVE } else { value };
    let (mut c, mut d) = (1.0, away_from_zero(1.0 - (a + b) * x / (a + 1.0)).recip());
    let mut fraction = d;
    for m in 1..1000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut factor = 1.0;
        for term in [even, odd] {
            d = away_from_zero(1.0 + term * d).recip();
            c = away_from_zero(1.0 + term / c);
            factor = c * d;
            fraction *= factor;
        }
        if (factor - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    front.exp() * fraction
}

/// `ln Γ(x)` for `x > 0`, by Stirling's series (DLMF 5.11.1) from 10 on.
fn ln_gamma(x: f64) -> f64 {
    let mut shift = 0.0;
    let mut x = x;
    while x < 10.0 {
        shift += x.ln();
        x += 1.0;
    }
    let (inverse, square) = (1.0 / x, 1.0 / (x * x));
    let series = inverse
        * (1.0 / 12.0
            - square
                * (1.0 / 360.0
                    - square
                        * (1.0 / 1260.0
                            - square * (1.0 / 1680.0 - square * (1.0 / 1188.0 - square * 691.0 / 360_360.0)))));
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - shift
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From tables of the distribution; 1 and 2 degrees of freedom have closed forms.
    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (freedom, probability, t) in [
            (1.0, 0.975, 12.706_204_736_174_69),
            (2.0, 0.975, 4.302_652_729_749_46),
            (3.0, 0.975, 3.182_446_305_283_71),
            (5.0, 0.95, 2.015_048_373_333_02),
            (9.0, 0.975, 2.262_157_162_798_2),
            (31.0, 0.975, 2.039_513_446_396_41),
            (100.0, 0.975, 1.983_971_518_523_56),
            (999.0, 0.975, 1.962_341_461_133_449),
            (100_000.0, 0.975, 1.959_987_707_534_61),
        ] {
            let found = quantile(probability, freedom);
            assert!((found / t - 1.0).abs() < 1e-9, "{freedom}: {found} {t}");
        }
    }

    #[test]
    fn probabilities_have_closed_forms_for_few_degrees() {
        for t in [1e-9_f64, 0.3, 1.0, 2.5, 40.0, 1e6] {
            let one = 1.0 - 2.0 / std::f64::consts::PI * t.atan();
            let two = 1.0 - t / (2.0 + t * t).sqrt();
            assert!((two_sided(t, 1.0) - one).abs() < 1e-12, "{t}");
            assert!((two_sided(-t, 2.0) - two).abs() < 1e-12, "{t}");
        }
        assert!((two_sided(0.0, 7.0) - 1.0).abs() < 1e-15);
        assert!(two_sided(f64::INFINITY, 7.0) == 0.0);
        assert!((quantile(0.5, 3.0)).abs() < 1e-12);
    }
}
