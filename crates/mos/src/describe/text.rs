//! Indented `Label: value` text with the values in line.

use unicode_width::UnicodeWidthStr;

use serde_json::Value;

use crate::output::style::{Style, printable};
use crate::output::table::Grid;

const INDENT: usize = 2;
const GAP: usize = 2;
/// Values longer than this are cut; a description is for reading.
const MAX_VALUE: usize = 2_000;

enum Line {
    Field {
        level: usize,
        label: String,
        value: String,
    },
    Verbatim(String),
}

/// A description in the making.
pub(crate) struct Report {
    lines: Vec<Line>,
    level: usize,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self {
            lines: Vec::new(),
            level: 0,
        }
    }

    /// One label with its value, also if that is empty.
    pub(crate) fn field(&mut self, label: &str, value: &str) {
        self.lines.push(Line::Field {
            level: self.level,
            label: format!("{label}:"),
            value: shown(value),
        });
    }

    /// One label with its value, unless that is empty.
    pub(crate) fn field_if_any(&mut self, label: &str, value: &str) {
        if !value.is_empty() {
            self.field(label, value);
        }
    }

    /// A label whose values stand below it.
    pub(crate) fn heading(&mut self, label: &str) {
        self.field(label, "");
    }

    /// What is written by `write` stands one level deeper.
    pub(crate) fn nested(&mut self, write: impl FnOnce(&mut Self)) {
        self.level += 1;
        write(self);
        self.level -= 1;
    }

    /// A heading with what stands below it.
    pub(crate) fn section(&mut self, label: &str, write: impl FnOnce(&mut Self)) {
        self.heading(label);
        self.nested(write);
    }

    /// A label with several values, one below the other.
    pub(crate) fn values(&mut self, label: &str, values: &[String]) {
        let Some((first, rest)) = values.split_first() else {
            return self.field(label, "<none>");
        };
        self.field(label, first);
        for value in rest {
            self.lines.push(Line::Field {
                level: self.level,
                label: String::new(),
                value: shown(value),
            });
        }
    }

    /// A map, one entry a line.
    pub(crate) fn map(&mut self, label: &str, map: Option<&Value>, separator: &str) {
        let entries = map.and_then(Value::as_object).into_iter().flatten();
        let values: Vec<String> = entries
            .map(|(key, value)| format!("{key}{separator}{}", super::plain(Some(value))))
            .collect();
        self.values(label, &values);
    }

    /// A table below the last line.
    pub(crate) fn table(&mut self, headings: &[&str], rows: Vec<Vec<String>>) {
        let underline = |name: &&str| "-".repeat(name.len());
        let mut lines = vec![
            headings
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>(),
            headings.iter().map(underline).collect(),
        ];
        lines.extend(
            rows.into_iter()
                .map(|row| row.iter().map(|cell| shown(cell)).collect()),
        );
        let indent = " ".repeat((self.level + 1) * INDENT);
        for line in Grid::new(&[], Style::PLAIN).render(&lines, false).lines() {
            self.lines.push(Line::Verbatim(
                format!("{indent}{line}").trim_end().to_owned(),
            ));
        }
    }

    /// A line as it is.
    pub(crate) fn verbatim(&mut self, text: &str) {
        let indent = " ".repeat(self.level * INDENT);
        self.lines
            .push(Line::Verbatim(format!("{indent}{}", printable(text))));
    }

    /// The text. Values of one level stand in line with those of its neighbours.
    pub(crate) fn finish(self) -> String {
        let mut text = String::new();
        for (index, line) in self.lines.iter().enumerate() {
            match line {
                Line::Verbatim(line) => text.push_str(line),
                Line::Field {
                    level,
                    label,
                    value,
                } => {
                    let indent = " ".repeat(level * INDENT);
                    if value.is_empty() {
                        text.push_str(&format!("{indent}{label}"));
                    } else {
                        let padding = self.width(index, *level).saturating_sub(label.width());
                        text.push_str(&format!("{indent}{label}{}{value}", " ".repeat(padding)));
                    }
                }
            }
            text.push('\n');
        }
        text
    }

    /// The width of labels around a line: of the run of lines that are not less deep.
    fn width(&self, index: usize, level: usize) -> usize {
        let widest = |lines: &mut dyn Iterator<Item = &Line>| {
            let mut widest = 0;
            for line in lines {
                match line {
                    Line::Field { level: other, .. } if *other < level => break,
                    Line::Field {
                        level: other,
                        label,
                        value,
                    } if *other == level && !value.is_empty() => {
                        widest = widest.max(label.width());
                    }
                    _ => {}
                }
            }
            widest
        };
        let before = widest(&mut self.lines.get(..=index).unwrap_or_default().iter().rev());
        let after = widest(&mut self.lines.get(index..).unwrap_or_default().iter());
        before.max(after) + GAP
    }
}

fn shown(value: &str) -> String {
    let line = value.replace('\n', " ");
    let text = printable(line.trim());
    if text.chars().count() <= MAX_VALUE {
        return text.into_owned();
    }
    text.chars().take(MAX_VALUE).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_level_are_in_line() {
        let mut report = Report::new();
        report.field("Name", "a");
        report.section("Containers", |report| {
            report.field("Image", "x");
            report.values("Environment", &["A=1".into(), "B=2".into()]);
        });
        report.field("Long Label", "b");
        report.table(&["Type", "Age"], vec![vec!["Normal".into(), "5s".into()]]);
        assert_eq!(
            report.finish(),
            "Name:        a\nContainers:\n  Image:        x\n  Environment:  A=1\n                B=2\nLong Label:  b\n  Type     Age\n  ----     ---\n  Normal   5s\n"
        );
    }
}
