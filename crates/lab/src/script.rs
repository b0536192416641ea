//! How a pod behaves on a simulated host, by its annotations; the table of them is in `docs/simulation.md`.

use std::collections::BTreeMap;

use mosaic_node::lifecycle::{Container, ProbeKind, Role};

use crate::duration::millis;

/// What all annotations of a script begin with.
const PREFIX: &str = "mosaic/sim-";

/// The behaviour of a pod's containers. All durations are in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Script {
    all: Behaviour,
    own: Box<[(Box<str>, Behaviour)]>,
}

/// How one container behaves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Behaviour {
    pub(crate) start: Option<u64>,
    pub(crate) image: ImageScript,
    pub(crate) exit: Option<Exit>,
    pub(crate) exits: Option<u32>,
    pub(crate) oom: Option<u64>,
    pub(crate) stop: Stop,
    pub(crate) hook: u64,
    readiness: ProbeScript,
    liveness: ProbeScript,
    startup: ProbeScript,
}

/// An exit after a while.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Exit {
    pub(crate) after: u64,
    pub(crate) code: i32,
}

/// What becomes of pulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ImageScript {
    Takes(u64),
    Fails,
    FailsFor(u64),
}

impl Default for ImageScript {
    fn default() -> Self {
        Self::Takes(0)
    }
}

/// What a container does when it is asked to stop.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stop {
    /// It ends at once: well if it would go on for ever, and by the signal if it has work to do.
    #[default]
    Plain,
    Exits(Exit),
    IgnoresTerm,
    IgnoresKill,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
enum ProbeScript {
    #[default]
    Succeeds,
    Fails,
    SucceedsAfter(u64),
    SucceedsUntil(u64),
}

impl ProbeScript {
    fn read(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "fail" => Ok(Self::Fails),
            Some(("after", time)) => Ok(Self::SucceedsAfter(millis(time)?)),
            Some(("until", time)) => Ok(Self::SucceedsUntil(millis(time)?)),
            _ => Err(format!("`{text}` is none of fail, after=5s, until=5s")),
        }
    }

    fn succeeds(self, age: u64) -> bool {
        match self {
            Self::Succeeds => true,
            Self::Fails => false,
            Self::SucceedsAfter(time) => age >= time,
            Self::SucceedsUntil(time) => age < time,
        }
    }
}

impl Exit {
    fn read(text: &str) -> Result<Self, String> {
        let (after, code) = text.split_once(':').unwrap_or((text, "0"));
        let code = code.parse::<u8>();
        let code = code.map_err(|_| format!("`{text}` has no exit code from 0 to 255"))?;
        Ok(Self {
            after: millis(after)?,
            code: code.into(),
        })
    }
}

impl Behaviour {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "start" => self.start = Some(millis(value)?),
            "image" => {
                self.image = match value.split_once('=') {
                    None if value == "fail" => ImageScript::Fails,
                    Some(("fail", time)) => ImageScript::FailsFor(millis(time)?),
                    _ => ImageScript::Takes(millis(value)?),
                };
            }
            "exit-after" => self.exit = Some(Exit::read(value)?),
            "exit-count" => {
                let count = value.parse();
                self.exits = Some(count.map_err(|_| format!("`{value}` is no number"))?);
            }
            "oom-after" => self.oom = Some(millis(value)?),
            "stop" => {
                self.stop = match value {
                    "ignore-term" => Stop::IgnoresTerm,
                    "ignore-kill" => Stop::IgnoresKill,
                    _ => Stop::Exits(Exit::read(value)?),
                };
            }
            "hook" => self.hook = millis(value)?,
            "readiness" => self.readiness = ProbeScript::read(value)?,
            "liveness" => self.liveness = ProbeScript::read(value)?,
            "startup" => self.startup = ProbeScript::read(value)?,
            _ => return Err("there is no such setting".to_owned()),
        }
        Ok(())
    }

    /// Whether a probe succeeds so many milliseconds after the container's start.
    pub(crate) fn probe(&self, kind: ProbeKind, age: u64) -> bool {
        let script = match kind {
            ProbeKind::Readiness => self.readiness,
            ProbeKind::Liveness => self.liveness,
            ProbeKind::Startup => self.startup,
        };
        script.succeeds(age)
    }

    /// When a container ends by itself and how, if it does: milliseconds after its start, the exit code, and
    /// whether it was for its memory.
    pub(crate) fn end(&self, attempt: u32) -> Option<(u64, i32, bool)> {
        if self.exits.is_some_and(|exits| attempt >= exits) {
            return None;
        }
        let exit = self.exit.map(|exit| (exit.after, exit.code, false));
        let oom = self.oom.map(|after| (after, 137, true));
        exit.into_iter().chain(oom).min()
    }
}

