//! Servers that die and are started again, over one store.

use std::{io, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use http::{Request, Response, request::Parts};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use mosaic_apiserver::{Options, Server, TolerationSeconds};
use mosaic_auth::{User, groups, pki::Authority};
use mosaic_store::{Entry, Event, ListOptions, Memory, Page, Revision, Store, StoreError, Write};
use parking_lot::RwLock;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::{
    network::{known, reset},
    process::WallClock,
    world::World,
};

/// All servers, by number.
#[derive(Default)]
pub struct Servers(RwLock<Vec<Option<Running>>>);

/// A server at work.
#[derive(Clone)]
pub struct Running {
    server: Arc<Server>,
    died: CancellationToken,
    clock: WallClock,
}

impl Servers {
    /// The server that who counts up to this number gets, if it is alive.
    pub fn running(&self, number: usize) -> Option<Running> {
        let all = self.0.read();
        let number = number % all.len().max(1);
        all.get(number)?.clone()
    }

    /// How many there are, alive or dead.
    pub fn count(&self) -> usize {
        self.0.read().len()
    }

    /// Kills one; says whether it was alive.
    pub fn kill(&self, number: usize) -> bool {
        let killed = self.0.write().get_mut(number).and_then(Option::take);
        let Some(running) = killed else {
            return false;
        };
        running.died.cancel();
        true
    }

    /// Starts one with a number.
    pub async fn start(&self, world: &Arc<World>, store: &Memory, number: usize) {
        let died = CancellationToken::new();
        let clock = WallClock::default();
        let store = OfServer {
            inner: store.clone(),
            world: world.clone(),
            died: died.clone(),
        };
        let directory = tempfile::tempdir().unwrap();
        let options = Options {
            data_dir: directory.path().to_owned(),
            listen: "127.0.0.1:0".parse().unwrap(),
            advertise: None,
            names: Vec::new(),
            anonymous: false,
            service_range: "10.96.0.0/16".parse().unwrap(),
            toleration_seconds: TolerationSeconds::default(),
            registry: false,
            audit: None,
        };
        let started = clock.of(Server::start(options, Arc::new(store))).await;
        let server = match started {
            Ok(server) => Arc::new(server),
            Err(error) => {
                world.note(format_args!("server-{number} did not start: {error}"));
                return;
            }
        };
        let mut all = self.0.write();
        if all.len() <= number {
            all.resize_with(number + 1, || None);
        }
        all[number] = Some(Running {
            server,
            died,
            clock,
        });
    }
}

impl Running {
    /// The cluster's authority.
    pub fn authority(&self) -> &Arc<Authority> {
        self.server.authority()
    }

    /// Its clock.
    pub fn clock(&self) -> &WallClock {
        &self.clock
    }

    /// Returns once it is dead.
    pub async fn died(&self) {
        self.died.cancelled().await;
    }

    /// Asks for something whose answer may go on.
    pub async fn open(&self, parts: Parts, body: Bytes) -> io::Result<Response<AnswerBody>> {
        let user = User::new("simulation", [groups::MASTERS, groups::AUTHENTICATED]);
        let mut service = self.server.local(user);
        let asked = service.call(Request::from_parts(parts, known(body)));
        tokio::select! {
            answer = self.clock.of(asked) => Ok(answer.unwrap_or_else(|never| match never {})),
            () = self.died() => Err(reset("the server died")),
        }
    }

    /// Asks for something whose answer ends.
    pub async fn ask(&self, parts: Parts, body: Bytes) -> io::Result<Response<Bytes>> {
        let (parts, body) = self.open(parts, body).await?.into_parts();
        tokio::select! {
            body = self.clock.of(body.collect()) => {
                let body = body.map_err(io::Error::other)?;
                Ok(Response::from_parts(parts, body.to_bytes()))
            }
            () = self.died() => Err(reset("the server died")),
        }
    }
}

/// The body of a server's answer.
type AnswerBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// The store as one server sees it: it takes time, may not answer, and is gone for a server that is dead.
struct OfServer {
    inner: Memory,
    world: Arc<World>,
    died: CancellationToken,
}

impl OfServer {
    async fn takes_time(&self) -> mosaic_store::Result<()> {
        let micros = self.world.number(50..1_500).unsigned_abs();
        sleep(std::time::Duration::from_micros(micros)).await;
        if self.died.is_cancelled() {
            // Nobody is there any more who could be told.
            std::future::pending::<()>().await;
        }
        if self.world.chance(self.world.weather().store) {
            sleep(self.world.between(1, 2_000)).await;
            return Err(StoreError::Unavailable("the store did not answer".into()));
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Store for OfServer {
    async fn get(&self, key: &str) -> mosaic_store::Result<Option<Entry>> {
        self.inner.get(key).await
    }

    async fn list(&self, prefix: &str, options: ListOptions) -> mosaic_store::Result<Page> {
        self.inner.list(prefix, options).await
    }

    async fn write(&self, write: Write) -> mosaic_store::Result<Revision> {
        self.takes_time().await?;
        let (key, value) = (write.key.clone(), write.value.clone());
        let written = self.inner.write(write).await;
        if written.is_ok() {
            self.world.promises.lock().saw(&key, value.as_deref());
        }
        self.takes_time().await?;
        written
    }

    async fn watch(
        &self,
        prefix: &str,
        after: Revision,
    ) -> mosaic_store::Result<BoxStream<'static, mosaic_store::Result<Event>>> {
        let events = self.inner.watch(prefix, after).await?;
        let (world, died) = (self.world.clone(), self.died.clone());
        let state = Some((events, world, died));
        Ok(Box::pin(stream::unfold(state, |state| async move {
            let (mut events, world, died) = state?;
            let event = tokio::select! {
                event = events.next() => event?,
                () = died.cancelled() => std::future::pending().await,
            };
            if world.chance(world.weather().late / 20.0) {
                sleep(world.between(1, 3_000)).await;
            }
            if world.chance(world.weather().store / 20.0) {
                let lost = StoreError::Unavailable("the store's watch was lost".into());
                return Some((Err(lost), None));
            }
            Some((event, Some((events, world, died))))
        })))
    }

    async fn revision(&self) -> mosaic_store::Result<Revision> {
        self.takes_time().await?;
        self.inner.revision().await
    }

    async fn compact(&self, revision: Revision) -> mosaic_store::Result<()> {
        self.inner.compact(revision).await
    }
}
