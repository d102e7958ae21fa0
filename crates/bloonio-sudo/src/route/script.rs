//! `bloonio.js`: the two calls of a protected route, for a web page (PROTOCOL 9.4).

use std::sync::LazyLock;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::reply::Reply;
use crate::request::RequestView;

/// The module as it is served.
const SCRIPT: &str = include_str!("../../assets/bloonio.js");

/// Names the content, so that a page gets a new version as soon as the backend has one.
static ETAG: LazyLock<String> = LazyLock::new(|| format!("\"{}\"", hex::encode(&Sha256::digest(SCRIPT)[..16])));

/// The module, or that the caller has it already. Anybody may read it: there is nothing secret in it.
pub(super) fn script(view: &RequestView<'_>) -> Reply {
    let mut headers = vec![("etag", ETAG.clone()), ("cache-control", "no-cache".to_owned())];
    if is_known(view) {
        return Reply { status: 304, headers, body: Bytes::new() };
    }
    headers.push(("content-type", "text/javascript; charset=utf-8".to_owned()));
    headers.push(("x-content-type-options", "nosniff".to_owned()));
    Reply { status: 200, headers, body: Bytes::from_static(SCRIPT.as_bytes()) }
}

/// Whether `If-None-Match` names this content, weakly compared (RFC 9110, 13.1.2).
fn is_known(view: &RequestView<'_>) -> bool {
    let given = view.header_values("if-none-match");
    given.iter().flat_map(|value| value.split(|b| *b == b',')).map(<[u8]>::trim_ascii).any(|tag| {
        let opaque = tag.strip_prefix(b"W/").unwrap_or(tag);
        tag == b"*" || opaque == ETAG.as_bytes()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn asked_with(condition: Option<&'static str>) -> Reply {
        let headers = move |name: &str| match name {
            "if-none-match" => condition.map(str::as_bytes).into_iter().collect(),
            _ => Vec::new(),
        };
        script(&RequestView::new("GET", "/_bloonio/bloonio.js", None, &headers))
    }

    #[rstest]
    #[case::first_visit(None, 200)]
    #[case::the_same(Some(ETAG.as_str()), 304)]
    #[case::weak(Some("W/{tag}"), 304)]
    #[case::one_of_several(Some("\"older\", {tag}"), 304)]
    #[case::any(Some("*"), 304)]
    #[case::older(Some("\"older\""), 200)]
    #[case::half_a_tag(Some("W/"), 200)]
    #[case::nothing(Some(""), 200)]
    fn the_module_is_sent_to_who_does_not_have_it(#[case] condition: Option<&str>, #[case] status: u16) {
        // Headers in tests are lent for good.
        let condition = condition.map(|text| &*text.replace("{tag}", &ETAG).leak());
        let reply = asked_with(condition);
        assert_eq!((reply.status, reply.body.is_empty()), (status, status == 304));
        assert!(reply.headers.contains(&("etag", ETAG.clone())));
    }
}
