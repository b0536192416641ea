//! Where settings of a server come from: flag, environment, file, default; in this order.
//!
//! There is one description of each setting, its flag. A value from the environment or from the file
//! is given to the same parser as if it had been written as that flag, so that all of them accept the
//! same values and refuse the same ones, and an error says where the value stands.

mod file;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use crate::advice::advise;
use crate::failure::Failure;
use crate::nearest::did_you_mean;

/// What every environment variable of ours starts with.
const PREFIX: &str = "MOS_";
/// The subcommand that reads layered settings, and its table in the file.
const SECTION: &str = "server";
/// The setting that names the file, and so cannot stand in it.
const CONFIG: &str = "config";

/// The environment variable of a flag: `data-dir` → `MOS_DATA_DIR`.
fn variable(flag: &str) -> String {
    format!("{PREFIX}{}", flag.to_uppercase().replace('-', "_"))
}

/// The flags of the section that can be set from elsewhere.
fn settings(command: &Command) -> Vec<String> {
    let Some(section) = command.find_subcommand(SECTION) else {
        return Vec::new();
    };
    section
        .get_arguments()
        .filter(|arg| !arg.is_global_set())
        .filter_map(Arg::get_long)
        .filter(|long| *long != "help" && *long != "version")
        .map(str::to_owned)
        .collect()
}

/// Names the environment variable and the file's key in the help of each setting.
pub(crate) fn with_sources_in_help(command: Command) -> Command {
    command.mut_subcommand(SECTION, |section| {
        section.mut_args(|arg| {
            let Some(long) = arg.get_long().map(str::to_owned) else {
                return arg;
            };
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            arg.help(format!("{help} [env: {}]", variable(&long)))
        })
    })
}

/// Parses the command line, with what the environment and the file add to it.
pub(crate) fn matches(
    command: Command,
    arguments: Vec<OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<ArgMatches, Failure> {
    let matches = command
        .clone()
        .try_get_matches_from(&arguments)
        .map_err(|error| advise(error, &command.clone().render_usage().to_string()))?;
    if matches.subcommand_name() != Some(SECTION) {
        return Ok(matches);
    }
    let known = settings(&command);
    let mut layers = Layers {
        command,
        known,
        arguments,
        matches,
    };
    let variables = environment_settings(environment, &layers.known)?;
    for (key, value) in variables {
        layers.add(&key, &[value], &variable(&key))?;
    }
    if let Some(path) = layers.get(CONFIG) {
        let settings = file::read(Path::new(&path), SECTION, &layers.known)?;
        for (key, values) in settings {
            layers.add(&key, &values, &format!("{path}: [{SECTION}] {key}"))?;
        }
    }
    Ok(layers.matches)
}

/// A command line that grows by what was set elsewhere.
struct Layers {
    command: Command,
    known: Vec<String>,
    arguments: Vec<OsString>,
    matches: ArgMatches,
}

impl Layers {
    fn section(&self) -> Option<&ArgMatches> {
        self.matches.subcommand_matches(SECTION)
    }

    fn id(&self, key: &str) -> Option<String> {
        let section = self.command.find_subcommand(SECTION)?;
        let arg = section
            .get_arguments()
            .find(|arg| arg.get_long() == Some(key))?;
        Some(arg.get_id().to_string())
    }

    fn get(&self, key: &str) -> Option<String> {
        let raw = self.section()?.try_get_raw(&self.id(key)?).ok()??.next()?;
        Some(raw.to_string_lossy().into_owned())
    }

    /// Sets a key unless an earlier layer did.
    fn add(&mut self, key: &str, values: &[String], place: &str) -> Result<(), Failure> {
        let Some(id) = self.id(key) else {
            return Ok(());
        };
        let source = self.section().and_then(|section| section.value_source(&id));
        if source == Some(ValueSource::CommandLine) {
            return Ok(());
        }
        let mut arguments = self.arguments.clone();
        arguments.extend(
            values
                .iter()
                .map(|value| OsString::from(format!("--{key}={value}"))),
        );
        self.matches = self
            .command
            .clone()
            .try_get_matches_from(&arguments)
            .map_err(|error| {
                Failure::usage(format!("{place}: {}", first_paragraph(&error)))
                    .hint(format!("`mos {SECTION} --help` shows what `{key}` accepts"))
            })?;
        self.arguments = arguments;
        Ok(())
    }
}

/// The first paragraph of clap's message, on one line and without its `error: `.
fn first_paragraph(error: &clap::Error) -> String {
    let text = error.to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

/// The settings that the environment makes. An empty variable counts as one that is not set.
fn environment_settings(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    known: &[String],
) -> Result<BTreeMap<String, String>, Failure> {
    let by_variable: BTreeMap<String, &String> =
        known.iter().map(|key| (variable(key), key)).collect();
    let mut settings = BTreeMap::new();
    for (name, value) in environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else {
            continue;
        };
        let Some(key) = by_variable.get(name) else {
            let failure = Failure::usage(format!("the environment variable {name} is not known"));
            return Err(
                match did_you_mean(name, by_variable.keys().map(String::as_str)) {
                    Some(hint) => failure.hint(hint),
                    None => failure.hint(format!(
                        "`mos {SECTION} --help` lists the variables; unset {name}"
                    )),
                },
            );
        };
        let value = value.into_string().map_err(|_| {
            Failure::usage(format!(
                "the environment variable {name} is not valid UTF-8"
            ))
        })?;
        if !value.is_empty() {
            settings.insert((*key).clone(), value);
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests;
