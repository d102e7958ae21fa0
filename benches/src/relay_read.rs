//! A signed read at the relay, against a bare axum handler that verifies the same signatures and answers as much.

use std::process::Command;

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::routing::get;
use bloonio_sudo::Secret;
use bloonio_sudo::wire::clock::{Clock, SystemClock};
use bloonio_sudo::wire::id::TenantId;
use bloonio_sudo::wire::message::{self, MessageClaim, Nonce, SignedRequest};
use bloonio_sudo::wire::random::SystemRandom;
use bloonio_sudo::wire::{header as names, sign};
use bloonio_tests::tenant::TenantBackend;

use crate::play::{Turns, rate};
use crate::relay::Running;
use crate::site::{Site, TENANTS, counting_server, engine, finished, statements};

const PATH: &str = "/relay/fetch/outcome";
/// The bare handler's one tenant.
const TENANT: &str = "tnt_00000000000000000000000000000000";
const SECRET: &str = "sk_0000000000000000000000000000000000000000000000000000000000000000";
const ANSWER: &str = r#"{"success":true,"status_code":200,"message":"The outcome.","data":{"instruction_id":"open-user-100000000-1000","status":"pending"}}"#;

/// How a read is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signing {
    /// HMAC #1 (PROTOCOL 2.1).
    Hmac,
    /// The HTTP message signature beside it (PROTOCOL 2.2).
    Both,
}

/// Prints the comparisons.
pub fn run(rounds: usize, reads: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let server = counting_server().await;
        println!("| database | signed by | relay, reads a second | of the bare handler's rate | its µs of CPU a read | of the bare handler's |");
        println!("| --- | --- | --- | --- | --- | --- |");
        for server in [None, Some(&server)] {
            let site = Site::start(server, 10).await?;
            site.fill(1).await?;
            for signing in [Signing::Hmac, Signing::Both] {
                let line = Bench::start(&site, signing)?.compare(rounds, reads).await?;
                println!("| {} | {signing:?} | {line} |", engine(server));
            }
            if let Some(server) = server {
                let bench = Bench::start(&site, Signing::Hmac)?;
                let statements = statements(server, "read", reads, async |n| bench.read_relay(n).await);
                println!("\n{}", statements.await?);
            }
        }
        Ok(())
    })
}

struct Bench<'a> {
    site: &'a Site,
    signing: Signing,
    bare: Running,
    asker: TenantBackend,
}

impl<'a> Bench<'a> {
    fn start(site: &'a Site, signing: Signing) -> anyhow::Result<Self> {
        let bare = Running::start(Command::new(std::env::current_exe()?).arg("verify"))?;
        let asker = TenantBackend::new(&bare.url, TENANT, SECRET);
        Ok(Self { site, signing, bare, asker })
    }

    async fn compare(&self, rounds: usize, reads: usize) -> anyhow::Result<String> {
        let rates = async |thing| match thing {
            0 => rate(reads, TENANTS, async |n| self.read_relay(n).await).await,
            _ => rate(reads, TENANTS, async |n| self.read_bare(n).await).await,
        };
        let spent = async |thing| {
            let process = if thing == 0 { &self.site.relay.running } else { &self.bare };
            let before = process.cpu()?;
            rates(thing).await?;
            Ok((process.cpu()? - before) * 1_000_000.0 / reads as f64)
        };
        let (rates, spent) = (Turns::play(rounds, 2, rates).await?, Turns::play(rounds, 2, spent).await?);
        Ok([rates.of(0), rates.ratio(0, 1), spent.of(0), spent.ratio(0, 1)].join(" | "))
    }

    async fn read_relay(&self, n: usize) -> anyhow::Result<()> {
        let (tenant, instruction) = self.site.open(n);
        self.read(tenant, &instruction).await
    }

    async fn read_bare(&self, n: usize) -> anyhow::Result<()> {
        let (_, instruction) = self.site.open(n);
        self.read(&self.asker, &instruction).await
    }

    async fn read(&self, tenant: &TenantBackend, instruction: &str) -> anyhow::Result<()> {
        let query = format!("instruction_id={instruction}");
        let mut request = tenant.request(Method::GET, &format!("{PATH}?{query}"), b"");
        if self.signing == Signing::Both {
            let tenant_id = TenantId::parse(tenant.tenant_id.as_str())?;
            let path = format!("/api/v1{PATH}");
            let call =
                SignedRequest { method: "GET", path: &path, query: Some(&query), tenant_id: &tenant_id, body: b"" };
            let signed = message::sign(&tenant.secret, &call, SystemClock.now(), &Nonce::draw(&SystemRandom)?);
            request = request.header(names::MESSAGE_SIGNATURE_INPUT, signed.signature_input);
            request = request.header(names::MESSAGE_SIGNATURE, signed.signature);
        }
        finished(request).await
    }
}

/// Runs the bare handler: what [`run`] compares with.
pub fn serve() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let app = Router::new().route(&format!("/api/v1{PATH}"), get(verified));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on http://{}", listener.local_addr()?);
        Ok(axum::serve(listener, app).await?)
    })
}

async fn verified(
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<([(header::HeaderName, &'static str); 1], &'static str), StatusCode> {
    verify(&method, &uri, &headers, &body).map_err(|_| StatusCode::UNAUTHORIZED)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], ANSWER))
}

fn verify(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> anyhow::Result<()> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let given = |name| text(name).context("a header is missing");
    let (secret, now) = (Secret::new(SECRET), SystemClock.now());
    let at = sign::parse_timestamp(given(names::TIMESTAMP)?)?;
    sign::check_window(at, now)?;
    sign::verify(&secret, at, body, &sign::Signature::from_hex(given(names::SIGNATURE)?)?)?;
    let Some(input) = text(names::MESSAGE_SIGNATURE_INPUT) else { return Ok(()) };
    let claim = MessageClaim::read(input, given(names::MESSAGE_SIGNATURE)?, None, !body.is_empty())?;
    claim.check_window(now)?;
    let tenant_id = TenantId::parse(given(names::TENANT_ID)?)?;
    let call =
        SignedRequest { method: method.as_str(), path: uri.path(), query: uri.query(), tenant_id: &tenant_id, body };
    Ok(claim.verify(&secret, &call)?)
}
