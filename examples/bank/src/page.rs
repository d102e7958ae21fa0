//! The bank's page: plain files, no build step. Everything that it shows is put in as text, and the policy below lets the
//! browser run nothing that is not one of these files.

/// A file of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    /// Where it is served.
    pub path: &'static str,
    /// `Content-Type`
    pub content_type: &'static str,
    /// Its content.
    pub body: &'static str,
}

/// The page, its script and its style. None of them needs a sign-in; what they ask the bank for does.
pub static ASSETS: [Asset; 3] = [
    Asset { path: "/", content_type: "text/html; charset=utf-8", body: include_str!("../assets/index.html") },
    Asset { path: "/page.js", content_type: "text/javascript; charset=utf-8", body: include_str!("../assets/page.js") },
    Asset { path: "/page.css", content_type: "text/css; charset=utf-8", body: include_str!("../assets/page.css") },
];

/// What each of them is served with: no other origin may frame the page, and it loads, runs and asks only its own.
pub const HEADERS: [(&str, &str); 5] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    ("x-frame-options", "DENY"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-cache"),
];
