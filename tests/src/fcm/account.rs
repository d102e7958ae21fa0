//! A Google account of a service, as an operator downloads it: a project, a key, and a file with both.

use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

/// One account. Its private key exists in the file alone.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) project: String,
    pub(super) email: String,
    pub(super) key_id: String,
    pub(super) file: PathBuf,
    pub(super) disabled: bool,
    public_key: Vec<u8>,
}

impl Account {
    /// Makes an account and writes its file into `folder`.
    pub(super) fn create(folder: &Path, project: &str, token_uri: &str) -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("an RSA key");
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().expect("PKCS #8");
        let email = format!("relay@{project}.iam.gserviceaccount.com");
        let key_id = hex::encode(&sha2_of(pair.public_key().as_ref())[..20]);
        let content = json!({
            "type": "service_account",
            "project_id": project,
            "private_key_id": key_id,
            "private_key": pem(pkcs8.as_ref()),
            "client_email": email,
            "client_id": "100000000000000000001",
            "token_uri": token_uri,
            "universe_domain": "googleapis.com",
        });
        let file = folder.join(format!("{project}.json"));
        std::fs::write(&file, content.to_string()).expect("writes the account's file");
        let public_key = pair.public_key().as_ref().to_vec();
        Self { project: project.to_owned(), email, key_id, file, disabled: false, public_key }
    }

    /// Whether `signature` is this account's, RS256, over `text`.
    pub(super) fn has_signed(&self, text: &str, signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public_key);
        key.verify(text.as_bytes(), signature).is_ok()
    }
}

fn sha2_of(bytes: &[u8]) -> Vec<u8> {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).to_vec()
}

fn pem(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<&str> =
        base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64")).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}
