//! A server that speaks TLS only.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::RedisServer;

/// A server behind TLS, and the authority that vouches for it.
#[derive(Debug)]
pub struct TlsServer {
    server: RedisServer,
}

impl TlsServer {
    /// Starts it for `localhost`, with more arguments.
    pub async fn start_with(more: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("redis-").tempdir().expect("temporary folder").keep();
        let path = |name: &str| folder.join(name).to_str().expect("a plain path").to_owned();
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(authority, key).expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &authority).expect("a certificate");
        for (name, text) in
            [("ca.pem", authority.pem()), ("server.pem", certificate.pem()), ("server.key", key.serialize_pem())]
        {
            std::fs::write(path(name), text).expect("a file");
        }
        let files = ["--tls-ca-cert-file", "--tls-cert-file", "--tls-key-file"].into_iter();
        let mut arguments: Vec<String> = files
            .zip(["ca.pem", "server.pem", "server.key"])
            .flat_map(|(name, file)| [name.to_owned(), path(file)])
            .collect();
        arguments.extend(["--tls-auth-clients", "no", "--bind", "127.0.0.1", "--save", ""].map(str::to_owned));
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        let at = |port: u16| ["--port", "0", "--tls-port", &port.to_string()].map(str::to_owned).to_vec();
        let more: Vec<_> = arguments.iter().map(String::as_str).collect();
        Self { server: RedisServer::start_in(folder.clone(), at, &more).await }
    }

    /// `rediss://USER:PASSWORD@…`
    pub fn url(&self, user: &str, password: &str) -> String {
        format!("rediss://{user}:{password}@localhost:{}", self.server.port)
    }

    /// The certificate of the authority, PEM.
    pub fn authority(&self) -> PathBuf {
        self.server.folder.join("ca.pem")
    }
}
