//! Between axum's types and the engine's plain data. Nothing is decided here.

use axum::body::Body;
use axum::extract::OriginalUri;
use axum::response::Response;
use bloonio_sudo::request::{BodyError, Headers, RequestView};
use bloonio_sudo::{Answer, Refusal, Reply, body};
use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode, Uri};

/// The request that closures meet in [`RequestView::native`]: the parts that the layer received.
pub type NativeRequest = Parts;

/// A request without its body, and the target of its request line: nested routers rewrite the URI in the parts.
pub(crate) struct Head {
    pub(crate) parts: Parts,
    target: Uri,
}

impl Headers for Head {
    fn values(&self, name: &str) -> Vec<&[u8]> {
        self.parts.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
    }
}

impl Head {
    pub(crate) fn of(parts: Parts) -> Self {
        let original = parts.extensions.get().map(|OriginalUri(uri)| uri.clone());
        Self { target: original.unwrap_or_else(|| parts.uri.clone()), parts }
    }

    pub(crate) fn view<'a>(&'a self, body: &'a [u8]) -> RequestView<'a> {
        let host = || self.parts.headers.get(HOST).and_then(|host| host.to_str().ok());
        RequestView::new(self.parts.method.as_str(), self.target.path(), self.target.query(), self)
            .with_authority(self.target.authority().map(|authority| authority.as_str()).or_else(host))
            .with_body(body)
            .with_native(&self.parts)
    }
}

/// The whole body of `view`'s request, if it has at most `most` bytes.
pub(crate) async fn collect(view: &RequestView<'_>, body: Body, most: usize) -> Result<Bytes, BodyError> {
    let mut pieces = body.into_data_stream();
    let collected = body::collect(view, &mut pieces, most).await;
    if collected == Err(BodyError::TooLarge) {
        tokio::spawn(body::drain(body::declared(view), pieces)); // beside the answer
    }
    collected
}

/// A refusal, with its code in the extensions for outer layers.
pub(crate) fn refusal(refusal: Refusal) -> Response {
    let kind = refusal.kind();
    let mut response = reply(refusal.into_reply());
    response.extensions_mut().insert(kind);
    response
}

pub(crate) fn reply(reply: Reply) -> Response {
    respond(reply.status, reply.headers, Body::from(reply.body))
}

pub(crate) fn answer(answer: Answer) -> Response {
    match answer {
        Answer::Reply(whole) => reply(whole),
        Answer::Events { status, headers, events } => respond(status, headers, Body::from_stream(events)),
    }
}

fn respond(status: u16, headers: Vec<(&'static str, String)>, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers =
        headers.into_iter().filter_map(|(name, value)| Some((HeaderName::from_static(name), value.try_into().ok()?)));
    response.headers_mut().extend(headers);
    response
}
