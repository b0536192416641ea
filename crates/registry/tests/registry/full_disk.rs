//! A disk that pushes filled: deletions and the collector have room left.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::common::{Server, with};
use mosaic_image::digest;
use mosaic_registry::{AllowAll, Settings};

/// A small file system, unmounted when dropped.
struct SmallDisk(PathBuf, #[allow(dead_code)] tempfile::TempDir);

impl SmallDisk {
    /// None where a test may not mount.
    fn mount(mebibytes: u32) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        std::fs::create_dir(&path).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"])
            .arg(&path)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(path, directory)),
            other => {
                eprintln!("not tried: a file system cannot be mounted here ({other:?})");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn what_pushes_filled_can_be_deleted_and_collected() {
    let Some(disk) = SmallDisk::mount(64) else {
        return;
    };
    let settings = Settings {
        grace: Duration::from_secs(2),
        ..Settings::default()
    };
    let directory = tempfile::tempdir_in(&disk.0).unwrap();
    let server = Server::start_in(directory, settings, Arc::new(AllowAll)).await;
    let (_, image) = server.image("r", "v1", b"layer").await;
    // Down to the last byte, as long as anything is taken.
    for size in [4 << 20, 256 << 10, 4 << 10, 1] {
        for salt in 0u32.. {
            let mut bytes = vec![0; size];
            bytes.extend(salt.to_be_bytes());
            bytes.extend((size as u32).to_be_bytes());
            let path = with("/v2/r/blobs/uploads/", "digest", digest::sha256(&bytes));
            let pushed = server.send("POST", &path, &[], bytes).await;
            if pushed.status.as_u16() != 201 {
                pushed.is(507);
                break;
            }
        }
    }
    server.get("/v2/r/manifests/v1").await.is(200);
    let manifest = format!("/v2/r/manifests/{image}");
    server.delete(&manifest).await.is(202);
    let mut blobs = 0;
    while blobs < 10 {
        blobs += server.registry.collect().await.unwrap().blobs;
        tokio::task::yield_now().await;
    }
    server.blob("r", &vec![1; 1 << 20]).await;
}
