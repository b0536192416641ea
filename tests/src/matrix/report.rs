//! The results as a page.

use std::fmt::Write;

use super::{COMMANDS, Cell, Row, VERBS};

/// The results of one kubectl.
pub struct Results {
    /// Its version, such as `v1.37.0`.
    pub version: String,
    /// A row for each kind, a cell for each verb.
    pub verbs: Vec<Row>,
    /// A row of one cell for each command.
    pub commands: Vec<Row>,
}

/// The page, in Markdown.
pub fn report(results: &[Results]) -> String {
    let versions: Vec<_> = results
        .iter()
        .map(|result| format!("kubectl {}", result.version))
        .collect();
    let mut page = format!(
        "# Compatibility\n\n\
         What kubectl does with Mosaic, tried with {}. This page is written by `make compatibility`;\n\
         `make test` fails when a result differs from what is expected.\n\n\
         `yes` as with Kubernetes · `no¹` does not work, for the reason below the tables · `FAILS` not as it\n\
         should be. With two results in a cell, the versions differ.\n",
        versions.join(" and "),
    );
    let mut notes = Notes::default();

    page.push_str("\n## Every verb on every kind\n\n| kind |");
    for verb in VERBS {
        write!(page, " {} |", verb.name).ok();
    }
    page.push_str("\n| --- |");
    page.push_str(&" --- |".repeat(VERBS.len()));
    page.push('\n');
    let first = &results[0].verbs;
    for (index, (kind, cells)) in first.iter().enumerate() {
        write!(page, "| {kind} |").ok();
        for column in 0..cells.len() {
            let each: Vec<_> = results
                .iter()
                .map(|result| &result.verbs[index].1[column])
                .collect();
            write!(page, " {} |", notes.merged(&each)).ok();
        }
        page.push('\n');
    }

    page.push_str("\n## Other commands\n\n| command | result |\n| --- | --- |\n");
    for (index, command) in COMMANDS.iter().enumerate() {
        let each: Vec<_> = results
            .iter()
            .map(|result| &result.commands[index].1[0])
            .collect();
        writeln!(page, "| `{}` | {} |", command.name, notes.merged(&each)).ok();
    }

    if !notes.0.is_empty() {
        page.push_str("\n## Reasons\n\n");
        for (index, note) in notes.0.iter().enumerate() {
            writeln!(page, "{}. {note}", index + 1).ok();
        }
    }
    page
}

#[derive(Default)]
struct Notes(Vec<String>);

impl Notes {
    /// One text for the results of all versions.
    fn merged(&mut self, cells: &[&Cell]) -> String {
        let mut texts: Vec<_> = cells.iter().map(|cell| self.text(cell)).collect();
        texts.dedup();
        texts.join(", ")
    }

    fn text(&mut self, cell: &Cell) -> String {
        let (word, note) = match cell {
            Cell::Works => return "yes".to_owned(),
            Cell::Refused(reason) => ("no", (*reason).to_owned()),
            Cell::Fails(text) => ("**FAILS**", failure(text)),
        };
        let known = self.0.iter().position(|other| *other == note);
        let number = known.unwrap_or_else(|| {
            self.0.push(note);
            self.0.len() - 1
        }) + 1;
        format!("{word}<sup>{number}</sup>")
    }
}

/// The line of a failure that tells most.
fn failure(text: &str) -> String {
    let line = text
        .lines()
        .find(|line| line.starts_with("Error") || line.starts_with("error"));
    let line = line.or_else(|| text.lines().next()).unwrap_or("no message");
    line.chars().take(200).collect()
}
