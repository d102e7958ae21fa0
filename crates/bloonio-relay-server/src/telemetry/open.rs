//! Things that are open for a while: counted in a gauge from their making to their end, however they end.

/// One of them.
#[derive(Debug)]
#[must_use = "it is closed when it is dropped"]
pub struct Open(&'static str);

impl Open {
    /// Counts one more in `gauge`.
    pub fn new(gauge: &'static str) -> Self {
        metrics::gauge!(gauge).increment(1.0);
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!(self.0).decrement(1.0);
    }
}
