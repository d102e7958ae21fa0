//! Medians and spreads.

/// A sample's value at a share of it: 0.5 is the median.
pub fn quantile(sample: &mut [f64], share: f64) -> f64 {
    sample.sort_by(f64::total_cmp);
    let last = sample.len().saturating_sub(1) as f64;
    sample.get((last * share).round() as usize).copied().unwrap_or(f64::NAN)
}

/// `median [lowest to highest]`
pub fn spread(sample: &mut [f64]) -> String {
    let [low, middle, high] = [0.0, 0.5, 1.0].map(|share| quantile(sample, share));
    format!("{middle:.2} [{low:.2} to {high:.2}]")
}

/// Now, for measuring.
#[expect(clippy::disallowed_methods, reason = "a benchmark is about real time")]
pub fn now() -> std::time::Instant {
    std::time::Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_of_the_sample() {
        let mut sample = [3.0, 1.0, 2.0, 5.0, 4.0];
        assert_eq!([0.0, 0.5, 1.0].map(|share| quantile(&mut sample, share)), [1.0, 3.0, 5.0]);
        assert_eq!(spread(&mut sample), "3.00 [1.00 to 5.00]");
        assert!(quantile(&mut [], 0.5).is_nan());
    }
}
