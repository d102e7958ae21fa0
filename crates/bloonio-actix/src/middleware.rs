//! The middleware: converts, asks the engine, obeys.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::rc::Rc;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::{Error, HttpMessage};
use bloonio_sudo::{Demand, Refusal};

use crate::convert::{self, Head, NativeRequest};
use crate::extract::Passed;

/// Demands approvals. Made by [`BloonioAuth::sudo_required`](crate::BloonioAuth::sudo_required) and `sudo_resolved`.
#[derive(Debug, Clone)]
pub struct SudoMiddleware(pub(crate) Demand);

impl<S, B> Transform<S, ServiceRequest> for SudoMiddleware
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = SudoMiddlewareService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(SudoMiddlewareService { inner: Rc::new(service), sudo: self.clone() }))
    }
}

/// A service behind an approval.
#[doc(hidden)]
#[derive(Debug)]
pub struct SudoMiddlewareService<S> {
    inner: Rc<S>,
    sudo: SudoMiddleware,
}

impl<S, B> Service<ServiceRequest> for SudoMiddlewareService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>>>>;

    forward_ready!(inner);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let (inner, sudo) = (Rc::clone(&self.inner), self.sudo.clone());
        let (request, payload) = request.into_parts();
        let head = Head(NativeRequest::new(request));
        Box::pin(async move {
            let judged = sudo.judge(&head, payload).await;
            let mut request = ServiceRequest::from_request(head.0.take());
            match judged {
                Ok((passed, payload)) => {
                    let run = sudo.0.engine().run(passed.0.as_ref());
                    pass(&mut request, passed, payload);
                    let response = inner.call(request).await?;
                    Ok(match run.finish(response.status().as_u16()).await {
                        Some(refusal) => response.into_response(convert::refusal(refusal)).map_into_right_body(),
                        None => response.map_into_left_body(),
                    })
                }
                Err(refusal) => Ok(request.into_response(convert::refusal(refusal)).map_into_right_body()),
            }
        })
    }
}

impl SudoMiddleware {
    /// What to run the request with, or why it may not.
    async fn judge(&self, head: &Head, payload: Payload) -> Result<(Passed, Payload), Refusal> {
        let engine = self.0.engine();
        let Some(guarded) = self.0.route(&head.view(&[])).await? else {
            return Ok((Passed(None), payload));
        };
        let body = convert::collect(head, payload, engine.max_body_bytes()).await;
        let body = body.map_err(|why| engine.body_refused(why))?;
        let passed = guarded.check(&head.view(&body)).await.into_result()?;
        Ok((Passed(passed), Payload::from(body)))
    }
}

/// Gives inner services the body that was judged, and what was decided.
fn pass(request: &mut ServiceRequest, passed: Passed, payload: Payload) {
    // Keeps the used key out of what inner middleware print.
    request.headers_mut().get_mut("x-sudo-instruction-key").into_iter().for_each(|key| key.set_sensitive(true));
    request.extensions_mut().insert(passed);
    request.set_payload(payload);
}
