//! Debian's registry, as one that was written by others.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use mosaic_image::Name;

use crate::common::name;

/// Debian's `docker-registry`, for as long as this lives.
pub struct Debians {
    process: Child,
    pub address: String,
    _directory: tempfile::TempDir,
}

impl Debians {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\nhttp: {{addr: '127.0.0.1:0'}}\n",
            directory.path().join("data").display()
        );
        std::fs::write(&config, text).unwrap();
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry is installed (apt-get install docker-registry)");
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = lines
            .find_map(|line| {
                let line = line.unwrap();
                let (_, rest) = line.split_once("listening on ")?;
                Some(rest.split(['"', ' ', ',']).next()?.to_owned())
            })
            .unwrap();
        // What it says further is read, so that it does not wait for room.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            address,
            _directory: directory,
        }
    }

    pub fn name(&self, rest: &str) -> Name {
        name(&format!("{}/{rest}", self.address))
    }
}

impl Drop for Debians {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
