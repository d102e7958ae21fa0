//! What the documents claim, checked.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use bloonio_wire::code::ErrorCode;

fn error_codes() -> String {
    let mut page = String::from(
        "# Error codes\n\nThe stable code in `error`, with its HTTP status. Made from the table in `bloonio-wire`; \
         `UPDATE_DOCS=1 cargo xtask test documents` writes it anew.\n\n| `error` | HTTP | message |\n| --- | --- | --- |\n",
    );
    for code in ErrorCode::ALL {
        writeln!(page, "| `{}` | {} | {} |", code.name(), code.status(), code.text()).unwrap();
    }
    page
}

#[test]
fn the_page_of_error_codes_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/error-codes.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, error_codes()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), error_codes(), "run UPDATE_DOCS=1 cargo xtask test documents");
}

#[test]
fn every_page_is_in_the_summary_and_every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let pages = std::fs::read_dir(root.join("docs/src")).unwrap().map(|entry| entry.unwrap().path());
    let mut documents: Vec<_> = pages.filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    let summary = std::fs::read_to_string(root.join("docs/src/SUMMARY.md")).unwrap();
    for page in &documents {
        let name = page.file_name().unwrap().to_str().unwrap();
        assert!(name == "SUMMARY.md" || summary.contains(&format!("({name})")), "{name} is not in the summary");
    }
    documents.push(root.join("README.md"));
    for document in documents {
        let text = std::fs::read_to_string(&document).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            let known = link.is_empty() || link.starts_with("http") || document.parent().unwrap().join(link).exists();
            assert!(known, "{}: {link} leads nowhere", document.display());
        }
    }
}

#[test]
fn the_quick_start_of_the_readme_is_at_most_15_lines_of_rust() {
    let readme = include_str!("../../README.md");
    let code = readme.split("```rust").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let lines = code.lines().skip(1).filter(|line| !line.trim().is_empty()).count();
    assert!((1..=15).contains(&lines), "{lines} lines");
}

fn rust_sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_sources(&path, text);
        } else if path.extension().is_some_and(|e| e == "rs") {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_test_that_the_security_model_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut sources = String::new();
    rust_sources(&root.join("crates"), &mut sources);
    rust_sources(&root.join("tests"), &mut sources);
    let page = std::fs::read_to_string(root.join("docs/src/security-model.md")).unwrap();
    let names = page.split('`').skip(1).step_by(2).filter(|name| name.split('_').count() > 3);
    let mut seen = 0;
    for name in names {
        assert!(sources.contains(&format!("fn {name}(")), "{name} is named, but there is no such test");
        seen += 1;
    }
    assert!(seen > 60, "{seen} names");
    for row in 1..=107 {
        let line = page.lines().find(|line| tells_of(line, row)).unwrap_or_default();
        let shown_by = line.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        assert!(shown_by.len() > 10, "A{row:02} has neither a test nor a reason: {line}");
    }
    for row in ["A01", "A02", "A03", "A05", "A15", "A16", "A17", "A18", "A19", "A20", "A21", "A24", "A25", "A26", "A31"]
    {
        let number = &row[1..];
        let line = page.lines().find(|line| line.starts_with(&format!("| {row} "))).unwrap();
        assert!(line.contains(&format!("`a{number}_")), "{row} has no test of its own");
    }
}

/// Whether a line of the table is the row of that attack, or of several with it: `| A45–A59 | …`.
fn tells_of(line: &str, row: u32) -> bool {
    let Some(name) = line.strip_prefix("| A").and_then(|rest| rest.split(' ').next()) else { return false };
    let (first, last) = name.split_once("–A").unwrap_or((name, name));
    matches!((first.parse(), last.parse()), (Ok(first), Ok(last)) if (first..=last).contains(&row))
}

#[test]
fn every_row_of_the_contract_runs_on_redis_too() {
    let rows = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/adapters");
    let on_redis = include_str!("adapters_on_redis.rs");
    for entry in std::fs::read_dir(rows).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "main.rs" || on_redis.contains(&format!("adapters/{name}\"")), "{name} is not there");
    }
}

/// The sources of an adapter, without its tests.
fn sources(adapter: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates").join(adapter).join("src");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn the_adapters_are_thin() {
    for adapter in ["bloonio-axum", "bloonio-actix"] {
        let lines: usize = sources(adapter).iter().map(|file| file.lines().count()).sum();
        assert!((1..=330).contains(&lines), "{adapter}: {lines} lines");
    }
}

/// What an adapter's `lib.rs` exports.
fn exports(lib: &str) -> BTreeSet<&str> {
    let uses = lib.split("pub use ").skip(1).filter_map(|rest| rest.split(';').next());
    let names = uses.flat_map(|path| path.split([',', '{', '}']));
    names.map(|name| name.rsplit("::").next().unwrap().trim()).filter(|name| !name.is_empty()).collect()
}

#[test]
fn the_adapters_expose_the_same_names() {
    let axum = exports(include_str!("../../crates/bloonio-axum/src/lib.rs"));
    let actix = exports(include_str!("../../crates/bloonio-actix/src/lib.rs"));
    assert!(axum.len() > 5, "{axum:?}");
    // Each framework has its own word for what is put in front of a handler.
    let own: Vec<_> = axum.symmetric_difference(&actix).copied().collect();
    assert!(axum.contains("*"), "what is the engine's comes from its prelude");
    assert_eq!(own, ["SudoLayer", "SudoMiddleware", "SudoService"]);
}
