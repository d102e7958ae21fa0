//! Operator calls on tenants (PROTOCOL 3).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on says where")]

mod support;

use std::collections::BTreeSet;

use rstest::rstest;
use serde_json::{Value, json};
use support::{TestRelay, operator};

#[tokio::test]
async fn a_tenant_is_provisioned_and_its_secret_shown_once() {
    let relay = TestRelay::new().await;
    let answer = relay.operator_post("/provision/tenant", json!({"tenant_name": "Bank"})).await;
    assert_eq!(answer.status, 201);
    let data = answer.data();
    let mut fields: Vec<_> = data.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["created_at", "rate_limit_per_min", "tenant_id", "tenant_name", "tenant_secret"]);
    let hex = |text: &str, prefix: &str| text.strip_prefix(prefix).map(|rest| (rest.len(), hex::decode(rest).is_ok()));
    assert_eq!(hex(data["tenant_id"].as_str().unwrap(), "tnt_"), Some((32, true)));
    let secret = data["tenant_secret"].as_str().unwrap();
    assert_eq!(hex(secret, "sk_"), Some((64, true)));
    assert_eq!((&data["tenant_name"], &data["rate_limit_per_min"]), (&json!("Bank"), &json!(60)));
    let id = data["tenant_id"].as_str().unwrap();
    for path in [format!("/fetch/tenant?tenant_id={id}"), "/fetch/tenants".to_owned()] {
        let fetched = relay.operator_get(&path).await;
        assert_eq!(fetched.status, 200);
        assert!(fetched.text.contains(id) && !fetched.text.contains("sk_") && !fetched.text.contains("secret"));
    }
}

#[tokio::test]
async fn the_configuration_is_flat_and_comes_back_as_it_was_given() {
    let relay = TestRelay::new().await;
    let given = json!({
        "tenant_name": "Bank", "rate_limit_per_min": 10_000,
        "qr_login_allowed_origins": ["https://app.bank.example", "https://b.example:8443"],
        "callback_url_base": "https://bank.example/hooks/", "branding_display_name": "The Bank",
        "branding_logo_url": "https://bank.example/logo.png?v=2", "webauthn_rp_id": "bank.example",
        "webauthn_origins": ["https://app.bank.example"], "passkeys_enabled": false,
        "require_message_signatures": true, "device_addition": "open",
        "extra_callback_origins": ["https://hooks.example"]
    });
    let bank = relay.provision_with(given.clone()).await;
    let fetched = relay.operator_get(&format!("/fetch/tenant?tenant_id={}", bank.tenant_id)).await;
    let mut data = fetched.data().as_object().unwrap().clone();
    assert_eq!(data.remove("tenant_id"), Some(json!(bank.tenant_id)));
    assert_eq!(data.remove("status"), Some(json!("active")));
    assert_eq!(data.remove("created_at"), Some(json!("2027-01-15T08:00:00.000Z")));
    assert_eq!(Value::Object(data), given);
}

fn defaults() -> Value {
    json!({
        "rate_limit_per_min": 60, "qr_login_allowed_origins": [], "callback_url_base": null,
        "branding_display_name": null, "branding_logo_url": null, "webauthn_rp_id": null, "webauthn_origins": [],
        "passkeys_enabled": null, "require_message_signatures": false, "device_addition": "confirm",
        "extra_callback_origins": []
    })
}

#[tokio::test]
async fn absent_is_untouched_and_null_is_cleared() {
    let relay = TestRelay::new().await;
    let bank = relay
        .provision_with(json!({
            "tenant_name": "Bank", "rate_limit_per_min": 5, "callback_url_base": "https://bank.example",
            "branding_display_name": "B", "branding_logo_url": "https://bank.example/l.png", "webauthn_rp_id": "bank.example",
            "webauthn_origins": ["https://bank.example"], "qr_login_allowed_origins": ["https://bank.example"],
            "passkeys_enabled": true, "require_message_signatures": true, "device_addition": "open",
            "extra_callback_origins": ["https://bank.example"]
        }))
        .await;
    let before = relay.operator_get(&format!("/fetch/tenant?tenant_id={}", bank.tenant_id)).await;
    let untouched = bank.update(json!({})).await;
    assert_eq!(untouched.data(), before.data());
    let renamed = bank.update(json!({"tenant_name": "Bank 2"})).await;
    assert_eq!(renamed.data()["tenant_name"], "Bank 2");
    assert_eq!(renamed.data()["callback_url_base"], "https://bank.example");
    let nulls: serde_json::Map<_, _> =
        defaults().as_object().unwrap().keys().map(|name| (name.clone(), Value::Null)).collect();
    let cleared = bank.update(Value::Object(nulls)).await;
    for (name, value) in defaults().as_object().unwrap() {
        assert_eq!(&cleared.data()[name], value, "{name}");
    }
}

