//! Tables as kubectl prints them: upper-case headings, columns three spaces apart.

use mosaic_api::{meta, time};
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use super::style::{Style, printable};

const PADDING: usize = 3;
const MIN_WIDTH: usize = 6;

/// A table that a server made, or one made of objects.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    /// The columns.
    pub(crate) columns: Vec<Column>,
    /// The rows.
    pub(crate) rows: Vec<Row>,
}

/// A column.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// Its heading.
    pub(crate) name: String,
    /// 0 is shown always, more only in wide tables.
    pub(crate) priority: i64,
}

/// A row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// One text a column.
    pub(crate) cells: Vec<String>,
    /// The object, or its metadata alone.
    pub(crate) object: Value,
}

/// What is shown of a table.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    /// Also columns of lower priority.
    pub(crate) wide: bool,
    /// The namespace as the first column.
    pub(crate) namespace: bool,
    /// Labels that get a column each.
    pub(crate) label_columns: Vec<String>,
    /// All labels in the last column.
    pub(crate) show_labels: bool,
    /// What stands before names, such as `pod/`.
    pub(crate) prefix: Option<String>,
}

impl Table {
    /// Reads a `Table`; none if the document is something else.
    pub(crate) fn from_document(document: &Value) -> Option<Self> {
        if document.get("kind")?.as_str()? != "Table" {
            return None;
        }
        let columns = document.get("columnDefinitions").and_then(Value::as_array);
        let columns = columns.into_iter().flatten().map(|column| Column {
            name: column
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            priority: column
                .get("priority")
                .and_then(Value::as_i64)
                .unwrap_or_default(),
        });
        let rows = document
            .get("rows")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|row| Row {
                cells: row
                    .get("cells")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .map(cell)
                    .collect(),
                object: row.get("object").cloned().unwrap_or_default(),
            });
        Some(Self {
            columns: columns.collect(),
            rows: rows.collect(),
        })
    }

    /// A table of name and age, for servers that make no tables.
    pub(crate) fn from_objects(objects: &[Value], now: jiff::Timestamp) -> Self {
        let columns = ["Name", "Age"].map(|name| Column {
            name: name.into(),
            priority: 0,
        });
        let rows = objects.iter().map(|object| Row {
            cells: vec![
                meta::name(object).to_owned(),
                time::age(Some(meta::creation_timestamp(object)), now),
            ],
            object: object.clone(),
        });
        Self {
            columns: columns.into(),
            rows: rows.collect(),
        }
    }

    /// The headings that a view shows.
    pub(crate) fn headings(&self, view: &View) -> Vec<String> {
        let mut headings = Vec::new();
        if view.namespace {
            headings.push("NAMESPACE".into());
        }
        headings.extend(
            self.shown(view)
                .map(|(_, column)| column.name.to_uppercase()),
        );
        // kubectl shows what stands behind the last slash of a label's key.
        headings.extend(
            view.label_columns
                .iter()
                .map(|key| key.rsplit('/').next().unwrap_or(key).to_uppercase()),
        );
        if view.show_labels {
            headings.push("LABELS".into());
        }
        headings
    }

    /// The cells that a view shows of a row.
    pub(crate) fn cells(&self, row: &Row, view: &View) -> Vec<String> {
        let mut cells = Vec::new();
        if view.namespace {
            cells.push(meta::namespace(&row.object).to_owned());
        }
        for (index, column) in self.shown(view) {
            let text = row.cells.get(index).map(String::as_str).unwrap_or_default();
            let text = match &view.prefix {
                Some(prefix) if column.name == "Name" => one_line(&format!("{prefix}{text}")),
                _ => one_line(text),
            };
            cells.push(text);
        }
        let labels = meta::labels(&row.object);
        for key in &view.label_columns {
            cells.push(
                labels
                    .and_then(|labels| labels.get(key))
                    .map(cell)
                    .unwrap_or_default(),
            );
        }
        if view.show_labels {
            let labels: Vec<String> = labels
                .into_iter()
                .flatten()
                .map(|(key, value)| format!("{key}={}", cell(value)))
                .collect();
            cells.push(if labels.is_empty() {
                "<none>".into()
            } else {
                one_line(&labels.join(","))
            });
        }
        cells
    }

    /// The whole table as text.
    pub(crate) fn render(&self, view: &View, headings: bool, style: Style) -> String {
        let names = self.headings(view);
        let mut lines: Vec<Vec<String>> =
            self.rows.iter().map(|row| self.cells(row, view)).collect();
        if headings {
            lines.insert(0, names.clone());
        }
        let mut grid = Grid::new(&names, style);
        grid.render(&lines, headings)
    }

    fn shown(&self, view: &View) -> impl Iterator<Item = (usize, &Column)> {
        let wide = view.wide;
        self.columns
            .iter()
            .enumerate()
            .filter(move |(_, column)| wide || column.priority == 0)
    }
}

/// A cell's text.
fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<none>".into(),
        other => other.to_string(),
    }
}

/// The first line, marked if there are more, and harmless to a terminal.
fn one_line(text: &str) -> String {
    match text.split_once(['\n', '\r']) {
        Some((first, _)) => format!("{}...", printable(first)),
        None => printable(text).into_owned(),
    }
}

