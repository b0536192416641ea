//! Many clients at once: as fast as the server answers, or at a steady pace.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::try_join_all;
use hdrhistogram::Histogram;
use http::Method;
use tokio::time::Instant;

use super::client::{Connection, Endpoint};
use crate::failure::Failure;

/// The longest latency that is told apart, in microseconds.
const LONGEST: u64 = 60_000_000;

/// What came of a load.
pub(super) struct Load {
    /// How many requests were answered.
    pub(super) count: u64,
    /// How long it took.
    pub(super) elapsed: Duration,
    latencies: Histogram<u64>,
}

impl Load {
    /// Answered requests a second.
    pub(super) fn rate(&self) -> f64 {
        as_float(self.count) / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// The latency, in milliseconds, that so many percent of the requests did not exceed.
    pub(super) fn percentile_ms(&self, percent: f64) -> f64 {
        as_float(self.latencies.value_at_percentile(percent)) / 1e3
    }
}

/// A count as a number to calculate with; exact up to 2^53.
#[allow(clippy::cast_precision_loss)]
pub(super) fn as_float(count: u64) -> f64 {
    count as f64
}

pub(super) fn histogram() -> Result<Histogram<u64>, Failure> {
    Histogram::new_with_bounds(1, LONGEST, 3)
        .map_err(|error| Failure::new(format!("cannot count latencies: {error}")))
}

pub(super) fn note(histogram: &mut Histogram<u64>, latency: Duration) {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(LONGEST);
    histogram.saturating_record(micros.clamp(1, LONGEST));
}

/// Connects so many clients.
pub(super) async fn connect(
    endpoint: &Endpoint,
    clients: usize,
) -> Result<Vec<Connection>, Failure> {
    let mut connections = Vec::with_capacity(clients);
    for _ in 0..clients {
        connections.push(endpoint.connect().await?);
    }
    Ok(connections)
}

/// How long a load goes on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// For this long.
    Time(Duration),
    /// Until so many requests were sent, by all clients together.
    Count(usize),
}

/// Each client sends the next request as soon as the last one is answered. `request` is given the
/// client's number and the number of the request among all that were sent.
pub(super) async fn flood<F, R>(
    connections: &mut [Connection],
    until: Until,
    request: F,
) -> Result<Load, Failure>
where
    F: Fn(usize, usize) -> R,
    R: AsRequest,
{
    let sent = Rc::new(Cell::new(0_usize));
    let start = Instant::now();
    let goes_on = |number: usize| match until {
        Until::Time(time) => start.elapsed() < time,
        Until::Count(count) => number < count,
    };
    let clients = connections
        .iter_mut()
        .enumerate()
        .map(|(client, connection)| {
            let (sent, request, goes_on) = (sent.clone(), &request, &goes_on);
            async move {
                let mut latencies = histogram()?;
                loop {
                    let number = sent.get();
                    if !goes_on(number) {
                        return Ok::<_, Failure>(latencies);
                    }
                    sent.set(number + 1);
                    let request = request(client, number);
                    let began = Instant::now();
                    request.send(connection).await?;
                    note(&mut latencies, began.elapsed());
                }
            }
        });
    let done = try_join_all(clients).await?;
    let elapsed = start.elapsed();
    let mut latencies = histogram()?;
    for one in done {
        latencies += one;
    }
    Ok(Load {
        count: latencies.len(),
        elapsed,
        latencies,
    })
}

/// Something that a client can send.
pub(super) trait AsRequest {
    /// Sends it, and waits for the answer.
    fn send(self, connection: &mut Connection) -> impl Future<Output = Result<usize, Failure>>;
}

/// A create: the path, and the object.
pub(super) struct Create(pub(super) &'static str, pub(super) Bytes);

impl AsRequest for Create {
    async fn send(self, connection: &mut Connection) -> Result<usize, Failure> {
        connection.create(self.0, self.1).await
    }
}

/// A get of a path.
pub(super) struct Get(pub(super) String);

impl AsRequest for Get {
    async fn send(self, connection: &mut Connection) -> Result<usize, Failure> {
        connection.get(&self.0).await
    }
}

/// A merge patch of a path.
pub(super) struct Patch(pub(super) String, pub(super) Bytes);

impl AsRequest for Patch {
    async fn send(self, connection: &mut Connection) -> Result<usize, Failure> {
        connection
            .call(
                Method::PATCH,
                &self.0,
                "application/merge-patch+json",
                self.1,
            )
            .await
    }
}

/// Sends requests at a steady pace, whether earlier ones are answered or not: each connection has its
/// share of the points in time. A request that had to wait for its connection counts from the time at
/// which it was due. `request` is given the number of the request, and from when on it counts.
pub(super) async fn steady<F, R>(
    connections: &mut [Connection],
    per_second: f64,
    time: Duration,
    request: F,
) -> Result<Load, Failure>
where
    F: Fn(u64, Instant) -> R,
    R: AsRequest,
{
    let step = Duration::from_secs_f64(1.0 / per_second);
    let clients = u32::try_from(connections.len()).unwrap_or(u32::MAX);
    let start = Instant::now();
    let shares = connections
        .iter_mut()
        .zip(0_u32..)
        .map(|(connection, client)| {
            let request = &request;
            async move {
                let mut latencies = histogram()?;
                let mut turn = client;
                loop {
                    let due = start + step.saturating_mul(turn);
                    if due >= start + time {
                        return Ok::<_, Failure>(latencies);
                    }
                    let late = Instant::now() > due;
                    tokio::time::sleep_until(due).await;
                    // The timer's own lateness is not the server's.
                    let began = if late { due } else { Instant::now() };
                    request(turn.into(), began).send(connection).await?;
                    note(&mut latencies, began.elapsed());
                    turn = turn.saturating_add(clients);
                }
            }
        });
    let done = try_join_all(shares).await?;
    let elapsed = start.elapsed();
    let mut latencies = histogram()?;
    for one in done {
        latencies += one;
    }
    Ok(Load {
        count: latencies.len(),
        elapsed,
        latencies,
    })
}
