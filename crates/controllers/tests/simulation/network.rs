//! The way between a client and a server: requests and answers that are lost, late or repeated, watches that break off.
//!
//! ```text
//!   client ──▶ Link ──▶ lost? late? twice? ──▶ Server (alive? which one?) ──▶ the API
//!          ◀──      ◀── lost? late? cut?   ◀──
//! ```

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use http::{Method, Request, Response, request::Parts};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::client::Body;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{server::Running, world::World};

type Result<T, E = io::Error> = std::result::Result<T, E>;
type Frames = BoxStream<'static, Result<Frame<Bytes>>>;
type Answer = Response<StreamBody<Frames>>;

/// A process's way to the servers.
#[derive(Clone)]
pub struct Link {
    world: Arc<World>,
    who: Arc<str>,
    /// Whether nothing goes wrong but that servers die.
    sheltered: bool,
    killed: CancellationToken,
    cut: watch::Sender<bool>,
    server: Arc<AtomicUsize>,
}

impl Link {
    /// The way of a process of this name.
    pub fn new(world: &Arc<World>, who: &str) -> Self {
        let server = world.number(0..8).unsigned_abs() as usize;
        Self {
            world: world.clone(),
            who: who.into(),
            sheltered: false,
            killed: CancellationToken::new(),
            cut: watch::Sender::new(false),
            server: Arc::new(server.into()),
        }
    }

    /// The way of who is not simulated.
    pub fn sheltered(world: &Arc<World>, who: &str) -> Self {
        Self {
            sheltered: true,
            ..Self::new(world, who)
        }
    }

    /// A client that goes this way.
    pub fn client(&self) -> kube::Client {
        mosaic_controllers::client(self.clone())
    }

    /// Nothing of the process is heard any more, but what is under way may still arrive.
    pub fn kill(&self) {
        self.killed.cancel();
    }

    /// Cuts the way, or mends it.
    pub fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }

    fn is_cut(&self) -> bool {
        *self.cut.borrow() || self.killed.is_cancelled()
    }

    /// Returns once the way is cut.
    async fn broken(&self) {
        let mut cut = self.cut.subscribe();
        tokio::select! {
            _ = cut.wait_for(|cut| *cut) => {}
            () = self.killed.cancelled() => {}
        }
    }

    fn likely(&self, likelihood: f64) -> bool {
        !self.sheltered && self.world.chance(likelihood)
    }

    async fn way(&self) {
        if !self.sheltered {
            sleep(self.world.way()).await;
        }
    }

    /// The server that this process talks to; another one next time, should that be dead.
    fn server(&self) -> Result<Running> {
        let number = self.server.load(Ordering::Relaxed);
        self.world.servers.running(number).ok_or_else(|| {
            self.server.store(number + 1, Ordering::Relaxed);
            io::Error::new(io::ErrorKind::ConnectionRefused, "no server is there")
        })
    }

    async fn send(self, request: Request<Body>) -> Result<Answer> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let weather = self.world.weather();
        let told = format!("{}: {} {}", self.who, parts.method, parts.uri);
        if self.is_cut() || self.likely(weather.lose_request) {
            if !self.is_cut() {
                self.world.note(format_args!("lost    {told}"));
            }
            sleep(self.world.between(1, 3_000)).await;
            return Err(reset("the request was lost"));
        }
        let server = self.server()?;
        if parts
            .uri
            .query()
            .is_some_and(|query| query.contains("watch="))
        {
            self.way().await;
            return self.watch(server, parts, body, told).await;
        }
        if parts.method != Method::GET && self.likely(weather.repeat) {
            let (link, server) = (self.clone(), server.clone());
            let (parts, body, told) = (parts.clone(), body.clone(), told.clone());
            let later = self.world.between(1, 6_000);
            tokio::spawn(async move {
                sleep(later).await;
                let code = server.ask(parts, body).await.map(|answer| answer.status());
                link.world.note(format_args!("again   {told}: {code:?}"));
            });
        }
        // A message that has been sent arrives, even if its sender is dead by then.
        let (link, asked) = (self.clone(), told.clone());
        let delivered = tokio::spawn(async move {
            link.way().await;
            let answer = server.ask(parts, body).await?;
            let writes = !asked.contains(": GET ");
            if writes && !asked.contains("/leases") && !asked.contains("/events") {
                link.world
                    .note(format_args!("        {asked}: {}", answer.status()));
            }
            Ok::<_, io::Error>(answer)
        });
        let answer = tokio::select! {
            answer = delivered => answer.map_err(io::Error::other)?,
            () = self.broken() => Err(reset("the way was cut")),
        };
        if answer.is_err() {
            self.server.fetch_add(1, Ordering::Relaxed);
        }
        let (parts, body) = answer?.into_parts();
        self.way().await;
        if self.likely(weather.lose_answer) {
            self.world
                .note(format_args!("unheard {told}: {}", parts.status));
            sleep(self.world.between(1, 3_000)).await;
            return Err(reset("the answer was lost"));
        }
        let frames: Frames = Box::pin(stream::iter([Ok(Frame::data(body))]));
        Ok(Response::from_parts(parts, StreamBody::new(frames)))
    }

    async fn watch(
        self,
        server: Running,
        parts: Parts,
        body: Bytes,
        told: String,
    ) -> Result<Answer> {
        let answer = server.open(parts, body).await?;
        let (parts, body) = answer.into_parts();
        let frames = body.into_data_stream().boxed();
        let watched = stream::unfold(Some((self, server, frames, told)), |state| async move {
            let (link, server, mut frames, told) = state?;
            let frame = tokio::select! {
                frame = frames.next() => frame?,
                () = link.broken() => return Some((Err(reset("the way was cut")), None)),
                () = server.died() => return Some((Err(reset("the server died")), None)),
            };
            link.way().await;
            if link.likely(link.world.weather().cut_watch) {
                link.world.note(format_args!("cut     {told}"));
                // Some ends look like the end that every watch comes to.
                let end = link.world.chance(0.5).then(|| reset("the watch was cut"));
                return end.map(|end| (Err(end), None));
            }
            let frame = frame.map(Frame::data).map_err(io::Error::other);
            Some((frame, Some((link, server, frames, told))))
        });
        let frames: Frames = Box::pin(watched);
        Ok(Response::from_parts(parts, StreamBody::new(frames)))
    }
}

/// What a broken connection looks like.
pub fn reset(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, why)
}

impl tower::Service<Request<Body>> for Link {
    type Response = Answer;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Answer>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

/// The body of a request that is known.
pub fn known(body: Bytes) -> Full<Bytes> {
    Full::new(body)
}