impl Script {
    /// Reads a pod's annotations. What cannot be read is told, and counts as not given.
    pub(crate) fn read(
        annotations: &BTreeMap<String, String>,
        containers: &[Container],
    ) -> (Self, Vec<String>) {
        let mut wrong = Vec::new();
        let mut all = Behaviour::default();
        let given = || {
            annotations
                .iter()
                .filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?, value)))
        };
        let mut note = |key: &str, result: Result<(), String>| {
            if let Err(why) = result {
                wrong.push(format!("{PREFIX}{key}: {why}"));
            }
        };
        for (key, value) in given().filter(|(key, _)| !key.contains('.')) {
            note(key, all.set(key, value.trim()));
        }
        let mut own: Vec<(Box<str>, Behaviour)> = Vec::new();
        for (key, value) in given() {
            let Some((setting, name)) = key.split_once('.') else {
                continue;
            };
            let Some(container) = containers.iter().find(|c| &*c.name == name) else {
                note(key, Err(format!("the pod has no container `{name}`")));
                continue;
            };
            let index = match own.iter().position(|(known, _)| &**known == name) {
                Some(index) => index,
                None => {
                    own.push((name.into(), base(&all, container.role)));
                    own.len() - 1
                }
            };
            if let Some((_, behaviour)) = own.get_mut(index) {
                note(key, behaviour.set(setting, value.trim()));
            }
        }
        let own = own.into();
        (Self { all, own }, wrong)
    }

    /// How a container behaves.
    pub(crate) fn of(&self, container: &Container) -> Behaviour {
        let mut own = self.own.iter();
        match own.find(|(name, _)| *name == container.name) {
            Some((_, behaviour)) => behaviour.clone(),
            None => base(&self.all, container.role),
        }
    }
}

/// How a container behaves of which nothing is said by name.
fn base(all: &Behaviour, role: Role) -> Behaviour {
    if role != Role::Init {
        return all.clone();
    }
    Behaviour {
        start: all.start,
        image: all.image,
        exit: Some(Exit::default()),
        ..Behaviour::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mosaic_node::lifecycle::{Object, Spec};
    use serde_json::json;

    use super::*;

    fn spec() -> Arc<Spec> {
        let object = json!({ "spec": { "initContainers": [{ "name": "init" }], "containers": [{ "name": "a" }, { "name": "b" }] } });
        let text = object.to_string();
        Arc::new(Object::read(text.as_bytes()).unwrap().spec())
    }

    fn read(annotations: &[(&str, &str)]) -> (Script, Vec<String>) {
        let all = annotations
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Script::read(&all.collect(), &spec().containers)
    }

    #[test]
    fn containers_behave_as_annotated() {
        let (script, wrong) = read(&[
            ("mosaic/sim-exit-after", "3s:4"),
            ("mosaic/sim-exit-count", "2"),
            ("mosaic/sim-readiness", "after=5s"),
            ("mosaic/sim-exit-after.b", "1m"),
            ("mosaic/sim-stop.b", "ignore-term"),
            ("example.com/sim-start", "nonsense"),
        ]);
        assert_eq!(wrong, Vec::<String>::new());
        let spec = spec();
        let [init, a, b] = [0, 1, 2].map(|index| script.of(&spec.containers[index]));
        assert_eq!(
            init.end(7),
            Some((0, 0, false)),
            "plain init containers end"
        );
        assert_eq!((a.end(1), a.end(2)), (Some((3_000, 4, false)), None));
        assert_eq!(
            (b.end(0), b.stop),
            (Some((60_000, 0, false)), Stop::IgnoresTerm)
        );
        assert!(!a.probe(ProbeKind::Readiness, 4_999) && a.probe(ProbeKind::Readiness, 5_000));
        assert!(a.probe(ProbeKind::Liveness, 0));
    }

    #[test]
    fn what_comes_first_ends_a_container() {
        let (script, _) = read(&[
            ("mosaic/sim-exit-after", "3s"),
            ("mosaic/sim-oom-after", "2s"),
        ]);
        assert_eq!(
            script.of(&spec().containers[1]).end(0),
            Some((2_000, 137, true))
        );
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let (script, wrong) = read(&[
            ("mosaic/sim-exit-after", "soon"),
            ("mosaic/sim-exit-after.c", "3s"),
            ("mosaic/sim-stop", "3s:256"),
            ("mosaic/sim-readiness", "often"),
            ("mosaic/sim-typo", "1"),
        ]);
        assert_eq!(wrong.len(), 5, "{wrong:?}");
        assert!(wrong[0].starts_with("mosaic/sim-exit-after: `soon` is no duration"));
        assert_eq!(script, Script::default());
    }
}
