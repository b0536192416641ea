//! Full disks, and orderly stops.

use std::process::Command;

use mosaic_tests::{PatchKind, Server, ServerOptions, wait_until};
use rand::Rng;
use serde_json::{Value, json};

use crate::{config_map, config_maps, names, version};

/// A file system of its own, of a few MiB, for as long as the value lives.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    pub(crate) fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self(folder))
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        self.0.path()
    }

    pub(crate) fn resize(&self, size: &str) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,size={size}")])
            .arg(self.0.path())
            .status();
        assert!(status.expect("mount").success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

#[test]
fn a_full_disk_stops_writes_and_nothing_else() {
    let Some(disk) = SmallDisk::mount("24m") else {
        eprintln!("not tried: mounting a small file system takes root");
        return;
    };
    let data_dir = disk.path().join("data");
    let server = Server::start_with(ServerOptions {
        data_dir: Some(data_dir),
        ..ServerOptions::default()
    });
    let http = server.http();
    let path = config_maps("default");
    let large = |name: &str| {
        // Not compressible, should the store try.
        let noise: String = (0..500_000)
            .map(|_| char::from(rand::rng().random_range(b'a'..=b'z')))
            .collect();
        json!({"metadata": {"name": name}, "data": {"noise": noise}})
    };
    let mut stored = Vec::new();
    let refused = loop {
        let name = format!("c-{}", stored.len());
        let answer = http.post(&path, &large(&name));
        if answer.status != 201 {
            break answer;
        }
        stored.push(name);
        assert!(stored.len() < 100, "the disk never became full");
    };
    let status: Value = refused.json();
    assert_eq!(status["kind"], "Status");
    assert!(refused.status >= 500, "{refused}");
    assert!(
        status["message"]
            .as_str()
            .is_some_and(|text| text.contains("full")),
        "{refused}"
    );

    for _ in 0..3 {
        assert_eq!(
            names(
                &http
                    .get(&format!("{path}?fieldSelector=metadata.name%3Dc-0"))
                    .ok()
            ),
            ["c-0"]
        );
        http.get(&format!("{path}/c-0")).ok();
        assert_ne!(http.post(&path, &large("no-room")).status, 201);
    }
    http.get(&format!("{path}/no-room")).fails(404, "NotFound");

    disk.resize("96m");
    wait_until("writes to go on", || {
        http.post(&path, &config_map("room")).status == 201
    });
    http.patch(
        PatchKind::Merge,
        &format!("{path}/c-0"),
        &json!({"data": {"a": "b"}}),
    )
    .ok();
    server.kill();
    server.start_again();
    let http = server.http();
    for name in &stored {
        http.get(&format!("{path}/{name}")).ok();
    }
    http.get(&format!("{path}/room")).ok();
    drop(server);
}

#[test]
fn a_server_stops_cleanly_when_asked_to() {
    let server = Server::start();
    let http = server.http();
    let path = config_maps("default");
    let start = version(&http.get(&path).ok());
    let watch = http.watch(&format!("{path}?watch=true&resourceVersion={start}"));
    http.post(&path, &config_map("last")).ok();
    watch.until(|event| event["object"]["metadata"]["name"] == "last");
    assert_eq!(server.stop(), 0, "{}", server.log());
    while watch.next().is_some() {}
    server.start_again();
    server.http().get(&format!("{path}/last")).ok();
}
