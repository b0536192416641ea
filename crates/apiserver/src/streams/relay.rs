//! Bytes from one side to the other: no faster than the slower side takes them, a buffer at a time, and
//! not for ever when nothing moves.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;

use super::hosts::Permit;
use crate::http::respond::{Body, BodyError};

/// How long a stream may stay open without a byte.
const IDLE: Duration = Duration::from_secs(4 * 3600);
/// How long a client has to end its side once the host has ended its own.
const AFTER_HOST: Duration = Duration::from_secs(5);
/// How long a host may go on answering once the client has ended its side.
const AFTER_CLIENT: Duration = Duration::from_secs(30);
/// The buffer of each direction, in bytes.
const BUFFER: usize = 16 << 10;

/// A host's body as the client's. Should it break off, the client's breaks off too, so that half an
/// answer never passes for a whole one.
pub fn body(mut from: Incoming, permit: Permit) -> Body {
    let (send, receive) = mpsc::channel::<Result<Frame<Bytes>, BodyError>>(1);
    tokio::spawn(async move {
        // Whole, not only the field that is used: it counts until the body has ended.
        let permit = permit;
        loop {
            let next = tokio::select! {
                next = timeout(IDLE, from.frame()) => next,
                () = send.closed() => return,
                () = permit.closed.cancelled() => {
                    let _ = send.try_send(Err("the server stops, or the host is gone".into()));
                    return;
                }
            };
            let item = match next {
                Ok(Some(Ok(frame))) => Ok(frame),
                Ok(None) => return,
                Ok(Some(Err(error))) => Err(BodyError::from(error)),
                Err(_) => Err(BodyError::from("nothing came for too long")),
            };
            let broken = item.is_err();
            let sent = tokio::select! {
                sent = timeout(IDLE, send.send(item)) => sent,
                () = permit.closed.cancelled() => return,
            };
            if broken || !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
    });
    StreamBody::new(ReceiverStream::new(receive)).boxed_unsync()
}

/// Carries bytes both ways until both sides have ended, one has broken, or the stream must end.
pub async fn splice(client: Upgraded, host: Upgraded, permit: Permit) {
    let ended = permit.closed.clone();
    let carried = carry(TokioIo::new(client), TokioIo::new(host), IDLE);
    tokio::select! {
        () = carried => {}
        () = ended.cancelled() => {}
    }
    drop(permit);
}

async fn carry<C, H>(client: C, host: H, idle: Duration)
where
    C: AsyncRead + AsyncWrite,
    H: AsyncRead + AsyncWrite,
{
    let (client_reads, client_writes) = tokio::io::split(client);
    let (host_reads, host_writes) = tokio::io::split(host);
    let activity = Activity::start();
    let both = async {
        let mut up = std::pin::pin!(pump(client_reads, host_writes, &activity));
        let mut down = std::pin::pin!(pump(host_reads, client_writes, &activity));
        tokio::select! {
            ended = &mut down => if ended.is_ok() {
                // Closing while the client's bytes are under way could cost it the host's last ones.
                let _ = timeout(AFTER_HOST, up).await;
            },
            ended = &mut up => if ended.is_ok() {
                let _ = timeout(AFTER_CLIENT, down).await;
            },
        }
    };
    tokio::select! {
        () = both => {}
        () = activity.stops(idle) => {}
    }
}

/// One direction, to the end of what there is to read, which is passed on too.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    activity: &Activity,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await?;
        activity.note();
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
            return to.shutdown().await;
        };
        to.write_all(bytes).await?;
        to.flush().await?;
        activity.note();
    }
}

/// When something last moved, in milliseconds since the start.
#[derive(Clone)]
struct Activity {
    start: Instant,
    last: Arc<AtomicU64>,
}

impl Activity {
    fn start() -> Self {
        Self {
            start: Instant::now(),
            last: Arc::default(),
        }
    }

    fn note(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    /// Returns once nothing has moved for so long.
    async fn stops(&self, idle: Duration) {
        loop {
            let last = self.start + Duration::from_millis(self.last.load(Ordering::Relaxed));
            let left = (last + idle).saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_end_is_passed_on_and_answers_still_arrive() {
        let (mut client, near) = duplex(8);
        let (far, mut host) = duplex(8);
        let carried = tokio::spawn(carry(near, far, IDLE));
        let echo = tokio::spawn(async move {
            let mut said = Vec::new();
            host.read_to_end(&mut said).await.unwrap();
            host.write_all(&said).await.unwrap();
        });
        client.write_all(b"more than eight bytes").await.unwrap();
        client.shutdown().await.unwrap();
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"more than eight bytes");
        echo.await.unwrap();
        carried.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_on_which_nothing_moves_ends() {
        let (mut client, near) = duplex(8);
        let (far, mut host) = duplex(8);
        let carried = tokio::spawn(carry(near, far, Duration::from_secs(60)));
        sleep(Duration::from_secs(50)).await;
        client.write_all(b"a").await.unwrap();
        sleep(Duration::from_secs(50)).await;
        assert!(!carried.is_finished());
        carried.await.unwrap();
        assert_eq!(host.read_u8().await.unwrap(), b'a');
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stays_when_the_host_has_ended_is_let_go() {
        let (mut client, near) = duplex(8);
        let (far, host) = duplex(8);
        let carried = tokio::spawn(carry(near, far, IDLE));
        drop(host);
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        carried.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_client_does_not_take_is_not_read_from_the_host() {
        let (_client, near) = duplex(8);
        let (far, mut host) = duplex(8);
        let _carried = tokio::spawn(carry(near, far, IDLE));
        let mut sent = 0;
        while timeout(Duration::from_secs(1), host.write_all(&[0; 1024]))
            .await
            .is_ok()
        {
            sent += 1024;
        }
        assert!(sent <= 2 * BUFFER, "{sent} bytes are held");
    }
}
