//! A signer of HTTP messages (RFC 9421) that knows the standard and nothing of the relay's reader, so that it can sign
//! what the protocol does not want, too.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bloonio_wire::header::{CONTENT_DIGEST, MESSAGE_SIGNATURE, MESSAGE_SIGNATURE_INPUT, TENANT_ID};
use sha2::{Digest, Sha256};

use super::{Signed, TestTenant};

/// A signature to be made; every part can be chosen.
#[derive(Clone)]
pub struct Message {
    /// What is covered, in order.
    pub components: Vec<&'static str>,
    /// Names and written values of the parameters, in order.
    pub parameters: Vec<(&'static str, String)>,
    /// The label.
    pub label: &'static str,
}

impl Message {
    /// As the protocol wants it, for `call` of `tenant`, created when the relay's clock says.
    pub fn of(tenant: &TestTenant<'_>, call: &Signed) -> Self {
        let created = tenant.relay.fresh_millis() / 1000;
        let nonce = format!("{:032x}", tenant.relay.fresh_millis());
        let mut components = vec!["@method", "@path", "@query", TENANT_ID];
        components.extend((!call.body.is_empty()).then_some(CONTENT_DIGEST));
        let quoted = |text: &str| format!("\"{text}\"");
        let parameters = vec![
            ("created", created.to_string()),
            ("nonce", quoted(&nonce)),
            ("keyid", quoted(&tenant.tenant_id)),
            ("alg", quoted("hmac-sha256")),
            ("tag", quoted("bloonio-relay")),
        ];
        Self { components, parameters, label: "bloonio" }
    }

    /// With another written value of a parameter.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        let found = self.parameters.iter_mut().find(|(known, _)| *known == name).expect("parameter");
        found.1 = value.into();
        self
    }

    /// Without a parameter.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.parameters.retain(|(known, _)| *known != name);
        self
    }

    /// Covering this instead.
    #[must_use]
    pub fn over(mut self, components: &[&'static str]) -> Self {
        self.components = components.to_vec();
        self
    }

    /// Adds the signature to `call`, and the digest of its body.
    pub fn put_on(&self, tenant: &TestTenant<'_>, call: &Signed) -> Signed {
        let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(&call.body)));
        let names: Vec<_> = self.components.iter().map(|name| format!("\"{name}\"")).collect();
        let parameters: String = self.parameters.iter().map(|(name, value)| format!(";{name}={value}")).collect();
        let parameters = format!("({}){parameters}", names.join(" "));
        let mut base = String::new();
        for name in &self.components {
            let (path, query) = call.path.split_once('?').unwrap_or((&call.path, ""));
            let value = match *name {
                "@method" => call.method.to_owned(),
                "@path" => path.to_owned(),
                "@query" => format!("?{query}"),
                CONTENT_DIGEST => digest.clone(),
                header => call.header(header).to_owned(),
            };
            base.push_str(&format!("\"{name}\": {value}\n"));
        }
        base.push_str(&format!("\"@signature-params\": {parameters}"));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, tenant.secret.as_bytes()), base.as_bytes());
        let mut signed = call.clone();
        signed.headers.push((MESSAGE_SIGNATURE_INPUT, format!("{}={parameters}", self.label)));
        signed.headers.push((MESSAGE_SIGNATURE, format!("{}=:{}:", self.label, STANDARD.encode(tag))));
        signed.headers.extend((!call.body.is_empty()).then_some((CONTENT_DIGEST, digest)));
        signed
    }
}

impl TestTenant<'_> {
    /// Signs a call under /api/v1 in both ways.
    pub fn sign_both(&self, method: &'static str, path: &str, body: &[u8]) -> Signed {
        let call = self.sign(method, path, body);
        Message::of(self, &call).put_on(self, &call)
    }
}
