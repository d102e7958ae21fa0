//! Demands that are known only at run time: one resolver looks at each request and says what it needs.
//!
//! The declarative style, [`SudoRequirement`] at a route, and this one live in one application side by side.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::policy::SudoRequirement;
use crate::request::RequestView;

/// What a resolver demands of one request: everything that a route can demand.
pub type SudoInfo = SudoRequirement;

/// The cause of a failed resolution; shown in the log only.
pub type ResolveError = Box<dyn std::error::Error + Send + Sync>;

/// What a resolver says: what the request needs, or `None` if it may run as it is.
pub type Resolved = Result<Option<SudoInfo>, ResolveError>;

/// A function or closure that resolves, such as `async |view: &RequestView<'_>| -> Resolved { … }`.
///
/// A closure that owns something, such as a pool of connections, clones it into its future:
/// `move |view: &RequestView<'_>| { let pool = pool.clone(); let path = view.path().to_owned(); async move { … } }`.
pub trait Resolve<'v>: Send + Sync {
    /// What the function returns.
    type Future: Future<Output = Resolved> + Send + 'v;

    /// Calls it. The body of the request has not been read.
    fn resolve(&self, view: &'v RequestView<'v>) -> Self::Future;
}

impl<'v, F, Fut> Resolve<'v> for F
where
    F: Fn(&'v RequestView<'v>) -> Fut + Send + Sync,
    Fut: Future<Output = Resolved> + Send + 'v,
{
    type Future = Fut;

    fn resolve(&self, view: &'v RequestView<'v>) -> Fut {
        self(view)
    }
}

type Boxed<'v> = Pin<Box<dyn Future<Output = Resolved> + Send + 'v>>;

/// A resolver whose type is forgotten.
pub(crate) struct Resolver(Box<dyn for<'v> Fn(&'v RequestView<'v>) -> Boxed<'v> + Send + Sync>);

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl Resolver {
    pub(crate) fn new<F: for<'v> Resolve<'v> + 'static>(resolver: F) -> Self {
        Self(Box::new(move |view| Box::pin(resolver.resolve(view))))
    }

    pub(crate) async fn resolve(&self, view: &RequestView<'_>) -> Resolved {
        (self.0)(view).await
    }
}