#[rstest]
#[case::missing_name(json!({}), &["tenant_name"])]
#[case::null_name(json!({"tenant_name": null}), &["tenant_name"])]
#[case::empty_name(json!({"tenant_name": ""}), &["tenant_name"])]
#[case::blank_name(json!({"tenant_name": "  "}), &["tenant_name"])]
#[case::control_characters(json!({"tenant_name": "a\u{1b}[2J"}), &["tenant_name"])]
#[case::long_name(json!({"tenant_name": "x".repeat(129)}), &["tenant_name"])]
#[case::name_of_another_type(json!({"tenant_name": 7}), &["tenant_name"])]
#[case::rate_too_small(json!({"tenant_name": "B", "rate_limit_per_min": 0}), &["rate_limit_per_min"])]
#[case::rate_too_large(json!({"tenant_name": "B", "rate_limit_per_min": 10_001}), &["rate_limit_per_min"])]
#[case::rate_as_text(json!({"tenant_name": "B", "rate_limit_per_min": "60"}), &["rate_limit_per_min"])]
#[case::rate_as_fraction(json!({"tenant_name": "B", "rate_limit_per_min": 1.5}), &["rate_limit_per_min"])]
#[case::http_callback(json!({"tenant_name": "B", "callback_url_base": "http://b.example"}), &["callback_url_base"])]
#[case::callback_user(json!({"tenant_name": "B", "callback_url_base": "https://u:p@b.example"}), &["callback_url_base"])]
#[case::callback_empty_user(json!({"tenant_name": "B", "callback_url_base": "https://@b.example"}), &["callback_url_base"])]
#[case::callback_query(json!({"tenant_name": "B", "callback_url_base": "https://b.example/?a=1"}), &["callback_url_base"])]
#[case::callback_fragment(json!({"tenant_name": "B", "callback_url_base": "https://b.example/#a"}), &["callback_url_base"])]
#[case::callback_blank(json!({"tenant_name": "B", "callback_url_base": " https://b.example"}), &["callback_url_base"])]
#[case::callback_relative(json!({"tenant_name": "B", "callback_url_base": "/hooks"}), &["callback_url_base"])]
#[case::callback_scheme(json!({"tenant_name": "B", "callback_url_base": "ftp://b.example"}), &["callback_url_base"])]
#[case::logo_http(json!({"tenant_name": "B", "branding_logo_url": "http://b.example/l.png"}), &["branding_logo_url"])]
#[case::logo_script(json!({"tenant_name": "B", "branding_logo_url": "javascript:alert(1)"}), &["branding_logo_url"])]
#[case::rp_id_url(json!({"tenant_name": "B", "webauthn_rp_id": "https://b.example"}), &["webauthn_rp_id"])]
#[case::rp_id_port(json!({"tenant_name": "B", "webauthn_rp_id": "b.example:443"}), &["webauthn_rp_id"])]
#[case::rp_id_address(json!({"tenant_name": "B", "webauthn_rp_id": "192.0.2.1"}), &["webauthn_rp_id"])]
#[case::rp_id_case(json!({"tenant_name": "B", "webauthn_rp_id": "B.example"}), &["webauthn_rp_id"])]
#[case::passkeys(json!({"tenant_name": "B", "passkeys_enabled": "no"}), &["passkeys_enabled"])]
#[case::addition(json!({"tenant_name": "B", "device_addition": "ask"}), &["device_addition"])]
#[case::origins(
    json!({"tenant_name": "B", "webauthn_origins": [
        "https://a.example", "https://a.example/", "https://a.example/x", "http://a.example", "https://A.example",
        "https://a.example:443", "null", 7, "http://localhost:3000"
    ]}),
    &["webauthn_origins[1]", "webauthn_origins[2]", "webauthn_origins[3]", "webauthn_origins[4]", "webauthn_origins[5]",
      "webauthn_origins[6]", "webauthn_origins[7]"]
)]
#[case::origins_no_list(json!({"tenant_name": "B", "qr_login_allowed_origins": "https://a.example"}), &["qr_login_allowed_origins"])]
#[case::callback_origins(json!({"tenant_name": "B", "extra_callback_origins": ["https://a.example/hook"]}), &["extra_callback_origins[0]"])]
#[case::unknown(json!({"tenant_name": "B", "tenant_secret": "sk_mine", "status": "active"}), &["tenant_secret", "status"])]
#[case::several(
    json!({"rate_limit_per_min": -1, "callback_url_base": 7, "device_addition": [], "x": 1}),
    &["tenant_name", "rate_limit_per_min", "callback_url_base", "device_addition", "x"]
)]
#[case::no_object(json!(["tenant_name"]), &[""])]
#[tokio::test]
async fn every_broken_rule_of_a_new_tenant_is_named(#[case] body: Value, #[case] fields: &[&str]) {
    let relay = TestRelay::new().await;
    let answer = relay.operator_post("/provision/tenant", body).await;
    answer.expect_error(422, "VALIDATION_FAILED");
    // Unknown fields are named in the order in which the body's reader keeps them.
    assert_eq!(BTreeSet::from_iter(answer.fields()), fields.iter().copied().collect());
    assert_eq!(relay.operator_get("/fetch/tenants").await.data()["total"], 0);
}

