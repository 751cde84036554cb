//! Medians, percentiles and spreads of samples.

/// The value below which this share of the samples lies; the middle of two neighbours is not made up.
pub(crate) fn quantile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a list that fits the memory"
    )]
    let index = (last as f64 * share).round() as usize;
    sorted[index.min(last)]
}

pub(crate) fn median(samples: &[f64]) -> f64 {
    quantile(samples, 0.5)
}

/// Median, lowest and highest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Spread {
    pub(crate) fn of(samples: &[f64]) -> Self {
        Self { median: median(samples), low: quantile(samples, 0.0), high: quantile(samples, 1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_what_was_measured() {
        let spread = Spread::of(&[3.0, 1.0, 2.0, 10.0, 4.0]);
        assert_eq!(spread, Spread { median: 3.0, low: 1.0, high: 10.0 });
        assert!((quantile(&[1.0, 2.0, 3.0], 0.95) - 3.0).abs() < f64::EPSILON);
        assert!(median(&[]).is_nan());
    }
}
