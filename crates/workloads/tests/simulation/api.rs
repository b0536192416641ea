//! An API that keeps objects in memory, and views of it that lag behind.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use mosaic_workloads::{Action, Kind, Target, plan::Change};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Why the API refused something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    Exists,
    Conflict,
    Absent,
}

#[derive(Default)]
pub struct Api {
    objects: BTreeMap<(&'static str, String), Value>,
    log: BTreeMap<&'static str, Vec<(String, Option<Value>)>>,
    revision: u64,
    /// Seconds since the beginning.
    pub now: i64,
}

pub fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Pod => "Pod",
        Kind::ReplicaSet => "ReplicaSet",
        Kind::Deployment => "Deployment",
        Kind::ControllerRevision => "ControllerRevision",
        Kind::PersistentVolumeClaim => "PersistentVolumeClaim",
        Kind::Job => "Job",
    }
}

fn definition(kind: &str) -> &'static str {
    match kind {
        "Pod" => "io.k8s.api.core.v1.Pod",
        "ReplicaSet" => "io.k8s.api.apps.v1.ReplicaSet",
        "Deployment" => "io.k8s.api.apps.v1.Deployment",
        "ControllerRevision" => "io.k8s.api.apps.v1.ControllerRevision",
        "PersistentVolumeClaim" => "io.k8s.api.core.v1.PersistentVolumeClaim",
        other => panic!("{other}"),
    }
}

impl Api {
    pub fn time(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + self.now).unwrap()
    }

    pub fn get(&self, kind: &'static str, name: &str) -> Option<&Value> {
        self.objects.get(&(kind, name.to_owned()))
    }

    /// The objects of a kind.
    pub fn all(&self, kind: &'static str) -> impl Iterator<Item = &Value> {
        self.objects
            .iter()
            .filter(move |((k, _), _)| *k == kind)
            .map(|(_, object)| object)
    }

    fn put(&mut self, kind: &'static str, name: &str, object: Option<Value>) {
        self.revision += 1;
        let key = (kind, name.to_owned());
        let object = object.map(|mut object| {
            object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
            object
        });
        match &object {
            Some(object) => self.objects.insert(key, object.clone()),
            None => self.objects.remove(&key),
        };
        self.log
            .entry(kind)
            .or_default()
            .push((name.to_owned(), object));
    }

    pub fn create(&mut self, kind: &'static str, mut object: Value) -> Result<(), Refused> {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        if let Some(known) = self.get(kind, &name) {
            // The loop sees that it is its own, and goes on.
            let owner = |object: &Value| object["metadata"]["ownerReferences"][0]["uid"].clone();
            return if owner(known) == owner(&object) {
                Ok(())
            } else {
                Err(Refused::Exists)
            };
        }
        object["metadata"]["uid"] = json!(format!("uid-{}", self.revision));
        object["metadata"]["generation"] = json!(1);
        object["metadata"]["creationTimestamp"] = json!(self.time());
        if kind == "Pod" {
            object["status"] = json!({"phase": "Pending"});
        }
        self.put(kind, &name, Some(object));
        Ok(())
    }

    fn checked(&self, kind: &'static str, target: &Target) -> Result<Value, Refused> {
        let object = self.get(kind, &target.name).ok_or(Refused::Absent)?;
        let metadata = &object["metadata"];
        let version = target.resource_version.as_deref();
        if metadata["uid"] != target.uid.as_str()
            || version.is_some_and(|v| metadata["resourceVersion"] != v)
        {
            return Err(Refused::Conflict);
        }
        Ok(object.clone())
    }

    pub fn delete(&mut self, kind: &'static str, target: &Target) -> Result<(), Refused> {
        let mut object = match self.checked(kind, target) {
            Err(Refused::Absent) => return Ok(()),
            other => other?,
        };
        let keeps = !object["metadata"]["finalizers"]
            .as_array()
            .is_none_or(Vec::is_empty);
        let runs = kind == "Pod" && object["spec"]["nodeName"].is_string();
        if !keeps && !runs {
            self.put(kind, &target.name, None);
        } else if object["metadata"]["deletionTimestamp"].is_null() {
            object["metadata"]["deletionTimestamp"] = json!(self.time());
            self.put(kind, &target.name, Some(object));
        }
        Ok(())
    }

    pub fn patch(
        &mut self,
        kind: &'static str,
        target: &Target,
        change: &Change,
    ) -> Result<(), Refused> {
        let old = self.checked(kind, target)?;
        let mut patch = change.patch(target);
        patch["metadata"]
            .as_object_mut()
            .unwrap()
            .remove("resourceVersion");
        let mut new = old.clone();
        let ty = mosaic_schema::builtin(definition(kind)).unwrap();
        mosaic_patch::strategic_merge(&mut new, patch, &ty).unwrap();
        if new["spec"] != old["spec"] {
            new["metadata"]["generation"] =
                json!(old["metadata"]["generation"].as_i64().unwrap() + 1);
        }
        if new != old {
            self.update(kind, &target.name, |object| *object = new);
        }
        Ok(())
    }

    /// Changes an object; one on its way out that nothing keeps is gone then.
    pub fn update(&mut self, kind: &'static str, name: &str, change: impl FnOnce(&mut Value)) {
        let Some(mut object) = self.get(kind, name).cloned() else {
            return;
        };
        change(&mut object);
        let finalizers = object["metadata"]["finalizers"].as_array();
        let leaves = !object["metadata"]["deletionTimestamp"].is_null();
        let ended = kind != "Pod"
            || object["spec"]["nodeName"].is_null()
            || object["status"]["stopped"] == true;
        let gone = leaves && ended && finalizers.is_none_or(Vec::is_empty);
        self.put(kind, name, (!gone).then_some(object));
    }

    /// Changes what is asked of an object.
    pub fn respecify(&mut self, kind: &'static str, name: &str, change: impl FnOnce(&mut Value)) {
        self.update(kind, name, |object| {
            change(&mut object["spec"]);
            let generation = object["metadata"]["generation"].as_i64().unwrap();
            object["metadata"]["generation"] = json!(generation + 1);
        });
    }

    pub fn set_status(
        &mut self,
        kind: &'static str,
        name: &str,
        version: &str,
        status: Value,
    ) -> Result<(), Refused> {
        let object = self.get(kind, name).ok_or(Refused::Absent)?;
        if object["metadata"]["resourceVersion"] != version {
            return Err(Refused::Conflict);
        }
        self.update(kind, name, |object| object["status"] = status);
        Ok(())
    }

    pub fn act(&mut self, action: &Action) -> Result<(), Refused> {
        match action {
            Action::Create { object, .. } => {
                let kind = name_of(object.kind());
                let value = match object {
                    mosaic_workloads::Object::Pod(pod) => serde_json::to_value(pod),
                    mosaic_workloads::Object::ReplicaSet(set) => serde_json::to_value(set),
                    mosaic_workloads::Object::Revision(revision) => serde_json::to_value(revision),
                    mosaic_workloads::Object::Claim(claim) => serde_json::to_value(claim),
                    mosaic_workloads::Object::Job(job) => serde_json::to_value(job),
                };
                self.create(kind, value.unwrap())
            }
            Action::Delete { target, .. } => self.delete(name_of(target.kind), target),
            Action::Patch { target, change, .. } => {
                self.patch(name_of(target.kind), target, change)
            }
            Action::Event(_) => Ok(()),
        }
    }
}

