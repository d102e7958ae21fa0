//! How a command answers: in a table on a terminal, in JSON to whatever else reads it.

use std::io::IsTerminal;

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::config::StoreArgs;
use crate::service::error::ServiceError;
use crate::storage::Storage;
use crate::telemetry::AUDIT;

/// Form of a command's answer.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct OutputArgs {
    /// Answer in JSON on a terminal, too. Whatever is no terminal always gets JSON.
    #[arg(long)]
    pub json: bool,

    /// Answer in text, whoever reads it.
    #[arg(long, conflicts_with = "json")]
    pub text: bool,
}

/// Where the database is that a command works in, and how it answers.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    #[command(flatten)]
    pub(super) output: OutputArgs,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

impl PlaceArgs {
    /// Opens the database, does the work, notes `operation` in the log, prints the answer, closes the database. `subject`
    /// is what there may be none of; pages are shown as tables of `columns`.
    ///
    /// # Errors
    /// What went wrong, for the person at the terminal.
    pub(super) async fn work<T: Serialize>(
        self,
        operation: &'static str,
        subject: &str,
        columns: &[&str],
        work: impl AsyncFnOnce(&Storage) -> Result<T, ServiceError>,
    ) -> anyhow::Result<()> {
        let done = super::on_storage(self.store, async |storage, _keys| work(storage).await).await?;
        tracing::info!(target: AUDIT, operation, succeeded = done.is_ok(), "operator call from the command line");
        self.output.print(&done.map_err(|error| super::explain(error, subject))?, columns)
    }
}

impl OutputArgs {
    /// Whether the answer is text.
    pub fn is_text(self) -> bool {
        self.text || (!self.json && std::io::stdout().is_terminal())
    }

    /// Prints `answer`: pages as a table of `columns`, anything else with all its fields.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub fn print(self, answer: &Value, columns: &[&str]) -> anyhow::Result<()> {
        match self.is_text() {
            true => super::print(text(answer, columns).trim_end()),
            false => super::print(&serde_json::to_string_pretty(answer)?),
        }
    }
}

fn text(answer: &Value, columns: &[&str]) -> String {
    match (answer, answer["items"].as_array()) {
        (_, Some(items)) => table(items, answer["total"].as_i64(), columns),
        (Value::Object(fields), None) => lines(fields),
        (other, None) => cell(other),
    }
}

fn lines(fields: &Map<String, Value>) -> String {
    let width = fields.keys().map(String::len).max().unwrap_or(0);
    fields.iter().map(|(name, value)| format!("{name:width$}  {}\n", cell(value))).collect()
}

fn table(items: &[Value], total: Option<i64>, columns: &[&str]) -> String {
    let mut rows = vec![columns.iter().map(|column| column.to_uppercase()).collect::<Vec<_>>()];
    rows.extend(items.iter().map(|item| columns.iter().map(|column| cell(&item[*column])).collect()));
    let width = |i: usize| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    let table: String = rows.iter().map(line).collect();
    let total = total.map(|total| format!("{} of {total}\n", items.len())).unwrap_or_default();
    table + &total
}

/// One value on one line. Control characters are escaped: what a tenant has named must not command a terminal.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    let shown = |c: char| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_page_is_a_table_and_says_how_many_there_are() {
        let page = json!({"items": [{"id": "a", "n": 1}, {"id": "longer", "n": null}], "total": 7});
        assert_eq!(text(&page, &["id", "n"]), "ID      N\na       1\nlonger  -\n2 of 7\n");
    }

    #[test]
    fn an_object_shows_every_field() {
        let object = json!({"name": "Bank", "origins": ["https://a.example", "https://b.example"], "none": []});
        let shown = text(&object, &[]);
        let mut lines: Vec<_> = shown.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["name     Bank", "none     -", "origins  https://a.example, https://b.example"]);
    }

    #[test]
    fn nothing_that_is_shown_commands_the_terminal() {
        assert_eq!(cell(&json!("a\u{1b}[31m\nb")), "a\\u{1b}[31m\\nb");
    }
}
