//! Pairing addresses: what a QR code shows and a device reads (PROTOCOL 4), and its picture.

#[cfg(feature = "qr-image")]
mod image;

use url::Url;

use crate::secret::Secret;

#[cfg(feature = "qr-image")]
pub use image::{PictureError, png, svg, terminal};

/// A text that is not a pairing address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a bloonio://pair address with relay and proof")]
pub struct PairingUriError;

/// `bloonio://pair?relay=<base url>&proof=<pairing proof>`
#[derive(Debug, Clone)]
pub struct PairingUri {
    /// Base URL of the relay, http or https.
    pub relay: Url,
    /// The single-use proof.
    pub proof: Secret,
}

impl PairingUri {
    /// Reads a pairing address.
    ///
    /// # Errors
    /// [`PairingUriError`], also for a relay that is neither http nor https, or a parameter given twice.
    pub fn parse(text: &str) -> Result<Self, PairingUriError> {
        let uri = Url::parse(text.trim()).map_err(|_| PairingUriError)?;
        if uri.scheme() != "bloonio" || uri.host_str() != Some("pair") {
            return Err(PairingUriError);
        }
        let only = |name: &str| {
            let mut values = uri.query_pairs().filter(|(key, _)| key == name).map(|(_, value)| value.into_owned());
            values.next().filter(|value| !value.is_empty() && values.next().is_none()).ok_or(PairingUriError)
        };
        let relay = Url::parse(&only("relay")?).map_err(|_| PairingUriError)?;
        if !matches!(relay.scheme(), "http" | "https") || relay.host_str().is_none() {
            return Err(PairingUriError);
        }
        Ok(Self { relay, proof: Secret::new(only("proof")?) })
    }

    /// The address as text. It holds the proof: show it, do not log it.
    pub fn to_text(&self) -> String {
        let relay = self.relay.as_str().trim_end_matches('/');
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("relay", relay).append_pair("proof", self.proof.expose());
        format!("bloonio://pair?{}", query.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn addresses_survive_the_round_trip() {
        let uri = PairingUri { relay: Url::parse("http://127.0.0.1:8700/").unwrap(), proof: Secret::new("a.b&c=d e") };
        let text = uri.to_text();
        assert!(text.starts_with("bloonio://pair?relay=http%3A%2F%2F127.0.0.1%3A8700&proof="), "{text}");
        let read = PairingUri::parse(&text).unwrap();
        assert_eq!(read.relay, uri.relay);
        assert_eq!(read.proof.expose(), "a.b&c=d e");
    }

    #[rstest]
    #[case("")]
    #[case("https://pair?relay=http%3A%2F%2Fx&proof=p")]
    #[case("bloonio://qr-login?relay=http%3A%2F%2Fx&proof=p")]
    #[case("bloonio://pair?relay=http%3A%2F%2Fx")]
    #[case("bloonio://pair?proof=p")]
    #[case("bloonio://pair?relay=http%3A%2F%2Fx&proof=")]
    #[case("bloonio://pair?relay=file%3A%2F%2F%2Fetc&proof=p")]
    #[case("bloonio://pair?relay=http%3A%2F%2Fx&proof=p&proof=q")]
    fn other_texts_are_refused(#[case] text: &str) {
        assert!(PairingUri::parse(text).is_err());
    }
}
