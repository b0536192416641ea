//! Changes of objects one after the other, as a watch tells them: who asks now and then misses what was in between.

use std::collections::BTreeMap;

use mosaic_tests::{Following, Kubectl};
use serde_json::Value;

/// All objects of a kind in a namespace, and every change of them.
pub struct Changes {
    lines: Following,
    objects: BTreeMap<String, Value>,
}

impl Changes {
    /// Follows a kind. What is there already comes first.
    pub fn follow(kubectl: &Kubectl, kind: &str) -> Self {
        Self {
            lines: kubectl.follow(&format!("get {kind} --watch --output-watch-events -o json")),
            objects: BTreeMap::new(),
        }
    }

    /// Looks at the objects after each change, until they are as expected.
    ///
    /// # Panics
    /// If nothing changes any more and they are not.
    #[track_caller]
    pub fn until(&mut self, mut expected: impl FnMut(&[&Value]) -> bool) {
        loop {
            self.next();
            let objects: Vec<&Value> = self.objects.values().collect();
            if expected(&objects) {
                return;
            }
        }
    }

    #[track_caller]
    fn next(&mut self) {
        let line = self.lines.next_line();
        let event: Value = serde_json::from_str(&line).expect("an event a line");
        let object = &event["object"];
        let uid = object["metadata"]["uid"].as_str().expect("a UID");
        match event["type"].as_str() {
            Some("DELETED") => self.objects.remove(uid),
            Some("ADDED" | "MODIFIED") => self.objects.insert(uid.to_owned(), object.clone()),
            _ => panic!("an odd event: {event}"),
        };
    }
}