/// Column widths, which only grow, so that lines of a watch stay in line.
#[derive(Debug)]
pub(crate) struct Grid {
    widths: Vec<usize>,
    status: Option<usize>,
    style: Style,
}

impl Grid {
    /// A grid for columns with these headings.
    pub(crate) fn new(headings: &[String], style: Style) -> Self {
        let status = headings.iter().position(|name| name == "STATUS");
        Self {
            widths: Vec::new(),
            status,
            style,
        }
    }

    /// Lines as text; the first of them may be the headings.
    pub(crate) fn render(&mut self, lines: &[Vec<String>], with_headings: bool) -> String {
        for line in lines {
            self.widths.resize(self.widths.len().max(line.len()), 0);
            for (width, cell) in self.widths.iter_mut().zip(line) {
                *width = (*width).max(cell.width() + PADDING).max(MIN_WIDTH);
            }
        }
        let mut text = String::new();
        for (number, line) in lines.iter().enumerate() {
            let is_heading = with_headings && number == 0;
            let mut out = String::new();
            for (index, (cell, width)) in line.iter().zip(&self.widths).enumerate() {
                let padding = if index + 1 < line.len() {
                    width.saturating_sub(cell.width())
                } else {
                    0
                };
                let painted = match self.status {
                    Some(status) if status == index && !is_heading => self.style.status(cell),
                    _ => cell.clone(),
                };
                out.push_str(&painted);
                out.extend(std::iter::repeat_n(' ', padding));
            }
            text.push_str(&if is_heading {
                self.style.heading(&out)
            } else {
                out
            });
            text.push('\n');
        }
        text
    }
}

/// A plain table of texts.
pub(crate) fn simple(
    headings: &[&str],
    rows: Vec<Vec<String>>,
    with_headings: bool,
    style: Style,
) -> String {
    let headings: Vec<String> = headings.iter().map(|name| (*name).to_owned()).collect();
    let mut lines: Vec<Vec<String>> = rows
        .into_iter()
        .map(|row| row.iter().map(|cell| one_line(cell)).collect())
        .collect();
    if with_headings {
        lines.insert(0, headings.clone());
    }
    Grid::new(&headings, style).render(&lines, with_headings)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pods() -> Table {
        Table::from_document(&json!({
            "kind": "Table",
            "columnDefinitions": [
                {"name": "Name"}, {"name": "Ready"}, {"name": "Status"}, {"name": "Restarts"},
                {"name": "IP", "priority": 1}, {"name": "Age"},
            ],
            "rows": [
                {"cells": ["web-1", "1/1", "Running", 0, "10.0.0.1", "5m"],
                 "object": {"metadata": {"namespace": "shop", "labels": {"app": "web", "x.io/tier": "front"}}}},
                {"cells": ["a-very-long-name", "0/1", "Pending\nmore", 12, null, "1s"],
                 "object": {"metadata": {"namespace": "default"}}},
            ],
        }))
        .unwrap()
    }

    #[test]
    fn columns_are_three_spaces_apart_and_lines_have_no_end_spaces() {
        let text = pods().render(&View::default(), true, Style::PLAIN);
        assert_eq!(
            text,
            "NAME               READY   STATUS       RESTARTS   AGE\n\
             web-1              1/1     Running      0          5m\n\
             a-very-long-name   0/1     Pending...   12         1s\n"
        );
    }

    #[test]
    fn a_view_adds_namespace_labels_wide_columns_and_prefixes() {
        let view = View {
            wide: true,
            namespace: true,
            label_columns: vec!["x.io/tier".into()],
            show_labels: true,
            prefix: Some("pod/".into()),
        };
        let table = pods();
        assert_eq!(
            table.headings(&view),
            [
                "NAMESPACE",
                "NAME",
                "READY",
                "STATUS",
                "RESTARTS",
                "IP",
                "AGE",
                "TIER",
                "LABELS"
            ]
        );
        assert_eq!(
            table.cells(&table.rows[0], &view),
            [
                "shop",
                "pod/web-1",
                "1/1",
                "Running",
                "0",
                "10.0.0.1",
                "5m",
                "front",
                "app=web,x.io/tier=front"
            ]
        );
        assert_eq!(
            table.cells(&table.rows[1], &view)[5..],
            ["<none>", "1s", "", "<none>"]
        );
    }

    #[test]
    fn a_grid_keeps_its_widths() {
        let mut grid = Grid::new(&[], Style::PLAIN);
        grid.render(&[vec!["long-long-long".into(), "x".into()]], false);
        assert_eq!(
            grid.render(&[vec!["a".into(), "b".into()]], false),
            "a                b\n"
        );
    }

    #[test]
    fn something_else_is_not_a_table() {
        assert!(Table::from_document(&json!({"kind": "PodList", "items": []})).is_none());
        let table = Table::from_objects(
            &[json!({"metadata": {"name": "x"}})],
            jiff::Timestamp::UNIX_EPOCH,
        );
        assert_eq!(
            table.render(&View::default(), false, Style::PLAIN),
            "x     <unknown>\n"
        );
    }
}
