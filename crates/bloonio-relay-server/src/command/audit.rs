//! `audit`: the trail, looked at and verified without a running relay and without the master key.

use std::path::PathBuf;

use anyhow::{Context, bail};
use bloonio_wire::id::TenantId;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::audit::{Chain, Entry, Head, digest_of, trail};
use crate::config::{StoreArgs, StoreConfig};
use crate::serve;
use crate::storage::{Storage, audit as rows};

/// What can be asked of the audit trail.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Follow every chain from its first entry; exit code 1 if one does not hold, with the first place where.
    Verify(VerifyArgs),
    /// Print the entries of a chain that tell of one subject, or its last ones.
    List(ListArgs),
    /// Print every entry, oldest first, one JSON object a line.
    Export(ExportArgs),
}

/// What to verify.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// One chain: a tenant's id, or `operator` [default: all].
    #[arg(long, value_name = "CHAIN")]
    pub tenant: Option<Chain>,
    /// Print the chains' ends, to be kept where nobody who can change the database can change them.
    #[arg(long)]
    pub head: bool,
    /// Ends that were kept: everything up to them must still be there, as it was.
    #[arg(long, value_name = "FILE")]
    pub expect: Option<PathBuf>,
    #[command(flatten)]
    store: StoreArgs,
}

/// Which entries.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// A tenant's id, or `operator`.
    #[arg(long, value_name = "CHAIN")]
    pub tenant: Chain,
    /// Those of this subject: an id of a device, a pairing or a callback, or a digest.
    #[arg(long, value_name = "ID")]
    pub subject: Option<String>,
    /// Those of this prompt of the tenant, by its instruction id.
    #[arg(long, value_name = "ID", conflicts_with = "subject")]
    pub instruction: Option<String>,
    /// The last so many, where nothing else is asked for.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub last: u32,
    /// As JSON, one object a line.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// What to export.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// One chain: a tenant's id, or `operator` [default: all].
    #[arg(long, value_name = "CHAIN")]
    pub tenant: Option<Chain>,
    /// As JSON, one object a line: the only form there is.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

impl AuditCommand {
    /// Runs it.
    ///
    /// # Errors
    /// What went wrong, for the person at the terminal; also if a chain does not hold.
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Verify(args) => {
                let storage = open(&super::store(args.store)?).await?;
                let kept = args.expect.map_or_else(|| Ok(Vec::new()), |path| kept_heads(&path))?;
                let verified = verify(&storage, args.tenant, &kept, args.head).await;
                storage.close().await;
                verified
            }
            Self::List(args) => {
                let storage = open(&super::store(args.store.clone())?).await?;
                let entries = list(&storage, &args).await;
                storage.close().await;
                let form = if args.json { as_json } else { as_line };
                entries?.iter().try_for_each(|entry| super::print(&form(entry)))
            }
            Self::Export(args) => {
                let storage = open(&super::store(args.store)?).await?;
                let exported = export(&storage, args.tenant).await;
                storage.close().await;
                exported
            }
        }
    }
}

/// Opens the database as it is: looking at it changes nothing, neither its schema nor whether it is there.
async fn open(config: &StoreConfig) -> anyhow::Result<Storage> {
    if config.database_url.is_none() {
        let file = config.default_database();
        anyhow::ensure!(file.exists(), "there is no database at {}", file.display());
    }
    serve::database(config).await
}

fn kept_heads(path: &std::path::Path) -> anyhow::Result<Vec<Head>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read = |(number, line): (usize, &str)| {
        line.parse().with_context(|| format!("line {} of {}", number + 1, path.display()))
    };
    lines.map(read).collect()
}

/// The chain that was named, or all there are.
async fn named(storage: &Storage, chain: Option<Chain>) -> anyhow::Result<Vec<Chain>> {
    match chain {
        Some(chain) => Ok(vec![chain]),
        None => rows::chains(storage).await.context("cannot read the audit trail"),
    }
}

