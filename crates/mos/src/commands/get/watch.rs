//! `mos get -w`: what there is, and then each change as it happens.

use std::collections::HashMap;

use futures::StreamExt;
use kube::core::WatchEvent;
use mosaic_api::meta;
use serde_json::Value;

use super::{GetArgs, Group, What, custom_cells, name, typed};
use crate::client::{Client, Form, Query, Resource};
use crate::failure::Failure;
use crate::output::table::{Column, Grid, Table, View};
use crate::output::{self, Format, style};
use crate::yaml;

pub(super) async fn run(args: &GetArgs, client: &Client, groups: &[Group]) -> Result<(), Failure> {
    let [group] = groups else {
        return Err(Failure::usage("only one type can be watched at a time"));
    };
    if args.sort_by.is_some() {
        return Err(Failure::usage(
            "changes come in their own order: --sort-by does not go with --watch",
        ));
    }
    let mut query = args.query();
    let namespace = match &group.what {
        What::All(namespace) => namespace.clone(),
        What::These(names) => {
            let [(namespace, name)] = names.as_slice() else {
                return Err(Failure::usage("only one name can be watched at a time")
                    .hint("leave the names out and use a selector"));
            };
            query.push(("fieldSelector", format!("metadata.name={name}")));
            namespace.clone()
        }
    };
    let mut printer = Printer::new(args, &group.resource);
    follow(
        args,
        client,
        &group.resource,
        namespace.as_deref(),
        &query,
        &mut printer,
    )
    .await
}

/// Lists, prints what is new since the last list, and watches; again whenever the server has forgotten
/// the version that the watch had reached.
async fn follow(
    args: &GetArgs,
    client: &Client,
    resource: &Resource,
    namespace: Option<&str>,
    query: &Query,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let form = printer.form();
    let mut is_first = true;
    loop {
        let pages = client
            .pages(resource, namespace, form, query, args.chunk_size)
            .await?;
        let mut version = String::new();
        for page in &pages {
            version = meta::resource_version(page).to_owned();
            printer.remember_or_print(page, is_first && args.watch_only)?;
        }
        is_first = false;
        'watch: loop {
            let mut watch_query = query.clone();
            watch_query.push(("resourceVersion", version.clone()));
            let events = match client.watch(resource, namespace, form, &watch_query).await {
                Ok(events) => events,
                Err(error) if error.is_gone() => break 'watch,
                Err(error) => return Err(error.into()),
            };
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.next().await {
                match event {
                    Ok(
                        WatchEvent::Added(object)
                        | WatchEvent::Modified(object)
                        | WatchEvent::Deleted(object),
                    ) => {
                        if let Some(new) = printer.print(&object)? {
                            version = new;
                        }
                    }
                    Ok(WatchEvent::Bookmark(bookmark)) => {
                        version = bookmark.metadata.resource_version
                    }
                    Ok(WatchEvent::Error(_)) => {}
                    Err(error) if error.is_gone() => break 'watch,
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
}

struct Printer<'a> {
    args: &'a GetArgs,
    resource: &'a Resource,
    format: Format,
    view: View,
    columns: Vec<Column>,
    grid: Option<Grid>,
    /// The version that was last printed of each object.
    seen: HashMap<String, String>,
}

impl<'a> Printer<'a> {
    fn new(args: &'a GetArgs, resource: &'a Resource) -> Self {
        let prefix = args.show_kind.then(|| resource.object_name(""));
        Self {
            args,
            resource,
            format: args.format(),
            view: args.view(resource.namespaced, prefix),
            columns: Vec::new(),
            grid: None,
            seen: HashMap::new(),
        }
    }

    fn form(&self) -> Form {
        match self.format {
            Format::Table | Format::Wide => Form::Table,
            _ => Form::Objects,
        }
    }

    /// Prints a page of a list, without what has been printed already.
    fn remember_or_print(&mut self, page: &Value, only_remember: bool) -> Result<(), Failure> {
        let mut page = page.clone();
        let items = match self.form() {
            Form::Table => page.get_mut("rows"),
            Form::Objects => page.get_mut("items"),
        };
        if let Some(Value::Array(items)) = items {
            items.retain(|item| self.is_news(item.get("object").unwrap_or(item)));
        }
        if only_remember {
            return Ok(());
        }
        match self.form() {
            Form::Table => self.print_table(&page),
            Form::Objects => {
                let items = page.get("items").and_then(Value::as_array);
                items
                    .into_iter()
                    .flatten()
                    .try_for_each(|item| self.print_object(item))
            }
        }
    }

    /// Prints an event's object, and tells its version.
    fn print(&mut self, document: &Value) -> Result<Option<String>, Failure> {
        let mut version = None;
        match self.form() {
            Form::Table => {
                for row in document
                    .get("rows")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                {
                    version = row
                        .pointer("/object/metadata/resourceVersion")
                        .and_then(Value::as_str)
                        .map(str::to_owned);
                    self.is_news(row.get("object").unwrap_or(&Value::Null));
                }
                self.print_table(document)?;
            }
            Form::Objects => {
                version = document
                    .pointer("/metadata/resourceVersion")
                    .and_then(Value::as_str)
                    .map(str::to_owned);
                self.is_news(document);
                self.print_object(document)?;
            }
        }
        Ok(version)
    }

    fn is_news(&mut self, object: &Value) -> bool {
        let key = format!("{}/{}", meta::namespace(object), meta::name(object));
        let version = meta::resource_version(object).to_owned();
        self.seen
            .insert(key, version.clone())
            .is_none_or(|known| known != version)
    }

    fn print_table(&mut self, document: &Value) -> Result<(), Failure> {
        let Some(mut table) = Table::from_document(document) else {
            return Ok(());
        };
        // Only the first table of a watch says what its columns are.
        if table.columns.is_empty() {
            table.columns.clone_from(&self.columns);
        } else {
            self.columns.clone_from(&table.columns);
        }
        if table.rows.is_empty() {
            return Ok(());
        }
        let mut lines: Vec<Vec<String>> = table
            .rows
            .iter()
            .map(|row| table.cells(row, &self.view))
            .collect();
        let headings = table.headings(&self.view);
        let is_first = self.grid.is_none();
        let grid = self
            .grid
            .get_or_insert_with(|| Grid::new(&headings, style::stdout()));
        let with_headings = is_first && !self.args.no_headers;
        if with_headings {
            lines.insert(0, headings);
        }
        output::print(&grid.render(&lines, with_headings))
    }

    fn print_object(&mut self, object: &Value) -> Result<(), Failure> {
        let object = typed(
            output::without_managed_fields(object.clone()),
            self.resource,
        );
        match &self.format {
            Format::Name => output::line(&name(self.resource, &object)),
            Format::Yaml => output::print(&format!("---\n{}", yaml::write(&object)?)),
            Format::JsonPath(template) => output::line(&template.render(&object)),
            Format::Columns(columns) => {
                let names: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
                let mut lines = vec![custom_cells(columns, &object)];
                let with_headings = self.grid.is_none() && !self.args.no_headers;
                let grid = self
                    .grid
                    .get_or_insert_with(|| Grid::new(&names, style::stdout()));
                if with_headings {
                    lines.insert(0, names);
                }
                output::print(&grid.render(&lines, with_headings))
            }
            _ => output::line(&format!("{object:#}")),
        }
    }
}
