//! A relay on one of its engines, with tenants, people and prompts; the many are put into its database directly.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::ensure;
use bloonio_relay_server::storage::Storage;
use bloonio_relay_server::storage::db::query;
use bloonio_sudo::wire::clock::{Clock, SystemClock};
use bloonio_sudo::wire::id::TenantId;
use bloonio_tests::operator::Operator;
use bloonio_tests::postgres::PostgresServer;
use bloonio_tests::tenant::TenantBackend;
use reqwest::Method;

use crate::play::rate;
use crate::relay::{ADMIN_KEY, Relay};

/// As many tenants as callers: a tenant's transactions follow one another, and nobody may make more than 10,000 calls a
/// minute.
pub const TENANTS: usize = 16;

/// Phones of one person at most (PROTOCOL 4).
pub const DEVICES: usize = 10;

/// What a sealed prompt weighs, in bytes.
pub const SEALED: usize = 600;

const MINUTE: i64 = 60_000;

/// A relay and its tenants.
pub struct Site {
    /// The relay.
    pub relay: Relay,
    /// Its database, by connections of this process.
    pub storage: Storage,
    /// Its tenants.
    pub tenants: Vec<TenantBackend>,
    /// People of each tenant.
    people: usize,
    next: AtomicUsize,
}

/// A prompt to be made: of whom, to whom, and its name.
pub struct Ask<'a> {
    /// Who asks.
    pub tenant: &'a TenantBackend,
    /// Who is asked.
    pub user: String,
    /// The name.
    pub instruction: String,
}

impl Site {
    /// A relay on `server`, or on SQLite, each of whose tenants has so many people with a stream device.
    pub async fn start(server: Option<&PostgresServer>, people: usize) -> anyhow::Result<Self> {
        Self::start_with(server, people, &[]).await
    }

    /// The same with more settings of the relay's.
    pub async fn start_with(
        server: Option<&PostgresServer>,
        people: usize,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let (relay, storage) = match server {
            None => {
                let relay = Relay::start(settings)?;
                let storage = Storage::open_file(&relay.database_file()).await?;
                (relay, storage)
            }
            Some(server) => {
                let url = server.database().await;
                let settings = [settings, &[("RELAY_DATABASE_URL", &url)]].concat();
                (Relay::start(&settings)?, Storage::open(&url).await?)
            }
        };
        let operator = Operator::new(&relay.url, ADMIN_KEY);
        let mut tenants = Vec::with_capacity(TENANTS);
        for _ in 0..TENANTS {
            tenants.push(operator.provision("Bench").await);
        }
        let site = Self { relay, storage, tenants, people, next: AtomicUsize::default() };
        for tenant in &site.tenants {
            site.pair(&tenant.tenant_id).await?;
        }
        Ok(site)
    }