async fn verify(storage: &Storage, chain: Option<Chain>, kept: &[Head], heads: bool) -> anyhow::Result<()> {
    let mut chains = named(storage, chain.clone()).await?;
    if chain.is_none() {
        // Of a chain that is gone altogether only its kept end tells.
        chains.extend(kept.iter().map(|head| head.chain.clone()));
        chains.sort();
        chains.dedup();
    }
    let mut broken = 0;
    for chain in &chains {
        match trail::verify(storage, chain, kept).await.with_context(|| format!("cannot read chain {chain}"))? {
            Ok(head) if heads => super::print(&head.to_string())?,
            Ok(head) => super::print(&format!("{chain}: {} entries hold", head.seq))?,
            Err(place) => {
                eprintln!("broken: {place}");
                broken += 1;
            }
        }
    }
    if broken > 0 {
        bail!("{broken} of {} chains of the audit trail do not hold", chains.len());
    }
    Ok(())
}

async fn list(storage: &Storage, args: &ListArgs) -> anyhow::Result<Vec<Entry>> {
    let subject = match (&args.subject, &args.instruction) {
        (Some(subject), _) => Some(subject.clone()),
        (None, Some(instruction)) => Some(digest_of(tenant_of(&args.tenant)?, instruction)),
        (None, None) => None,
    };
    match subject {
        Some(subject) => Ok(rows::of_subject(storage, &args.tenant, &subject).await?),
        None => Ok(rows::last(storage, &args.tenant, args.last.into()).await?),
    }
}

fn tenant_of(chain: &Chain) -> anyhow::Result<&TenantId> {
    match chain {
        Chain::Tenant(id) => Ok(id),
        Chain::Operator => bail!("--instruction names a prompt of a tenant"),
    }
}

async fn export(storage: &Storage, chain: Option<Chain>) -> anyhow::Result<()> {
    for chain in named(storage, chain).await? {
        trail::read(storage, &chain, |entry| super::print(&as_json(&entry))).await?;
    }
    Ok(())
}

/// Everything that is hashed, and the hashes. The details stand there as the very text that was hashed, which is JSON.
fn as_json(entry: &Entry) -> String {
    let whole = json!({
        "chain": entry.chain.as_str(),
        "seq": entry.seq,
        "at": entry.at,
        "at_millis": entry.at.as_millis(),
        "kind": entry.kind,
        "subject": entry.subject,
        "prev_hash": hex::encode(entry.prev_hash),
        "hash": hex::encode(entry.hash),
    })
    .to_string();
    let is_json = serde_json::from_str::<Value>(&entry.details).is_ok_and(|details| details.is_object());
    let details = if is_json { entry.details.clone() } else { json!(entry.details).to_string() };
    format!(r#"{},"details":{details}}}"#, whole.trim_end_matches('}'))
}

fn as_line(entry: &Entry) -> String {
    let at = serde_json::to_value(entry.at).unwrap_or_default();
    let at = at.as_str().unwrap_or_default();
    format!("{:>8}  {at}  {:<22} {}  {}", entry.seq, entry.kind, entry.subject, entry.details)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Event, Kind};
    use bloonio_wire::clock::Timestamp;

    #[test]
    fn an_export_holds_all_that_is_needed_to_hash_an_entry_again() {
        let event =
            Event::new(Kind::Decision, "s").with("z", json!({"b": 1, "a": [true, null]})).with("a", "\u{1b}}\"");
        let entry = event.follow(&Head::empty(Chain::Operator), Timestamp::from_millis(1_800_000_000_123));
        let line = as_json(&entry);
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&read["at_millis"], &read["details"]["a"]), (&json!(1_800_000_000_123_i64), &json!("\u{1b}}\"")));
        let verbatim = line.split(r#""details":"#).nth(1).unwrap().strip_suffix('}').unwrap();
        let again = Entry {
            chain: read["chain"].as_str().unwrap().parse().unwrap(),
            details: verbatim.to_owned(),
            ..entry.clone()
        };
        assert_eq!(hex::encode(again.digest()), read["hash"].as_str().unwrap());
        // Details that are no JSON were changed by somebody: they are shown as the text that they are.
        let broken = as_json(&Entry { details: "{".to_owned(), ..entry });
        assert_eq!(serde_json::from_str::<Value>(&broken).unwrap()["details"], "{");
    }
}
