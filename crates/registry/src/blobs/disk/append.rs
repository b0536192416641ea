//! Adding to an upload: while one piece is hashed and written, the next is gathered.

use std::fs::File;
use std::io::{self, Write};

use bytes::Bytes;
use futures::StreamExt;
use mosaic_image::Hasher;
use tokio::task::JoinHandle;

use super::super::{BlobsError, ByteStream, Result, SILENCE, UploadId};
use super::blocking;

/// What is gathered of an upload before it is hashed and written.
pub(super) const WRITE_PIECE: usize = 512 << 10;

/// The end of an upload: where it is written, and what it has been so far.
pub(super) struct End {
    pub(super) file: File,
    pub(super) hasher: Hasher,
}

/// Hashes and writes one piece.
fn write_piece(mut end: End, piece: Vec<Bytes>, id: &UploadId) -> Result<End> {
    for bytes in piece {
        end.file
            .write_all(&bytes)
            .map_err(|error| BlobsError::io("write upload", id, error))?;
        end.hasher.update(&bytes);
    }
    Ok(end)
}

/// Gathers the next piece of a body. Says also why there are no more, if there are none.
async fn gather(
    body: &mut ByteStream,
    room: &mut u64,
    id: &UploadId,
    most: u64,
) -> (Vec<Bytes>, Option<Result<()>>) {
    let mut piece = Vec::new();
    let mut size = 0;
    while size < WRITE_PIECE {
        let broken = |reason: String| BlobsError::Broken {
            id: id.clone(),
            reason,
        };
        let end = match tokio::time::timeout(SILENCE, body.next()).await {
            Err(_) => Err(broken("nothing came for too long".into())),
            Ok(None) => Ok(()),
            Ok(Some(Err(error))) => Err(broken(error.to_string())),
            Ok(Some(Ok(bytes))) if bytes.len() as u64 > *room => Err(BlobsError::TooLarge {
                id: id.clone(),
                most,
            }),
            Ok(Some(Ok(bytes))) => {
                *room -= bytes.len() as u64;
                size += bytes.len();
                piece.push(bytes);
                continue;
            }
        };
        return (piece, Some(end));
    }
    (piece, None)
}

/// Carries a body to the end of an upload. The end comes back unless its writing failed, or was lost.
pub(super) async fn carry(
    end: End,
    id: &UploadId,
    most: u64,
    mut body: ByteStream,
) -> (Option<End>, Result<()>) {
    let mut room = most.saturating_sub(end.hasher.length());
    let mut writing: Option<JoinHandle<Result<End>>> = None;
    let mut idle = Some(end);
    loop {
        let (piece, over) = gather(&mut body, &mut room, id, most).await;
        let end = match writing.take() {
            None => idle.take(),
            Some(writing) => match writing.await {
                Ok(Ok(end)) => Some(end),
                Ok(Err(error)) => return (None, Err(error)),
                Err(_) => None,
            },
        };
        let Some(end) = end else {
            let error = io::Error::other("the writing thread is gone");
            return (None, Err(BlobsError::io("write upload", id, error)));
        };
        let id = id.clone();
        let write = move || write_piece(end, piece, &id);
        match over {
            None => writing = Some(tokio::task::spawn_blocking(write)),
            Some(over) => {
                return match blocking(write).await {
                    Ok(end) => (Some(end), over),
                    Err(error) => (None, Err(error)),
                };
            }
        }
    }
}
