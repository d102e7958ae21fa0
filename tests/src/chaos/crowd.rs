//! Tenants with their receivers, and their people with phones. People have the same names at every tenant.

use bloonio_wire::device::Platform;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::hook::Hook;
use super::plan::{PEOPLE, Question, RELAYS, TENANTS, has_both, has_stream};
use crate::handset::Handset;
use crate::operator;
use crate::tenant::TenantBackend;

/// Everybody.
#[derive(Debug)]
pub struct Crowd {
    /// The tenants.
    pub tenants: Vec<Tenant>,
    bases: Vec<String>,
    http: reqwest::Client,
}

/// A tenant.
#[derive(Debug)]
pub struct Tenant {
    /// `tnt_…`
    pub id: String,
    /// Its receiver.
    pub hook: Hook,
    /// Its people.
    pub people: Vec<Person>,
    /// Its backend, at each relay.
    at: Vec<TenantBackend>,
}

/// Somebody who is asked.
#[derive(Debug)]
pub struct Person {
    /// `user_socket_hash`
    pub name: String,
    /// One or two.
    pub phones: Vec<Phone>,
}

/// A paired phone.
#[derive(Debug)]
pub struct Phone {
    /// As the relay named it.
    pub device_id: String,
    /// Its address, if it is behind FCM.
    pub address: Option<String>,
    session: String,
}

impl Crowd {
    /// Provisions and pairs everybody while nothing fails yet.
    pub async fn gather(cluster: &Cluster) -> Self {
        let tenants = (0..TENANTS).map(|number| Tenant::settle(cluster, number));
        let tenants = futures_util::future::join_all(tenants).await;
        Self { tenants, bases: cluster.bases.clone(), http: operator::http() }
    }

    /// A signed call of a tenant's backend to a relay.
    pub fn post(&self, tenant: usize, relay: usize, path: &str, body: &Value) -> RequestBuilder {
        let request = self.tenants[tenant].at[relay].request(Method::POST, path, body.to_string().as_bytes());
        request.header(http::header::CONTENT_TYPE, "application/json")
    }

    /// The same, to read.
    pub fn get(&self, tenant: usize, relay: usize, path: &str) -> RequestBuilder {
        self.tenants[tenant].at[relay].request(Method::GET, path, b"")
    }

    /// What a tenant asks; its own id is in the text, so that whoever is shown another tenant's text is found out.
    pub fn challenge(&self, question: &Question) -> Value {
        let tenant = &self.tenants[question.tenant];
        let mut body = tenant.at[0].challenge(&tenant.people[question.person].name, &question.id);
        body["description"] = tenant.id.as_str().into();
        body["ttl_seconds"] = 600.into();
        body
    }

    /// A phone's answer, to a relay.
    pub fn respond(&self, phone: &Phone, relay: usize, instruction: &str, approved: bool) -> RequestBuilder {
        let body = json!({"instruction_id": instruction, "approved": approved, "custom_type": "localAuth"});
        let url = format!("{}/api/v1/device/submit-response", self.bases[relay]);
        self.http.post(url).bearer_auth(&phone.session).json(&body)
    }

    /// A phone's stream, from a relay.
    pub fn listen(&self, phone: &Phone, relay: usize) -> RequestBuilder {
        self.http.get(format!("{}/api/v1/device/stream", self.bases[relay])).bearer_auth(&phone.session)
    }

    /// A phone's look at a prompt, at a relay.
    pub fn look(&self, phone: &Phone, relay: usize, instruction: &str) -> RequestBuilder {
        let url = format!("{}/api/v1/device/challenges/{instruction}", self.bases[relay]);
        self.http.get(url).bearer_auth(&phone.session)
    }
}

impl Tenant {
    async fn settle(cluster: &Cluster, number: usize) -> Self {
        let hook = Hook::start().await;
        let fields = json!({
            "tenant_name": format!("Bank {number}"), "rate_limit_per_min": 10_000, "device_addition": "open",
            "callback_url_base": hook.base
        });
        let first = cluster.operator(number % RELAYS).provision_with(fields).await;
        hook.belongs_to(&first.tenant_id, &first.secret);
        let secret = first.secret.expose().to_owned();
        let at = cluster.bases.iter().map(|base| TenantBackend::new(base, &first.tenant_id, &secret));
        let mut tenant = Self { id: first.tenant_id.clone(), hook, people: Vec::new(), at: at.collect() };
        for person in 0..PEOPLE {
            let paired = tenant.pair(cluster, number, person).await;
            tenant.people.push(paired);
        }
        tenant
    }

    async fn pair(&self, cluster: &Cluster, number: usize, person: usize) -> Person {
        let name = format!("person-{person:04}");
        let mut phones = Vec::new();
        if has_stream(person) {
            phones.push(self.phone(&name, person, None).await);
        }
        if !has_stream(person) || has_both(person) {
            let platform = if person.is_multiple_of(2) { Platform::Android } else { Platform::Ios };
            let address = format!("address-of-{number}-{person}");
            cluster.fcm.add_device(&address, platform);
            phones.push(self.phone(&name, person, Some((platform, address))).await);
        }
        Person { name, phones }
    }

    async fn phone(&self, name: &str, person: usize, fcm: Option<(Platform, String)>) -> Phone {
        let offer = self.at[person % RELAYS].offer_pairing(name).await;
        let registration = match &fcm {
            None => json!({"platform": "stream"}),
            Some((platform, address)) => json!({"platform": platform.as_str(), "fcm_token": address}),
        };
        let paired = Handset::paired_with(&offer, registration).await;
        let session = paired.registration["device_session_token"].as_str().expect("a session").to_owned();
        Phone { device_id: paired.device_id, address: fcm.map(|(_, address)| address), session }
    }
}
