//! The service-account key file of `RELAY_FCM_CREDENTIALS` (PROTOCOL 10), read and checked at start.

use std::fmt;
use std::path::{Path, PathBuf};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value};
use url::{Host, Url};
use zeroize::Zeroizing;

/// Who the relay is to Google, and the key that proves it.
#[derive(Clone)]
pub struct Credentials {
    pub(super) project_id: String,
    pub(super) client_email: String,
    pub(super) private_key_id: String,
    pub(super) private_key: EncodingKey,
    pub(super) token_uri: Url,
}

/// A key file that cannot be used. No variant shows anything of the file but the name of a field.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file cannot be read.
    #[error("cannot read the service-account file {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no JSON object.
    #[error("the service-account file is not a JSON object")]
    NotAnObject,
    /// A field is absent or wrong.
    #[error("{field} in the service-account file {problem}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Credentials {
    /// Reads a service-account file.
    ///
    /// # Errors
    /// [`CredentialsError`], naming the first field that is wrong.
    pub fn from_file(path: &Path) -> Result<Self, CredentialsError> {
        let json =
            std::fs::read(path).map_err(|source| CredentialsError::Unreadable { path: path.to_owned(), source })?;
        Self::from_json(&Zeroizing::new(json))
    }

    /// Checks the content of a service-account file, and that its key really signs.
    ///
    /// # Errors
    /// [`CredentialsError`], naming the first field that is wrong.
    pub fn from_json(json: &[u8]) -> Result<Self, CredentialsError> {
        // The reason of the parser is dropped on purpose: it may quote the key.
        let mut file: Map<String, Value> = serde_json::from_slice(json).map_err(|_| CredentialsError::NotAnObject)?;
        // Taken out first, so that a mistake in another field leaves no copy of it behind.
        let private_key = text(&mut file, "private_key").map(Zeroizing::new);
        if text(&mut file, "type")? != "service_account" {
            return Err(wrong("type", "must be service_account"));
        }
        Ok(Self {
            project_id: project_id(text(&mut file, "project_id")?)?,
            client_email: client_email(text(&mut file, "client_email")?)?,
            private_key_id: text(&mut file, "private_key_id")?,
            token_uri: token_uri(&text(&mut file, "token_uri")?)?,
            private_key: signing_key(&private_key?)?,
        })
    }

    /// The Firebase project.
    pub fn project_id(&self) -> &str {
        &self.project_id
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("project_id", &self.project_id).finish_non_exhaustive()
    }
}

fn wrong(field: &'static str, problem: &'static str) -> CredentialsError {
    CredentialsError::Field { field, problem }
}

fn text(file: &mut Map<String, Value>, field: &'static str) -> Result<String, CredentialsError> {
    match file.remove(field) {
        None | Some(Value::Null) => Err(wrong(field, "is missing")),
        Some(Value::String(text)) if text.trim().is_empty() => Err(wrong(field, "is empty")),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(wrong(field, "must be a string")),
    }
}

/// It becomes a segment of the URL that messages are sent to. Old projects are named `example.com:project`.
fn project_id(text: String) -> Result<String, CredentialsError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b':');
    if text.len() <= 100 && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.bytes().all(plain) {
        Ok(text)
    } else {
        Err(wrong("project_id", "must be a project id: lower-case letters, digits and hyphens"))
    }
}

fn client_email(text: String) -> Result<String, CredentialsError> {
    match text.split_once('@') {
        Some((name, domain)) if !name.is_empty() && !domain.is_empty() => Ok(text),
        _ => Err(wrong("client_email", "must be an e-mail address")),
    }
}

/// Parsing alone lets through keys that the signer refuses later, so it signs once.
fn signing_key(pem: &str) -> Result<EncodingKey, CredentialsError> {
    let refused = || wrong("private_key", "must be an RSA key of at least 2048 bits in PEM");
    let key = EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(|_| refused())?;
    jsonwebtoken::encode(&Header::new(Algorithm::RS256), &Map::new(), &key).map_err(|_| refused())?;
    Ok(key)
}

fn token_uri(text: &str) -> Result<Url, CredentialsError> {
    Url::parse(text)
        .ok()
        .filter(is_confidential)
        .ok_or_else(|| wrong("token_uri", "must be an https URL, or http on a loopback host"))
}

