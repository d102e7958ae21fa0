//! Between axum's types and the engine's plain data. Nothing is decided here.

use axum::body::Body;
use axum::extract::OriginalUri;
use axum::response::Response;
use bloonio_sudo::{Answer, BodyError, Refusal, Reply, RequestView, body};
use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode, Uri};

/// The request that closures meet in [`RequestView::native`]: the parts that the layer received.
pub type NativeRequest = Parts;

/// The target of the request line: nested routers rewrite the URI in the parts.
pub(crate) struct Target(Uri);

impl Target {
    pub(crate) fn of(parts: &Parts) -> Self {
        let original = parts.extensions.get::<OriginalUri>().map(|OriginalUri(uri)| uri.clone());
        Self(original.unwrap_or_else(|| parts.uri.clone()))
    }

    pub(crate) fn view<'a>(&'a self, parts: &'a Parts, body: &'a [u8]) -> RequestView<'a> {
        let Self(uri) = self;
        let host = || parts.headers.get(HOST).and_then(|host| host.to_str().ok());
        let headers = |name: &str| parts.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        RequestView::new(parts.method.as_str(), uri.path(), uri.query(), headers)
            .with_authority(uri.authority().map(|authority| authority.as_str()).or_else(host))
            .with_body(body)
            .with_native(parts)
    }
}

/// The whole body of `view`'s request, if it has at most `most` bytes.
pub(crate) async fn collect(view: &RequestView<'_>, body: Body, most: usize) -> Result<Bytes, BodyError> {
    let mut pieces = body.into_data_stream();
    let collected = body::collect(view, &mut pieces, most).await;
    if collected == Err(BodyError::TooLarge) {
        // Beside the answer.
        tokio::spawn(body::drain(body::declared(view), pieces));
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
