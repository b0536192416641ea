//! A Deployment whose template changes.

use std::sync::Arc;
use std::time::Instant;

use http::Method;
use parking_lot::Mutex;

use super::Bench;
use super::cluster::Cluster;
use super::follow::{Change, Watch};
use super::objects::{self, DEPLOYMENTS};
use crate::failure::Failure;

const NAME: &str = "rollover";

/// How far a Deployment is, and since when.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    generation: i64,
    observed: i64,
    replicas: usize,
    updated: usize,
    available: usize,
    seen: Option<Instant>,
}

impl State {
    fn read(change: &Change<'_>, now: Instant) -> Self {
        let (metadata, status) = (&change.object.metadata, &change.object.status);
        Self {
            generation: metadata.generation,
            observed: status.observed_generation,
            replicas: status.replicas,
            updated: status.updated_replicas,
            available: status.available_replicas,
            seen: Some(now),
        }
    }

    /// Whether all pods are of this version of the Deployment or of a later one, are available, and no
    /// others are left.
    fn is_complete(&self, generation: i64, wanted: usize) -> bool {
        self.generation >= generation
            && self.observed >= self.generation
            && (self.updated, self.replicas, self.available) == (wanted, wanted, wanted)
    }
}

impl Bench {
    /// A Deployment of a third of the pods changes its template.
    pub(super) async fn rollover(&mut self) -> Result<(), Failure> {
        let replicas = (self.sizes.pods / 3).max(1);
        self.progress.message("starting a server and hosts");
        let directory = self.directory.path().join("rollover");
        let mut cluster = Cluster::start(&directory, self.sizes).await?;
        let mut connection = cluster.endpoint.connect().await?;
        self.progress
            .message(&format!("creating a Deployment of {replicas} pods"));
        let began = Instant::now();
        let body = objects::deployment(NAME, replicas);
        connection.create(DEPLOYMENTS, body).await?;
        let state = Arc::new(Mutex::new(State::default()));
        let follows = state.clone();
        let path = format!("{DEPLOYMENTS}?fieldSelector=metadata.name%3D{NAME}");
        let mut watch = Watch::open(&cluster.endpoint, &path, move |change, now| {
            *follows.lock() = State::read(change, now);
        })
        .await?;
        let mut complete = async |cluster: &mut Cluster, generation| {
            let look = || {
                watch.check()?;
                let state = *state.lock();
                let far = state.updated + state.available;
                Ok((state.is_complete(generation, replicas), far))
            };
            cluster.wait("the Deployment is complete", look).await?;
            let state = *state.lock();
            Ok::<_, Failure>((state.generation, state.seen.unwrap_or_else(Instant::now)))
        };
        let (generation, at) = complete(&mut cluster, 1).await?;
        let rollout = at.saturating_duration_since(began);
        self.progress.message("rolling the Deployment over");
        let before = cluster.server.cpu()?;
        let began = Instant::now();
        connection
            .call(
                Method::PATCH,
                &format!("{DEPLOYMENTS}/{NAME}"),
                "application/merge-patch+json",
                objects::next_version(),
            )
            .await?;
        let (_, at) = complete(&mut cluster, generation + 1).await?;
        let rollover = at.saturating_duration_since(began);
        let cpu = cluster.server.cpu()?.saturating_sub(before);
        let figures = &mut self.figures;
        figures.add("rollout_seconds", rollout.as_secs_f64());
        figures.add("rollover_seconds", rollover.as_secs_f64());
        figures.add("rollover_server_cpu_seconds", cpu.as_secs_f64());
        drop(connection);
        self.progress.step();
        cluster.stop().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_the_new_version_is_complete() {
        let done = State {
            generation: 2,
            observed: 2,
            replicas: 5,
            updated: 5,
            available: 5,
            seen: None,
        };
        assert!(done.is_complete(2, 5));
        assert!(!done.is_complete(3, 5), "the change was not seen yet");
        assert!(!done.is_complete(2, 6), "some pods are missing");
        let others = [
            State {
                observed: 1,
                ..done
            },
            State {
                replicas: 6,
                ..done
            },
            State { updated: 4, ..done },
            State {
                available: 4,
                ..done
            },
        ];
        for state in others {
            assert!(!state.is_complete(2, 5), "{state:?}");
        }
    }
}