    async fn pair(&self, tenant: &str) -> anyhow::Result<()> {
        let tenant_id = TenantId::parse(tenant)?;
        let mut tx = self.storage.begin(&tenant_id).await?;
        let pairings = "-- bench_pairings
            WITH RECURSIVE numbers (n) AS (
                SELECT CAST(100000000 AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < 100000000 + $2)
            INSERT INTO pairings (tenant_id, user_socket_hash, relay_user_linked_id, created_at)
            SELECT $1, 'user-' || CAST(n AS TEXT), '000000000000000' || CAST(n AS TEXT), $3 FROM numbers";
        let devices = "-- bench_devices
            INSERT INTO devices (tenant_id, device_id, relay_user_linked_id, platform, status, address_state,
                                 address_changed_at, generation, created_at, last_seen_at)
            SELECT tenant_id, relay_user_linked_id, relay_user_linked_id, 'stream', 'active', 'none', $2, 1, $2, $2
            FROM pairings WHERE tenant_id = $1";
        let (now, people) = (SystemClock.now().as_millis(), i64::try_from(self.people)?);
        query(pairings).bind(tenant).bind(people).bind(now).execute(&mut tx).await?;
        query(devices).bind(tenant).bind(now).execute(&mut tx).await?;
        Ok(self.storage.commit(tx).await?)
    }

    /// Gives everybody so many open prompts, asked so long ago that they bother nobody's limit; the `n`th of a person is
    /// called [`Site::open`].
    pub async fn fill(&self, each: usize) -> anyhow::Result<()> {
        let prompts = "-- bench_prompts
            WITH RECURSIVE numbers (n) AS (
                SELECT CAST(1000 AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < 1000 + $2)
            INSERT INTO prompts (tenant_id, instruction_id, relay_user_linked_id, request_sha256, content_sealed, status,
                                 created_at, expires_at)
            SELECT p.tenant_id, 'open-' || p.user_socket_hash || '-' || CAST(n AS TEXT), p.relay_user_linked_id, $3, $4,
                   'pending', $5, $6
            FROM pairings p CROSS JOIN numbers WHERE p.tenant_id = $1";
        let pushes = "-- bench_pushes
            INSERT INTO pushes (tenant_id, subject_id, kind, device_id, platform, state, attempts, next_at, expires_at, sent_at)
            SELECT tenant_id, instruction_id, 'auth_challenge', relay_user_linked_id, 'stream', 'delivered', 1, created_at,
                   expires_at, created_at
            FROM prompts WHERE tenant_id = $1";
        let (now, each) = (SystemClock.now().as_millis(), i64::try_from(each)?);
        for tenant in &self.tenants {
            let mut tx = self.storage.begin(&TenantId::parse(tenant.tenant_id.as_str())?).await?;
            let prompts = query(prompts).bind(&tenant.tenant_id).bind(each).bind([7_u8; 32].as_slice());
            let prompts = prompts.bind([7_u8; SEALED].as_slice()).bind(now - 11 * MINUTE).bind(now + 60 * MINUTE);
            prompts.execute(&mut tx).await?;
            query(pushes).bind(&tenant.tenant_id).execute(&mut tx).await?;
            self.storage.commit(tx).await?;
        }
        Ok(())
    }

    /// Gives everybody [`DEVICES`] phones behind FCM in place of the stream device; gives their addresses.
    pub async fn give_phones(&self) -> anyhow::Result<Vec<String>> {
        let devices = "-- bench_phones
            WITH RECURSIVE numbers (n) AS (
                SELECT CAST(10 AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < 10 + $2)
            INSERT INTO devices (tenant_id, device_id, relay_user_linked_id, platform, status, address_kind, address,
                                 address_state, address_changed_at, generation, created_at, last_seen_at)
            SELECT p.tenant_id, 'a' || substr(p.relay_user_linked_id, 4) || CAST(n AS TEXT), p.relay_user_linked_id,
                   'android', 'active', 'token',
                   'phone-' || p.tenant_id || '-' || p.user_socket_hash || '-' || CAST(n AS TEXT), 'live', $3, 1, $3, $3
            FROM pairings p CROSS JOIN numbers WHERE p.tenant_id = $1";
        let (now, mut addresses) = (SystemClock.now().as_millis(), Vec::new());
        for tenant in &self.tenants {
            let mut tx = self.storage.begin(&TenantId::parse(tenant.tenant_id.as_str())?).await?;
            query("-- bench_no_streams\nDELETE FROM devices WHERE tenant_id = $1")
                .bind(&tenant.tenant_id)
                .execute(&mut tx)
                .await?;
            query(devices).bind(&tenant.tenant_id).bind(i64::try_from(DEVICES)?).bind(now).execute(&mut tx).await?;
            let rows = query("-- bench_addresses\nSELECT address FROM devices WHERE tenant_id = $1");
            for row in rows.bind(&tenant.tenant_id).fetch_all(&mut tx).await? {
                addresses.push(row.at(0)?);
            }
            self.storage.commit(tx).await?;
        }
        Ok(addresses)
    }

    fn user(&self, n: usize) -> String {
        format!("user-{}", 100_000_000 + (n / TENANTS) % self.people)
    }

    /// An open prompt that [`Site::fill`] made, another one for each number of a run.
    pub fn open(&self, n: usize) -> (&TenantBackend, String) {
        (&self.tenants[n % TENANTS], format!("open-{}-1000", self.user(n)))
    }

    /// The next prompt to be made.
    pub fn ask(&self) -> Ask<'_> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        Ask { tenant: &self.tenants[n % TENANTS], user: self.user(n), instruction: format!("bench-{n:08}") }
    }

    /// Makes the next prompt by a signed call.
    pub async fn prompt(&self) -> anyhow::Result<()> {
        let ask = self.ask();
        let body = ask.tenant.challenge(&ask.user, &ask.instruction).to_string();
        let request = ask.tenant.request(Method::POST, "/relay/send/auth-challenge", body.as_bytes());
        finished(request.header("content-type", "application/json")).await
    }
}

/// Sends a request; the answer must be 200, and is read to its end.
pub async fn finished(request: reqwest::RequestBuilder) -> anyhow::Result<()> {
    let answer = request.send().await?;
    let status = answer.status();
    let body = answer.bytes().await?;
    ensure!(status == 200, "{status}: {}", String::from_utf8_lossy(&body));
    Ok(())
}

/// A PostgreSQL that counts its [`statements`].
pub async fn counting_server() -> PostgresServer {
    let server = PostgresServer::start_with(&["shared_preload_libraries=pg_stat_statements"]).await;
    server.sql("postgres", "CREATE EXTENSION pg_stat_statements").await;
    server
}

/// How many statements PostgreSQL runs for a call, and which, seen at so many calls.
pub async fn statements(
    server: &PostgresServer,
    name: &str,
    calls: usize,
    call: impl AsyncFn(usize) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    server.sql("postgres", "SELECT pg_stat_statements_reset()").await;
    rate(calls, TENANTS, call).await?;
    let counted = format!(
        "SELECT round(sum(calls)::numeric / {calls}, 1) || ' statements a {name}: '
                || string_agg(split_part(query, E'\n', 1), ', ' ORDER BY query)
            FROM pg_stat_statements WHERE calls >= {calls}"
    );
    Ok(server.sql("postgres", &counted).await)
}

/// What PostgreSQL is called in the tables, and SQLite.
pub fn engine(server: Option<&PostgresServer>) -> &'static str {
    if server.is_some() { "PostgreSQL" } else { "SQLite" }
}
