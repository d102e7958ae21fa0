//! The fingerprint: every part of a request counts, and no two requests can be told for one another (ATTACKS A02, A05, A10,
//! A13).

use crate::support::{Call, OTHER_TENANT, TENANT};
use bloonio_sudo::fingerprint::{Asking, Binding, Fingerprint};
use bloonio_sudo::identity::InitiatorHash;
use bloonio_sudo::{TenantId, UserSocketHash};
use proptest::prelude::*;

/// Who asks for what, and the request.
#[derive(Debug, Clone, PartialEq)]
struct Request {
    tenant: &'static str,
    user: String,
    initiator: [u8; 32],
    action: String,
    method: String,
    authority: Option<String>,
    path: String,
    query: Option<String>,
    content_type: Vec<String>,
    content_encoding: Vec<String>,
    bound: Vec<String>,
    body: Vec<u8>,
}

impl Request {
    fn fingerprint(&self) -> Fingerprint {
        let mut call = Call::new(&self.method, &self.path);
        call.authority = self.authority.clone();
        call.query = self.query.clone();
        call.body = self.body.clone();
        for (name, values) in [
            ("content-type", &self.content_type),
            ("content-encoding", &self.content_encoding),
            ("if-match", &self.bound),
        ] {
            call.headers.extend(values.iter().map(|value| (name.to_owned(), value.as_bytes().to_vec())));
        }
        let asking = Asking {
            tenant: &TenantId::parse(self.tenant).unwrap(),
            user: &UserSocketHash::parse(self.user.as_str()).unwrap(),
            initiator: &InitiatorHash::from_bytes(self.initiator),
            action: &self.action,
        };
        Fingerprint::of(Binding::Exact, asking, &call.view(), ["if-match"].into_iter()).unwrap()
    }
}

/// Few and short values, so that equal parts and shifted borders between parts are common.
fn requests() -> impl Strategy<Value = Request> {
    let text = || "[ab/?=]{0,3}";
    let values = || prop::collection::vec("[ab,]{0,2}", 0..3);
    let who = (prop::sample::select(vec![TENANT, OTHER_TENANT]), "user-000[12]", any::<[bool; 1]>(), text());
    let what = (text(), prop::option::of(text()), text(), prop::option::of(text()));
    let how = (values(), values(), values(), prop::collection::vec(97u8..99, 0..3));
    (who, what, how).prop_map(|(who, what, how)| Request {
        tenant: who.0,
        user: who.1,
        initiator: [u8::from(who.2[0]); 32],
        action: who.3,
        method: what.0,
        authority: what.1,
        path: what.2,
        query: what.3,
        content_type: how.0,
        content_encoding: how.1,
        bound: how.2,
        body: how.3,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn two_requests_have_one_fingerprint_only_if_they_are_one(a in requests(), b in requests()) {
        prop_assert_eq!(a == b, a.fingerprint() == b.fingerprint());
    }

    #[test]
    fn any_change_of_the_body_counts(body in prop::collection::vec(any::<u8>(), 1..200), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let request = |body: Vec<u8>| Request {
            tenant: TENANT, user: "user-0001".into(), initiator: [1; 32], action: "a".into(), method: "POST".into(),
            authority: None, path: "/".into(), query: None, content_type: vec![], content_encoding: vec![], bound: vec![], body,
        };
        let mut flipped = body.clone();
        flipped[at.index(body.len())] ^= 1 << bit;
        prop_assert_ne!(request(body).fingerprint(), request(flipped).fingerprint());
    }
}

#[test]
fn a13_absent_is_not_empty() {
    let base = Request {
        tenant: TENANT,
        user: "user-0001".into(),
        initiator: [1; 32],
        action: "a".into(),
        method: "POST".into(),
        authority: None,
        path: "/".into(),
        query: None,
        content_type: vec![],
        content_encoding: vec![],
        bound: vec![],
        body: vec![],
    };
    let empty = String::new;
    for (what, other) in [
        ("query", Request { query: Some(empty()), ..base.clone() }),
        ("authority", Request { authority: Some(empty()), ..base.clone() }),
        ("content type", Request { content_type: vec![empty()], ..base.clone() }),
        ("content encoding", Request { content_encoding: vec![empty()], ..base.clone() }),
        ("bound header", Request { bound: vec![empty()], ..base.clone() }),
    ] {
        assert_ne!(base.fingerprint(), other.fingerprint(), "{what}");
    }
}
