//! A server that may evict records forgets what was used (ATTACKS A93): it is refused at the start.

use std::collections::HashMap;

use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::{ClientLike, ClusterInterface, ConfigInterface};
use fred::types::InfoKind;
use fred::types::config::{Options, Server};

use super::ConnectError;

const SETTING: &str = "maxmemory-policy";
/// The only policy that drops nothing.
const SAFE: &str = "noeviction";

/// Refuses where any primary may evict, or does not say.
pub(super) async fn refuse(client: &Client) -> Result<(), ConnectError> {
    let Some(cluster) = client.cached_cluster_state() else {
        let server = client.active_connections().first().map(Server::to_string).unwrap_or_default();
        return judge(server, policy(client).await);
    };
    for primary in cluster.unique_primary_nodes() {
        let options = Options { cluster_node: Some(primary.clone()), ..Options::default() };
        judge(primary.to_string(), policy(&client.with_options(&options)).await)?;
    }
    Ok(())
}

/// What one server says. `CONFIG` is often forbidden, `INFO` seldom.
async fn policy<C: ConfigInterface>(client: &C) -> Option<String> {
    let configured: Result<HashMap<String, String>, Error> = client.config_get(SETTING).await;
    let configured = configured.ok().and_then(|mut settings| settings.remove(SETTING));
    if configured.is_some() {
        return configured;
    }
    let info: String = client.info(Some(InfoKind::Memory)).await.ok()?;
    info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:")).map(|policy| policy.trim().to_owned())
}

fn judge(server: String, policy: Option<String>) -> Result<(), ConnectError> {
    match policy {
        Some(policy) if policy == SAFE => Ok(()),
        Some(policy) => Err(ConnectError::MayEvict { server, policy }),
        None => Err(ConnectError::PolicyUnknown { server }),
    }
}
