//! A watch that goes on where it was cut off, so that nothing is missed.

use std::borrow::Cow;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::bench::client::Endpoint;
use crate::failure::Failure;

/// One change that a watch shows, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(super) struct Change<'a> {
    /// `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` or `ERROR`.
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) object: Object<'a>,
}

/// An object, as far as it matters here; of whichever kind.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Object<'a> {
    #[serde(borrow)]
    pub(super) metadata: Metadata<'a>,
    #[serde(borrow)]
    pub(super) spec: Spec<'a>,
    #[serde(borrow)]
    pub(super) status: Status<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Metadata<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow)]
    resource_version: Cow<'a, str>,
    pub(super) generation: i64,
    pub(super) deletion_timestamp: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Spec<'a> {
    /// Of a pod.
    #[serde(borrow)]
    pub(super) node_name: Cow<'a, str>,
    /// Of a Node.
    #[serde(borrow)]
    pub(super) taints: Vec<Taint<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Taint<'a> {
    #[serde(borrow)]
    pub(super) key: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Status<'a> {
    /// Of a pod.
    #[serde(borrow)]
    pub(super) phase: Cow<'a, str>,
    /// Of a Deployment, as the following.
    pub(super) observed_generation: i64,
    pub(super) replicas: usize,
    pub(super) updated_replicas: usize,
    pub(super) available_replicas: usize,
}

/// A watch; it ends with this value.
pub(super) struct Watch {
    tasks: JoinSet<()>,
    failed: oneshot::Receiver<Failure>,
}

impl Watch {
    /// Opens a watch of a path, which has no query but may have one after a `?`. It begins with what there
    /// is. Each change is given to `seen` with the moment at which it came.
    pub(super) async fn open(
        endpoint: &Endpoint,
        path: &str,
        mut seen: impl FnMut(&Change<'_>, Instant) + Send + 'static,
    ) -> Result<Self, Failure> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let path = format!(
            "{path}{separator}watch=true&allowWatchBookmarks=true&omitManagedFields=true&timeoutSeconds=3600"
        );
        let (endpoint, mut version) = (endpoint.clone(), String::new());
        // The first one is opened here, so that whoever could not be watched is told so at once.
        let mut connection = endpoint.connect_multiplexed().await?;
        let mut body = connection.watch(&path).await?;
        let (sender, failed) = oneshot::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut rest = Vec::new();
            loop {
                while let Some(Ok(frame)) = body.frame().await {
                    let now = Instant::now();
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    let taken = lines(&mut rest, data, |line| {
                        take(line, now, &mut version, &mut seen)
                    });
                    if let Err(failure) = taken {
                        let _ = sender.send(failure);
                        return;
                    }
                }
                // Who was too slow goes on from where it was.
                rest.clear();
                let again = async {
                    let mut connection = endpoint.connect_multiplexed().await?;
                    connection
                        .watch(&format!("{path}&resourceVersion={version}"))
                        .await
                };
                match again.await {
                    Ok(again) => body = again,
                    Err(failure) => {
                        let _ = sender.send(failure);
                        return;
                    }
                }
            }
        });
        Ok(Self { tasks, failed })
    }

    /// Fails if the watch did.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        match self.failed.try_recv() {
            Ok(failure) => Err(failure.at("watching")),
            Err(_) if self.tasks.is_empty() => Err(Failure::new("the watch has ended")),
            Err(_) => Ok(()),
        }
    }
}

fn take(
    line: &[u8],
    now: Instant,
    version: &mut String,
    seen: &mut impl FnMut(&Change<'_>, Instant),
) -> Result<(), Failure> {
    let change: Change<'_> = serde_json::from_slice(line)
        .map_err(|error| Failure::new(format!("the watch sent what cannot be read: {error}")))?;
    if change.kind == "ERROR" {
        let text = String::from_utf8_lossy(line);
        return Err(Failure::new(format!("the watch was refused: {text}")));
    }
    version.clear();
    version.push_str(&change.object.metadata.resource_version);
    if change.kind != "BOOKMARK" {
        seen(&change, now);
    }
    Ok(())
}

/// Gives each complete line away; what comes of the last one is kept for the next time.
fn lines(
    rest: &mut Vec<u8>,
    mut data: Bytes,
    mut line: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    while let Some(end) = data.iter().position(|byte| *byte == b'\n') {
        let first = data.split_to(end + 1);
        if rest.is_empty() {
            line(&first)?;
        } else {
            rest.extend_from_slice(&first);
            line(rest)?;
            rest.clear();
        }
    }
    rest.extend_from_slice(&data);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_from_frames() {
        let (mut rest, mut seen) = (Vec::new(), Vec::new());
        for frame in ["ab", "c\nd\n", "", "ef", "\n"] {
            let frame = Bytes::from_static(frame.as_bytes());
            lines(&mut rest, frame, |line| {
                seen.push(String::from_utf8_lossy(line).into_owned());
                Ok(())
            })
            .unwrap();
        }
        assert_eq!(seen, ["abc\n", "d\n", "ef\n"]);
    }

    #[test]
    fn changes_are_read_and_errors_told() {
        let (mut version, mut seen) = (String::new(), Vec::new());
        let mut read = |line: &str| {
            take(
                line.as_bytes(),
                Instant::now(),
                &mut version,
                &mut |change, _| {
                    let object = &change.object;
                    seen.push((
                        object.metadata.name.to_string(),
                        object.spec.node_name.to_string(),
                    ));
                },
            )
        };
        read(r#"{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"7"},"spec":{"x":[1]}}}"#)
            .unwrap();
        read(r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}"#).unwrap();
        assert!(read(r#"{"type":"ERROR","object":{"code":410}}"#).is_err());
        assert!(read("{").is_err());
        assert_eq!(seen, [("a".to_owned(), String::new())]);
        assert_eq!(version, "9");
    }
}
