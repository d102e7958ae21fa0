//! Calls of scripts by their digest; a server that does not know one yet is told it.

use bloonio_wire::clock::Clock;
use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::LuaInterface;
use fred::types::scripts::Script;

use crate::store::StoreError;

macro_rules! scripts {
    ($($name:ident: $common:literal, $own:literal;)*) => {
        /// Every script, with its digest.
        #[derive(Debug)]
        pub(super) struct Scripts { $(pub(super) $name: Script,)* }

        impl Scripts {
            pub(super) fn new() -> Self {
                Self {
                    $($name: Script::from_lua(concat!(
                        include_str!("lua/time.lua"), include_str!($common), include_str!($own),
                    )),)*
                }
            }
        }
    };
}

scripts! {
    insert: "lua/record.lua", "lua/insert.lua";
    get: "lua/record.lua", "lua/get.lua";
    decide: "lua/record.lua", "lua/decide.lua";
    miss: "lua/record.lua", "lua/miss.lua";
    consume: "lua/record.lua", "lua/consume.lua";
    complete: "lua/record.lua", "lua/complete.lua";
    release: "lua/record.lua", "lua/release.lua";
    expire: "lua/record.lua", "lua/expire.lua";
    reserve: "lua/attention.lua", "lua/reserve.lua";
    settle: "lua/attention.lua", "lua/settle.lua";
}

/// What a script answers: a word, and what belongs to it.
pub(super) struct Said {
    pub(super) outcome: String,
    pub(super) fields: Vec<String>,
}

impl Said {
    /// An outcome that no script has.
    pub(super) fn unexpected(&self) -> StoreError {
        Unreadable::of(format!("{:?} is no answer here", self.outcome)).into()
    }
}

/// Runs a script in one round trip, or in two where the server does not know it.
pub(super) async fn call(
    client: &Client,
    script: &Script,
    keys: Vec<String>,
    arguments: Vec<String>,
) -> Result<Said, StoreError> {
    let said: Result<Vec<String>, Error> = script.evalsha(client, keys.clone(), arguments.clone()).await;
    let said = match (said, script.lua()) {
        (Err(error), Some(lua)) if error.details().starts_with("NOSCRIPT") => {
            client.eval(lua.clone(), keys, arguments).await
        }
        (said, _) => said,
    };
    let mut fields = said.map_err(unavailable)?.into_iter();
    let outcome = fields.next().ok_or_else(|| Unreadable::of("a script said nothing".to_owned()))?;
    Ok(Said { outcome, fields: fields.collect() })
}

/// The time that scripts are given: nothing, so that they take their server's own. Only the acceptance suite has another.
pub(super) fn time_of(clock: Option<&dyn Clock>) -> String {
    clock.map(|clock| clock.now().as_millis().to_string()).unwrap_or_default()
}

/// Redis failed, or cannot be reached in time. Its words are for the operator: they hold neither keys nor passwords.
pub(super) fn unavailable(error: Error) -> StoreError {
    tracing::warn!(%error, "redis did not answer as it should");
    StoreError::Unavailable(Box::new(error))
}

/// What stands in Redis is not what this version writes: nothing may run on it.
#[derive(Debug, thiserror::Error)]
#[error("what Redis holds cannot be read: {0}")]
pub(super) struct Unreadable(String);

impl Unreadable {
    pub(super) fn of(why: String) -> Self {
        Self(why)
    }
}

impl From<Unreadable> for StoreError {
    fn from(error: Unreadable) -> Self {
        Self::Unavailable(Box::new(error))
    }
}
