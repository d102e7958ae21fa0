//! The database: what it is, whether it can be used, and what waits in it.

use std::time::Duration;

use bloonio_wire::clock::{Clock, SystemClock};

use super::finding::{Finding, chain};
use crate::config::{StoreConfig, master_key};
use crate::epoch::Memory;
use crate::keys;
use crate::seal::Sealer;
use crate::serve;
use crate::storage::delivery::listing::{self, DeliveryState, Filter};
use crate::storage::schema::{self, Schema};
use crate::storage::{Storage, StorageError};
use crate::telemetry::skew::MOST_SKEW;

/// A callback that waits longer is worth a look.
const OLD: Duration = Duration::from_secs(300);

pub(super) async fn examine(config: &StoreConfig) -> Vec<Finding> {
    let check = "database";
    // Opening would make it: a doctor does not.
    if let Some(path) = config.sqlite_file().filter(|path| !path.is_file()) {
        let found = format!("{} is not there", path.display());
        return vec![Finding::warn(check, found, "the first start, or `migrate`, makes it")];
    }
    match serve::connect(config).await {
        Ok(storage) => {
            let findings = look(&storage, config).await;
            storage.close().await;
            findings
        }
        Err(error) => {
            vec![Finding::fail(check, format!("cannot be opened: {}", chain(&error)), "is RELAY_DATABASE_URL right?")]
        }
    }
}

async fn look(storage: &Storage, config: &StoreConfig) -> Vec<Finding> {
    let mut findings = vec![written(storage).await];
    let schema = schema::compare(storage).await;
    let readable = matches!(&schema, Ok(Schema::Current));
    findings.push(schema_of(schema));
    findings.push(settle("durability", durability(storage).await));
    findings.push(settle("clock of the database", clock(storage).await));
    // What an older or newer schema holds cannot be judged.
    if readable {
        findings.push(settle("master key and database", fits(storage, config).await));
        findings.push(as_left(storage, config).await);
        findings.push(settle("outbox", outbox(storage).await));
        findings.push(settle("dead callbacks", dead(storage).await));
    }
    findings
}

fn settle(check: &'static str, found: Result<Finding, StorageError>) -> Finding {
    found.unwrap_or_else(|error| Finding::fail(check, chain(&error), "is the database the relay's own?"))
}

async fn written(storage: &Storage) -> Finding {
    let kind = if storage.is_shared() { "PostgreSQL" } else { "SQLite" };
    match storage.ping().await {
        Ok(()) => Finding::ok("database", format!("{kind}, answers and can be written to")),
        Err(error) => Finding::fail(
            "database",
            format!("{kind}, cannot be written to: {}", chain(&error)),
            "is it full, read-only, or held by another program?",
        ),
    }
}

fn schema_of(schema: Result<Schema, StorageError>) -> Finding {
    let check = "schema";
    match schema {
        Ok(Schema::Current) => Finding::ok(check, "up to date"),
        Ok(Schema::Empty) => Finding::warn(check, "nothing is in it yet", "the first start, or `migrate`, makes it"),
        Ok(Schema::Behind(missing)) => Finding::warn(
            check,
            format!("lacks {}", missing.join(", ")),
            "back it up; the next start, or `migrate`, brings it up to date",
        ),
        Ok(Schema::Newer(version)) => Finding::fail(
            check,
            format!("has migration {version}, which this version does not know"),
            "start the version that wrote it, or a newer one",
        ),
        Err(error) => Finding::fail(check, chain(&error), "is the database the relay's own?"),
    }
}

async fn durability(storage: &Storage) -> Result<Finding, StorageError> {
    let found = schema::durability(storage).await?;
    let check = "durability";
    Ok(match found.is_durable {
        true => Finding::ok(check, found.text),
        false => Finding::fail(
            check,
            found.text,
            "a decision answered with 200 must be on disk: correct the server's setting",
        ),
    })
}

async fn clock(storage: &Storage) -> Result<Finding, StorageError> {
    let check = "clock of the database";
    let before = SystemClock.now();
    let Some(theirs) = schema::clock(storage).await? else { return Ok(Finding::ok(check, "this machine's own")) };
    let skew = if theirs > before { theirs.since(before) } else { before.since(theirs) };
    Ok(match skew > MOST_SKEW {
        false => Finding::ok(check, "agrees with this machine's"),
        true => Finding::warn(check, format!("differs by {} s", skew.as_secs()), "synchronise both machines' clocks"),
    })
}

async fn fits(storage: &Storage, config: &StoreConfig) -> Result<Finding, StorageError> {
    let check = "master key and database";
    let advice = "use the key that the database was made with; restore it from its backup";
    Ok(match master_key::load(config) {
        Ok(Some(ring)) => match keys::unknown(storage, &Sealer::new(&ring)).await? {
            unknown if unknown.iter().all(|&(_, values)| values == 0) => Finding::ok(check, "fit together"),
            _ => Finding::fail(check, "the key does not open what is sealed in the database", advice),
        },
        Ok(None) if storage.tenant_page(1, 0).await?.1 == 0 => Finding::ok(check, "nothing is sealed yet"),
        Ok(None) => Finding::fail(check, "there is no key, and the database was made with one", advice),
        // Named by the look at the key itself.
        Err(_) => Finding::fail(check, "the key cannot be read", advice),
    })
}

/// Whether it is the database that was served from here last, or one that came back from a backup.
async fn as_left(storage: &Storage, config: &StoreConfig) -> Finding {
    let check = "restored database";
    match Memory::of(&config.data_dir).check(storage).await {
        Ok(()) => Finding::ok(check, "it is as it was left"),
        Err(error) => Finding::fail(check, chain(&error), "see the guide's page on backup and restore"),
    }
}

async fn outbox(storage: &Storage) -> Result<Finding, StorageError> {
    let (waiting, oldest) = listing::waiting(storage).await?;
    let age = oldest.map_or(Duration::ZERO, |oldest| SystemClock.now().since(oldest));
    Ok(match age > OLD {
        false => Finding::ok("outbox", format!("{waiting} callbacks wait")),
        true => Finding::warn(
            "outbox",
            format!("{waiting} callbacks wait, the oldest for {} minutes", age.as_secs() / 60),
            "`callbacks list --status due` says what their receivers answer",
        ),
    })
}

async fn dead(storage: &Storage) -> Result<Finding, StorageError> {
    let filter = Filter { tenant_id: None, state: Some(DeliveryState::Dead) };
    let (_, count) = listing::list(storage, &filter, 1, 0).await?;
    Ok(match count {
        0 => Finding::ok("dead callbacks", "none"),
        _ => Finding::warn(
            "dead callbacks",
            format!("{count} were given up"),
            "`callbacks list --status dead` names them, `callbacks redeliver` sends them again",
        ),
    })
}