/// Whether what is sent to this URL stays secret on its way: https, or this machine itself (PROTOCOL 10).
pub(super) fn is_confidential(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return false,
    };
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    plain && (url.scheme() == "https" || (url.scheme() == "http" && loopback))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use rstest::rstest;
    use serde_json::json;

    fn file() -> Value {
        json!({
            "type": "service_account",
            "project_id": "demo-project",
            "private_key_id": "key-1",
            "private_key": "no key",
            "client_email": "relay@demo-project.iam.gserviceaccount.com",
            "client_id": "1",
            "token_uri": "https://oauth2.googleapis.com/token",
        })
    }

    fn file_with_a_key() -> Value {
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = STANDARD.encode(key.as_der().unwrap().as_ref());
        let mut file = file();
        file["private_key"] = json!(format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n"));
        file
    }

    fn read(file: &Value) -> Result<Credentials, CredentialsError> {
        Credentials::from_json(file.to_string().as_bytes())
    }

    #[test]
    fn a_complete_file_is_taken_and_its_key_not_shown() {
        let credentials = read(&file_with_a_key()).unwrap();
        assert_eq!(credentials.project_id(), "demo-project");
        assert_eq!(format!("{credentials:?}"), r#"Credentials { project_id: "demo-project", .. }"#);
    }

    #[test]
    fn tokens_are_asked_for_over_tls_or_on_this_machine() {
        let mut file = file_with_a_key();
        for uri in [
            "https://example.com/token",
            "http://127.0.0.1:9000/token",
            "http://localhost:9000/token",
            "http://[::1]:9000/token",
        ] {
            file["token_uri"] = json!(uri);
            assert_eq!(read(&file).unwrap().token_uri.as_str(), uri);
        }
    }

    #[rstest]
    fn each_field_is_needed(
        #[values("type", "project_id", "private_key_id", "private_key", "client_email", "token_uri")] field: &str,
        #[values(None, Some(json!(null)), Some(json!("")), Some(json!(" ")), Some(json!(7)), Some(json!(["x"])))]
        value: Option<Value>,
    ) {
        let mut file = file();
        match value {
            None => drop(file.as_object_mut().unwrap().remove(field)),
            Some(value) => file[field] = value,
        }
        let error = read(&file).unwrap_err();
        assert!(matches!(error, CredentialsError::Field { field: named, .. } if named == field), "{error}");
    }

    #[rstest]
    #[case("type", "authorized_user")]
    #[case("project_id", "a/../b")]
    #[case("project_id", "Projekt Ä")]
    #[case("client_email", "nobody")]
    #[case("client_email", "@nowhere")]
    #[case("private_key", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")]
    #[case("private_key", "s3cret")]
    #[case("token_uri", "http://oauth2.googleapis.com/token")]
    #[case("token_uri", "http://127.0.0.1.example/token")]
    #[case("token_uri", "https://user@example.com/token")]
    #[case("token_uri", "file:///etc/passwd")]
    #[case("token_uri", "oauth2.googleapis.com")]
    fn a_wrong_field_is_named_and_not_shown(#[case] field: &str, #[case] value: &str) {
        let mut file = file();
        file[field] = json!(value);
        let error = read(&file).unwrap_err();
        assert!(matches!(error, CredentialsError::Field { field: named, .. } if named == field), "{error}");
        assert!(!error.to_string().contains(value) && !format!("{error:?}").contains(value), "{error:?}");
    }

    #[rstest]
    #[case::nothing("")]
    #[case::a_list("[]")]
    #[case::cut_off(r#"{"private_key": "s3cret"#)]
    #[case::bad_escape(r#"{"private_key": "s3cret\x"}"#)]
    fn what_is_no_object_is_refused_and_not_shown(#[case] text: &str) {
        let error = Credentials::from_json(text.as_bytes()).unwrap_err();
        assert!(matches!(error, CredentialsError::NotAnObject));
        assert!(!format!("{error:?} {error}").contains("s3cret"));
    }

    #[test]
    fn an_absent_file_is_named() {
        let error = Credentials::from_file(Path::new("/nowhere/key.json")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read the service-account file /nowhere/key.json");
    }
}
