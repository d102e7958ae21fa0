//! Finds, at start, what would otherwise show on the first bad day: settings and routes that contradict each other.
//!
//! [`SudoEngine::doctor`] looks at the engine and at every route that was protected so far; call it when the application is
//! put together and before it serves. It lists the routes in the log, and refuses what it can see to be wrong.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::engine::SudoEngine;
use crate::policy::{RequirementError, SudoRequirement};
use crate::settings::StateBackend;

/// Something that contradicts something else. Its [`name`](Finding::name) is stable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// Several processes, each with a store of its own: an approval given to one is unknown to the others.
    #[error("BLOONIO_RELAY_REPLICAS is {replicas}, but the memory store serves one process: use redis")]
    MemoryStoreWithReplicas {
        /// How many processes there are to be.
        replicas: usize,
    },
    /// Callbacks would cross a network in the clear.
    #[error("PUBLIC_CALLBACK_BASE_URL is {url:?}: it must be https unless its host is loopback")]
    InsecureCallbackBase {
        /// The address.
        url: String,
    },
    /// Requests would wait longer than anybody can answer.
    #[error("BLOCK_TIMEOUT_SECONDS is {block_secs}, longer than a prompt of {action:?} lives ({ttl_secs} s)")]
    BlocksLongerThanPromptLives {
        /// The route's action.
        action: String,
        /// How long a request waits, in seconds.
        block_secs: u64,
        /// How long its prompt lives, in seconds.
        ttl_secs: u64,
    },
    /// A route that will answer 500 to everything.
    #[error("the route of {action:?} will answer 500: {error}")]
    Misconfigured {
        /// The route's action.
        action: String,
        /// Why.
        error: RequirementError,
    },
    /// A middleware that asks a resolver which is not there.
    #[error("a middleware asks the resolver, but the engine has none")]
    NoResolver,
    /// Pinned keys die with the process, so every user would have to pair anew.
    #[error("device signatures are required, but the keys are kept in memory and lost at each restart")]
    SignaturesWithoutMemory,
}

impl Finding {
    /// The reason's name, for logs and monitoring.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::MemoryStoreWithReplicas { .. } => "memory_store_with_replicas",
            Self::InsecureCallbackBase { .. } => "insecure_callback_base",
            Self::BlocksLongerThanPromptLives { .. } => "blocks_longer_than_prompt_lives",
            Self::Misconfigured { .. } => "misconfigured_route",
            Self::NoResolver => "no_resolver",
            Self::SignaturesWithoutMemory => "signatures_without_memory",
        }
    }
}

/// Everything that was found. An application that serves all the same refuses requests, or loses approvals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradictions(Vec<Finding>);

impl Contradictions {
    /// Each of them.
    pub fn findings(&self) -> &[Finding] {
        &self.0
    }
}

impl fmt::Display for Contradictions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the step-up approval contradicts itself:")?;
        self.0.iter().try_for_each(|finding| write!(f, " [{}] {finding};", finding.name()))
    }
}

impl std::error::Error for Contradictions {}

/// What the middleware of an application demand; `None` for one that asks the resolver.
#[derive(Debug, Default)]
pub(crate) struct Demands(Mutex<Vec<Option<Arc<SudoRequirement>>>>);

impl Demands {
    pub(crate) fn add(&self, demand: Option<Arc<SudoRequirement>>) {
        self.lock().push(demand);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Arc<SudoRequirement>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SudoEngine {
    /// Lists the protected routes in the log, and looks for contradictions.
    ///
    /// # Errors
    /// [`Contradictions`]: an application should print them and not start.
    pub fn doctor(&self) -> Result<(), Contradictions> {
        let demands = self.inner.demands.lock().clone();
        let mut findings = self.settings_findings();
        for demand in &demands {
            match demand {
                Some(requirement) => findings.extend(self.route_finding(requirement)),
                None if self.inner.resolver.is_none() => findings.push(Finding::NoResolver),
                None => tracing::info!("requests are protected as the resolver says"),
            }
        }
        findings.iter().for_each(|finding| tracing::error!(reason = finding.name(), "{finding}"));
        if findings.is_empty() { Ok(()) } else { Err(Contradictions(findings)) }
    }

    fn settings_findings(&self) -> Vec<Finding> {
        let settings = self.settings();
        let in_memory = matches!(settings.state_backend, StateBackend::Memory);
        let mut findings = Vec::new();
        if in_memory && !self.inner.own_store && settings.replicas > 1 {
            findings.push(Finding::MemoryStoreWithReplicas { replicas: settings.replicas });
        }
        match &settings.public_callback_base_url {
            Some(url) if url.scheme() != "https" && !crate::settings::is_loopback(url) => {
                findings.push(Finding::InsecureCallbackBase { url: url.to_string() });
            }
            _ => {}
        }
        if self.inner.require_device_signature && !self.inner.own_device_keys {
            findings.push(Finding::SignaturesWithoutMemory);
        }
        findings
    }

    fn route_finding(&self, requirement: &SudoRequirement) -> Option<Finding> {
        let action = requirement.action().to_owned();
        if let Err(error) = requirement.check() {
            return Some(Finding::Misconfigured { action, error });
        }
        tracing::info!(
            action,
            custom_type = requirement.custom_type.as_str(),
            blocking = requirement.blocking,
            binding = ?requirement.binding,
            consume = ?requirement.consume,
            "a route is protected"
        );
        let (block, ttl) =
            (self.settings().block_timeout(), requirement.ttl.unwrap_or(self.settings().instruction_ttl));
        (requirement.blocking && block > ttl).then_some(Finding::BlocksLongerThanPromptLives {
            action,
            block_secs: block.as_secs(),
            ttl_secs: ttl.as_secs(),
        })
    }
}
