//! `GET /docs`: the OpenAPI document as a page for people, written out by the server.
//!
//! It has no script, loads nothing, and may be framed by nobody: what an operator opens beside an admin key must not be able
//! to do anything.

use std::fmt::Write;

use axum::response::{IntoResponse, Response};
use bloonio_wire::envelope::Failure;
use http::HeaderValue;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use serde_json::Value;

use super::value;
use crate::http::error::ApiError;

/// Nothing but the page's own style sheet, which is part of it.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}\
    code,pre{font:14px ui-monospace,monospace}table{border-collapse:collapse;width:100%}\
    td,th{border-top:1px solid #d5dae0;padding:.3rem .6rem;text-align:left;vertical-align:top}\
    section{border:1px solid #d5dae0;border-radius:6px;margin:1rem 0;padding:0 1rem 1rem}\
    h3 b{background:#0b5;color:#fff;border-radius:4px;padding:.1rem .5rem;margin-right:.5rem}h3 b.get{background:#06c}";

/// This document as a page for people.
///
/// # Errors
/// That of writing the document.
#[utoipa::path(get, path = "/docs", tag = "documentation", responses(
    (status = 200, description = "A page without scripts", content_type = "text/html", body = String),
    (status = 500, description = "`INTERNAL_ERROR`", body = Failure),
))]
pub async fn page() -> Result<Response, ApiError> {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    Ok((headers, html(&value()?)).into_response())
}

/// The document as HTML.
pub fn html(document: &Value) -> String {
    let title = text(&document["info"]["title"]);
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style>\
         <h1>{title} {}</h1><p>{} The same for programs: <a href=\"/openapi.json\"><code>/openapi.json</code></a>.</p>",
        text(&document["info"]["version"]),
        text(&document["info"]["description"]),
    );
    out.push_str("<h2>Who calls</h2><table><tr><th>name<th>how</tr>");
    for (name, scheme) in members(&document["components"]["securitySchemes"]) {
        let way = scheme["name"].as_str().map_or_else(|| "Authorization: Bearer".to_owned(), escaped);
        let _ = write!(
            out,
            "<tr><td><code>{}</code><td><code>{way}</code> {}</tr>",
            escaped(name),
            text(&scheme["description"])
        );
    }
    out.push_str("</table><h2>Calls</h2>");
    for (path, operations) in members(&document["paths"]) {
        for (method, operation) in members(operations) {
            out.push_str(&call(document, path, method, operation));
        }
    }
    out
}

fn call(document: &Value, path: &str, method: &str, operation: &Value) -> String {
    let mut out = format!(
        "<section><h3><b class=\"{method}\">{}</b><code>{}</code></h3><p>{} {}</p>",
        escaped(&method.to_uppercase()),
        escaped(path),
        text(&operation["summary"]),
        text(&operation["description"]),
        method = escaped(method),
    );
    let schemes = operation["security"].as_array().into_iter().flatten().flat_map(members);
    let schemes: Vec<_> = schemes.map(|(name, _)| format!("<code>{}</code>", escaped(name))).collect();
    let who = if schemes.is_empty() { "anybody".to_owned() } else { schemes.join(" or ") };
    let _ = write!(out, "<p>Called by {who}.</p>");
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let parameters: Vec<_> = parameters
        .map(|parameter| {
            row(&parameter["name"], &parameter["schema"], parameter["required"] == true, &parameter["description"])
        })
        .collect();
    out.push_str(&table("Parameters", &parameters));
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    out.push_str(&table("Body", &fields(document, body)));
    if let Some(example) = operation["requestBody"]["content"]["application/json"].get("example") {
        let _ = write!(out, "<h4>Example</h4><pre>{}</pre>", escaped(&format!("{example:#}")));
    }
    let answers = members(&operation["responses"]);
    let answers: Vec<_> = answers
        .map(|(status, answer)| {
            format!("<tr><td><code>{}</code><td colspan=\"2\">{}</tr>", escaped(status), text(&answer["description"]))
        })
        .collect();
    out.push_str(&table("Answers", &answers));
    out.push_str("</section>");
    out
}

/// A row for each field of a body, of all parts that it is put together from.
fn fields(document: &Value, schema: &Value) -> Vec<String> {
    let schema = resolved(document, schema);
    let parts = schema["allOf"].as_array().into_iter().flatten();
    let mut rows: Vec<_> = parts.flat_map(|part| fields(document, part)).collect();
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    rows.extend(members(&schema["properties"]).map(|(name, field)| {
        let name = Value::from(name);
        row(&name, field, required.contains(&name), &field["description"])
    }));
    rows
}

/// What a reference leads to; anything else is itself.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let name = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/components/schemas/"));
    name.map_or(schema, |name| &document["components"]["schemas"][name])
}

fn row(name: &Value, schema: &Value, required: bool, description: &Value) -> String {
    let required = if required { "required" } else { "" };
    format!("<tr><td><code>{}</code> {required}<td>{}<td>{}</tr>", text(name), kind(schema), text(description))
}

/// A type in a few words.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return escaped(name);
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(text).collect::<Vec<_>>().join(" | ");
    }
    let choices = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
    if let Some(choices) = choices {
        return choices.iter().map(kind).collect::<Vec<_>>().join(" | ");
    }
    match &schema["type"] {
        Value::String(name) if name == "array" => format!("list of {}", kind(&schema["items"])),
        Value::Array(names) => names.iter().map(text).collect::<Vec<_>>().join(" | "),
        name => text(name),
    }
}

fn table(heading: &str, rows: &[String]) -> String {
    match rows.is_empty() {
        true => String::new(),
        false => format!("<h4>{heading}</h4><table>{}</table>", rows.concat()),
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(String::new, escaped)
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_in_the_document_becomes_markup() {
        let evil = "<script>alert(1)</script>\"'&";
        let document = json!({
            "info": {"title": evil, "version": evil, "description": evil},
            "components": {"securitySchemes": {evil: {"name": evil, "description": evil}}},
            "paths": {evil: {evil: {
                "summary": evil, "description": evil, "security": [{evil: []}],
                "parameters": [{"name": evil, "schema": {"enum": [evil]}, "description": evil}],
                "requestBody": {"content": {"application/json": {"schema": {"properties": {evil: {"type": evil}}}}}},
                "responses": {evil: {"description": evil}}
            }}}
        });
        let page = html(&document);
        assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");
        assert!(!page.contains("<script") && !page.contains("<SCRIPT"), "{page}");
    }
}
