//! Every kubectl verb, tried on every kind that is served.
//!
//! A [`Check`] is one verb tried on one kind, or one command that belongs to a few kinds only. Each
//! ends in a [`Cell`]. The tests want every cell to be as expected; `make compatibility` writes the
//! cells into `docs/compatibility.md`.

mod commands;
mod generic;
mod kinds;
mod report;

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;

pub use commands::COMMANDS;
pub use generic::VERBS;
pub use kinds::{CERTIFICATE_REQUEST, Kind, kinds, pod_template, widget_definition};
pub use report::{Results, report};

use crate::{Http, Kubectl, KubectlVersion, Server, wait_until};

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// As with Kubernetes.
    Works,
    /// Does not work, as is known; says why.
    Refused(&'static str),
    /// Not as it should be; says what was seen.
    Fails(String),
}

/// A verb that is tried on every kind.
pub struct Verb {
    /// Its name in the report.
    pub name: &'static str,
    /// Tries it, and panics if it does not do what it should.
    pub run: fn(&Stage, &Kind),
    /// Why it is rightly refused for some kinds. `run` checks that it is.
    pub refused: fn(&Kind) -> Option<&'static str>,
}

/// A command that is tried on its own.
pub struct Command {
    /// Its name in the report.
    pub name: &'static str,
    /// Tries it, and panics if it does not do what it should.
    pub run: fn(&Stage),
    /// Why it is rightly refused, if it is. `run` checks that it is.
    pub refused: Option<&'static str>,
}

/// Where checks play: a server, a kubectl and a namespace for it.
pub struct Stage {
    /// In the namespace.
    pub kubectl: Kubectl,
    /// The same server, by HTTP.
    pub http: Http,
    /// The namespace.
    pub namespace: String,
    /// Tells this stage's cluster-wide objects from another's.
    pub suffix: String,
    /// A place for files.
    pub scratch: std::path::PathBuf,
}

impl Stage {
    /// A stage on this server for this kubectl, with a namespace of its own.
    pub fn new(server: &Server, version: KubectlVersion, purpose: &str) -> Self {
        let suffix = format!(
            "{purpose}{}",
            version
                .name()
                .replace(['.', '-'], "")
                .replace("kubectl", "")
        );
        let namespace = format!("stage-{suffix}");
        let http = server.http();
        server.namespace(&namespace);

        let definition = widget_definition();
        let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        http.post(definitions, &definition);
        wait_until("the custom kind to be served", || {
            http.get(&format!(
                "/apis/matrix.example.com/v1/namespaces/{namespace}/widgets"
            ))
            .status
                == 200
        });
        let scratch = server.scratch().join(&namespace);
        std::fs::create_dir_all(&scratch).expect("a directory");
        Self {
            kubectl: server.kubectl_of(version).in_namespace(&namespace),
            http,
            namespace,
            suffix,
            scratch,
        }
    }

    /// The name of this stage's object of a kind.
    pub fn name(&self, kind: &Kind) -> String {
        kind.name(&self.suffix)
    }

    /// This stage's object of a kind.
    pub fn object(&self, kind: &Kind) -> Value {
        kind.object(&self.name(kind), &self.namespace)
    }

    /// Writes a file and returns its path.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.scratch.join(name);
        std::fs::write(&path, content).expect("a writable directory");
        path.to_string_lossy().into_owned()
    }
}

/// Runs one check and says how it ended.
pub fn attempt(refused: Option<&'static str>, run: impl FnOnce()) -> Cell {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(()) => refused.map_or(Cell::Works, Cell::Refused),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Cell::Fails(text.unwrap_or_default())
        }
    }
}

/// A row of results: the name, and a cell for each column.
pub type Row = (String, Vec<Cell>);

/// Tries every verb on these kinds: a row for each kind, a cell for each verb.
pub fn run_verbs(stage: &Stage, kinds: Vec<Kind>) -> Vec<Row> {
    let row = |kind: Kind| {
        let cells = VERBS
            .iter()
            .map(|verb| attempt((verb.refused)(&kind), || (verb.run)(stage, &kind)));
        finished(stage, kind.resource, cells.collect())
    };
    kinds.into_iter().map(row).collect()
}

/// Tries every command: a row of one cell for each.
pub fn run_commands(stage: &Stage) -> Vec<Row> {
    let row = |command: &Command| {
        let cell = attempt(command.refused, || (command.run)(stage));
        finished(stage, command.name, vec![cell])
    };
    COMMANDS.iter().map(row).collect()
}

/// A row, told to whoever waits.
fn finished(stage: &Stage, name: &str, cells: Vec<Cell>) -> Row {
    let failed = cells
        .iter()
        .filter(|cell| matches!(cell, Cell::Fails(_)))
        .count();
    let result = if failed == 0 {
        "as expected".to_owned()
    } else {
        format!("{failed} failed")
    };
    eprintln!("{}: {name}: {result}", stage.kubectl.version().name());
    (name.to_owned(), cells)
}

/// What failed, a line each, for the message of a test.
pub fn failures(columns: &[&str], rows: &[Row]) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, cells) in rows {
        for (column, cell) in columns.iter().zip(cells) {
            if let Cell::Fails(text) = cell {
                lines.push(format!("== {name}: {column}\n{text}"));
            }
        }
    }
    lines
}