/// What a controller has seen of a kind.
pub struct View<K> {
    kind: &'static str,
    seen: usize,
    objects: BTreeMap<String, Arc<K>>,
}

impl<K: DeserializeOwned> View<K> {
    pub fn new(kind: &'static str) -> Self {
        Self {
            kind,
            seen: 0,
            objects: BTreeMap::new(),
        }
    }

    /// Sees so many changes more, and tells of each.
    pub fn advance(&mut self, api: &Api, steps: usize, mut told: impl FnMut(&str, Option<&K>)) {
        let none = Vec::new();
        let log = api.log.get(self.kind).unwrap_or(&none);
        for (name, object) in log.iter().skip(self.seen).take(steps) {
            self.seen += 1;
            match object {
                Some(object) => {
                    let object: Arc<K> = Arc::new(serde_json::from_value(object.clone()).unwrap());
                    told(name, Some(&object));
                    self.objects.insert(name.clone(), object);
                }
                None => {
                    told(name, None);
                    self.objects.remove(name);
                }
            }
        }
    }

    /// Reads everything as it is now.
    pub fn list(&mut self, api: &Api) {
        self.seen = api.log.get(self.kind).map_or(0, Vec::len);
        let objects = api.all(self.kind).map(|object| {
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            (
                name,
                Arc::new(serde_json::from_value(object.clone()).unwrap()),
            )
        });
        self.objects = objects.collect();
    }

    pub fn all(&self) -> Vec<Arc<K>> {
        self.objects.values().cloned().collect()
    }

    pub fn get(&self, name: &str) -> Option<Arc<K>> {
        self.objects.get(name).cloned()
    }
}
