//! An asynchronous source of bytes for a thread that blocks.

use std::{
    io::{self, Read},
    sync::atomic::{AtomicBool, Ordering},
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::{Notify, mpsc},
};

/// Pieces on their way, and the size of one in bytes.
const PIECES: usize = 4;
const PIECE: usize = 128 << 10;

/// The end that a thread reads from.
pub struct Pieces {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(Ok(piece)) if piece.is_empty() => return Ok(0),
                Some(Ok(piece)) => self.current = piece,
                Some(Err(error)) => return Err(error),
                // The other end is gone without having said that this was all.
                None => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
        let len = self.current.len().min(buffer.len());
        if let Some(buffer) = buffer.get_mut(..len) {
            self.current.copy_to_slice(buffer);
        }
        Ok(len)
    }
}

/// Tells the asynchronous side that the thread has given up.
#[derive(Default)]
pub struct GivenUp {
    is_set: AtomicBool,
    notify: Notify,
}

impl GivenUp {
    pub fn set(&self) {
        self.is_set.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    async fn wait(&self) {
        while !self.is_set.load(Ordering::Acquire) {
            self.notify.notified().await;
        }
    }
}

/// The end that pieces are put into.
pub struct Feeder(mpsc::Sender<io::Result<Bytes>>);

pub fn pair() -> (Feeder, Pieces) {
    let (sender, receiver) = mpsc::channel(PIECES);
    let pieces = Pieces {
        receiver,
        current: Bytes::new(),
    };
    (Feeder(sender), pieces)
}

impl Feeder {
    /// Hands everything of `from` on, until its end, an error, or nobody wants it.
    pub async fn feed(self, mut from: impl AsyncRead + Unpin, given_up: &GivenUp) {
        loop {
            let mut piece = bytes::BytesMut::with_capacity(PIECE);
            let read = tokio::select! {
                read = from.read_buf(&mut piece) => read,
                () = given_up.wait() => return,
            };
            let (message, is_over) = match read {
                Ok(len) => (Ok(piece.freeze()), len == 0),
                Err(error) => (Err(error), true),
            };
            if self.0.send(message).await.is_err() || is_over {
                return;
            }
        }
    }

    /// Says that there is nothing to read, and why.
    pub async fn fail(self, error: io::Error) {
        let _ = self.0.send(Err(error)).await;
    }
}