#[tokio::test]
async fn a_broken_update_changes_nothing() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let answer = bank.update(json!({"tenant_name": "Other", "rate_limit_per_min": 0, "secret": "x"})).await;
    answer.expect_error(422, "VALIDATION_FAILED");
    assert_eq!(answer.fields(), ["rate_limit_per_min", "secret"]);
    let fetched = relay.operator_get(&format!("/fetch/tenant?tenant_id={}", bank.tenant_id)).await;
    assert_eq!(fetched.data()["tenant_name"], "Bank");
}

#[tokio::test]
async fn http_callbacks_need_the_operators_consent() {
    let relay = TestRelay::with(|setup| setup.config.guard.allow_private = true).await;
    let bank = relay.provision("Bank").await;
    let base = "http://127.0.0.1:9000/hooks";
    assert_eq!(bank.update(json!({"callback_url_base": base})).await.data()["callback_url_base"], base);
}

#[rstest]
#[case("POST", "/update/tenant")]
#[case("POST", "/rotate/tenant-secret")]
#[case("POST", "/suspend/tenant")]
#[case("POST", "/reactivate/tenant")]
#[case("GET", "/fetch/tenant")]
#[tokio::test]
async fn a66_calls_on_one_tenant_name_an_existing_one(#[case] method: &str, #[case] path: &str) {
    let relay = TestRelay::new().await;
    relay.provision("Bank").await;
    let ask = async |query: &str| relay.send(operator(method, &format!("{path}{query}"), "")).await;
    for query in ["", "?tenant_id=", "?tenant=tnt_00000000000000000000000000000000"] {
        let answer = ask(query).await;
        answer.expect_error(422, "VALIDATION_FAILED");
        assert_eq!(answer.fields(), ["tenant_id"], "{query}");
    }
    ask("?tenant_id=tnt_00000000000000000000000000000000").await.expect_error(404, "NOT_FOUND");
    ask("?tenant_id=nobody").await.expect_error(404, "NOT_FOUND");
    ask("?tenant_id=%zz").await.expect_error(400, "MALFORMED_REQUEST");
}

#[rstest]
#[case("/rotate/tenant-secret")]
#[case("/suspend/tenant")]
#[case("/reactivate/tenant")]
#[tokio::test]
async fn calls_without_parameters_take_no_body_and_no_fields(#[case] path: &str) {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    let path = format!("{path}?tenant_id={}", bank.tenant_id);
    assert_eq!(relay.send(operator("POST", &path, "")).await.status, 200);
    assert_eq!(relay.send(operator("POST", &path, "{}")).await.status, 200);
    let refused = relay.send(operator("POST", &path, r#"{"force": true}"#)).await;
    refused.expect_error(422, "VALIDATION_FAILED");
    assert_eq!(refused.fields(), ["force"]);
    relay.send(operator("POST", &path, "{")).await.expect_error(400, "MALFORMED_REQUEST");
}

#[tokio::test]
async fn tenants_are_listed_in_pages() {
    let relay = TestRelay::new().await;
    for name in ["a", "b", "c"] {
        relay.provision(name).await;
        relay.clock.advance(std::time::Duration::from_millis(1));
    }
    let all = relay.operator_get("/fetch/tenants").await;
    assert_eq!((&all.data()["total"], &all.data()["limit"], &all.data()["offset"]), (&json!(3), &json!(50), &json!(0)));
    let names = |page: &support::TestAnswer| -> Vec<String> {
        page.data()["items"].as_array().unwrap().iter().map(|t| t["tenant_name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&all), ["a", "b", "c"]);
    assert_eq!(names(&relay.operator_get("/fetch/tenants?limit=1&offset=1").await), ["b"]);
    let beyond = relay.operator_get("/fetch/tenants?offset=9&limit=200").await;
    assert_eq!((names(&beyond).len(), &beyond.data()["total"]), (0, &json!(3)));
    for query in ["limit=0", "limit=201", "limit=x", "offset=-1", "limit=1&limit=2"] {
        relay.operator_get(&format!("/fetch/tenants?{query}")).await.expect_error(422, "VALIDATION_FAILED");
    }
}

#[tokio::test]
async fn two_operators_lose_no_update_of_each_other() {
    let relay = TestRelay::new().await;
    let bank = relay.provision("Bank").await;
    for round in 0..20 {
        let name = format!("Bank {round}");
        let (a, b) = tokio::join!(
            bank.update(json!({"branding_display_name": name})),
            bank.update(json!({"rate_limit_per_min": 100 + round})),
        );
        assert_eq!((a.status, b.status), (200, 200));
        let now = relay.operator_get(&format!("/fetch/tenant?tenant_id={}", bank.tenant_id)).await;
        assert_eq!(now.data()["branding_display_name"], name);
        assert_eq!(now.data()["rate_limit_per_min"], 100 + round);
    }
}
