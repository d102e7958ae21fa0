//! The middleware: converts, asks the engine, obeys.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bloonio_sudo::{Demand, Refusal, Run};
use http::Request;
use tower::Service;

use crate::convert::{self, Head};
use crate::extract::Passed;

/// A service behind an approval. Made by [`SudoLayer`](crate::SudoLayer).
#[derive(Debug, Clone)]
pub struct SudoService<S> {
    pub(crate) inner: S,
    pub(crate) demand: Demand,
}

impl<S> Service<Request<Body>> for SudoService<S>
where
    S: Service<Request<Body>, Response = Response> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The service that was polled ready is the one to call; its clone takes its place.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let demand = self.demand.clone();
        Box::pin(async move {
            match judge(&demand, request).await {
                Ok((request, run)) => {
                    let response = inner.call(request).await?;
                    let refused = run.finish(response.status().as_u16()).await;
                    Ok(refused.map_or(response, convert::refusal))
                }
                Err(refusal) => Ok(convert::refusal(refusal)),
            }
        })
    }
}

/// The request to run and whom to tell how it ended, or why it may not.
async fn judge(demand: &Demand, request: Request<Body>) -> Result<(Request<Body>, Run), Refusal> {
    let (engine, (parts, body)) = (demand.engine(), request.into_parts());
    let mut head = Head::of(parts);
    let Some(guarded) = demand.route(&head.view(&[])).await? else {
        head.parts.extensions.insert(Passed(None));
        return Ok((Request::from_parts(head.parts, body), engine.run(None)));
    };
    let body = convert::collect(&head.view(&[]), body, engine.max_body_bytes()).await;
    let body = body.map_err(|why| engine.body_refused(why))?;
    let passed = guarded.check(&head.view(&body)).await.into_result()?;
    let run = engine.run(passed.as_ref());
    // Keeps the used key out of what inner layers print.
    head.parts.headers.get_mut("x-sudo-instruction-key").into_iter().for_each(|key| key.set_sensitive(true));
    head.parts.extensions.insert(Passed(passed));
    Ok((Request::from_parts(head.parts, Body::from(body)), run))
}
