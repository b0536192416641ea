//! Object storage that speaks S3's protocol, as a process of its own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Child;

use tempfile::TempDir;

use crate::service::{service, start_service};
use crate::wait::{free_port, wait_until};

/// A running moto, whose objects are in its memory. It is killed when dropped.
pub struct S3 {
    child: Child,
    port: u16,
    _scratch: TempDir,
}

impl S3 {
    /// Starts it, waits until it answers, and makes an empty bucket.
    ///
    /// # Panics
    /// If `MOSAIC_MOTO` does not say where moto is, as `scripts/tools.sh` does.
    pub fn start(bucket: &str) -> Self {
        let library = std::env::var_os("MOSAIC_MOTO")
            .expect("MOSAIC_MOTO: run eval \"$(scripts/tools.sh --environment)\"");
        let scratch = TempDir::new().expect("a temporary directory");
        let port = free_port();
        let mut moto = service("python3", &scratch.path().join("log"));
        moto.env("PYTHONPATH", library)
            .args(["-m", "moto.server", "--port", &port.to_string()]);
        let s3 = Self {
            child: start_service(moto),
            port,
            _scratch: scratch,
        };
        wait_until("moto to make a bucket", || {
            s3.ask("PUT", bucket)
                .is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
        });
        s3
    }

    /// The variables by which S3's tools find it.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            (
                "AWS_ENDPOINT_URL",
                format!("http://127.0.0.1:{}", self.port),
            ),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "tests".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "tests".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// The names of the first 1,000 objects in a bucket, as one text of XML.
    ///
    /// # Panics
    /// If it does not answer.
    pub fn list(&self, bucket: &str) -> String {
        self.ask("GET", bucket).expect("an answer of moto")
    }

    fn ask(&self, method: &str, bucket: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let head = format!(
            "{method} /{bucket} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
