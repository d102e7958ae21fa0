//! What the documents claim, checked.

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
