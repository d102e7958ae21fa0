//! The audit trail, as the operator's commands tell it.

use std::collections::HashMap;

use bloonio_relay_server::audit::digest_of;
use bloonio_wire::id::TenantId;
use serde_json::Value;

use super::cluster::Cluster;
use super::findings::Findings;
use super::hook::Arrivals;

/// What it says of subjects: their chain and name, and what happened.
#[derive(Debug, Default)]
pub struct Trail(HashMap<(String, String), Entries>);

#[derive(Debug, Default)]
struct Entries {
    asked: u32,
    decided: Vec<Value>,
    acknowledged: u32,
}

impl Trail {
    /// Verifies every chain, and reads them all.
    pub async fn read(cluster: &Cluster, findings: &mut Findings) -> Self {
        let (whole, said) = cluster.command(&["audit", "verify"]).await;
        if !whole {
            findings.wrong.push(format!("the audit trail does not hold: {said}"));
        }
        let (read, lines) = cluster.command(&["audit", "export", "--json"]).await;
        assert!(read, "the audit trail cannot be read: {lines}");
        let mut trail = Self::default();
        let mut entries = 0;
        for line in lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            entries += 1;
            trail.note(&line);
        }
        findings.tally.push(("entries of the audit trail, whose chains hold", entries));
        trail
    }

    fn note(&mut self, line: &Value) {
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let entries = self.0.entry((text("chain"), text("subject"))).or_default();
        match line["kind"].as_str() {
            Some("prompt.asked") => entries.asked += 1,
            Some("decision") => entries.decided.push(line["details"]["approved"].clone()),
            Some("callback.acknowledged") => entries.acknowledged += 1,
            _ => {}
        }
    }

    /// What is wrong with an instruction that was decided so: it must be asked, decided and acknowledged once.
    pub fn check(&self, tenant: &str, instruction: &str, approved: bool, arrivals: &Arrivals) -> Option<String> {
        let tenant_id = TenantId::parse(tenant.to_owned()).ok()?;
        let found = |subject: String| self.0.get(&(tenant.to_owned(), subject));
        let prompt = found(digest_of(&tenant_id, instruction));
        if !prompt.is_some_and(|entries| entries.asked == 1 && entries.decided == [approved]) {
            return Some(format!("decided as {approved}, and the audit trail has {prompt:?}"));
        }
        let callback = arrivals.ids.first().and_then(|id| found(id.clone()));
        let once = callback.is_some_and(|entries| entries.acknowledged == 1);
        (!once).then(|| format!("its callback has {callback:?} in the audit trail"))
    }
}
