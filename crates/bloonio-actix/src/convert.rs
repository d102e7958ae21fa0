//! Between actix's types and the engine's plain data. Nothing is decided here.

use actix_web::body::BodyStream;
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{HOST, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bloonio_sudo::request::{BodyError, Headers, RequestView};
use bloonio_sudo::{Answer, Refusal, Reply, body};
use bytes::Bytes;
use send_wrapper::SendWrapper;

/// The request that closures meet in [`RequestView::native`]: actix's own, with the extensions that other middleware set.
/// Closures run on its worker's thread; one that uses it on another thread panics.
pub type NativeRequest = SendWrapper<HttpRequest>;

/// A request without its body.
pub(crate) struct Head(pub(crate) NativeRequest);

impl Headers for Head {
    fn values(&self, name: &str) -> Vec<&[u8]> {
        self.0.headers().get_all(name).map(HeaderValue::as_bytes).collect()
    }
}

impl Head {
    /// Path and query are those of the request line: actix matches routes on a decoded copy.
    pub(crate) fn view<'a>(&'a self, body: &'a [u8]) -> RequestView<'a> {
        let uri = self.0.uri();
        let host = || self.0.headers().get(HOST).and_then(|host| host.to_str().ok());
        RequestView::new(self.0.method().as_str(), uri.path(), uri.query(), self)
            .with_authority(uri.authority().map(|authority| authority.as_str()).or_else(host))
            .with_body(body)
            .with_native(&self.0)
    }
}

/// The whole body, if it has at most `most` bytes. What is left of a larger one actix reads itself, beside the answer.
pub(crate) async fn collect(head: &Head, mut payload: Payload, most: usize) -> Result<Bytes, BodyError> {
    body::collect(&head.view(&[]), &mut payload, most).await
}

/// A refusal, with its code in the extensions for outer middleware. A response and not an error: actix takes five times as
/// long over an error.
pub(crate) fn refusal(refusal: Refusal) -> HttpResponse {
    let kind = refusal.kind();
    let mut response = reply(refusal.into_reply());
    response.extensions_mut().insert(kind);
    response
}

pub(crate) fn reply(reply: Reply) -> HttpResponse {
    head(reply.status, reply.headers).body(reply.body)
}

pub(crate) fn answer(answer: Answer) -> HttpResponse {
    match answer {
        Answer::Reply(whole) => reply(whole),
        Answer::Events { status, headers, events } => head(status, headers).body(BodyStream::new(events)),
    }
}

fn head(status: u16, headers: Vec<(&'static str, String)>) -> HttpResponseBuilder {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponseBuilder::new(status);
    for (name, value) in headers {
        response.append_header((HeaderName::from_static(name), value));
    }
    response
}
