//! Adding to an upload: while one piece is hashed and written, the next is gathered.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;

use bytes::Bytes;
use mosaic_image::Hasher;
use tokio::task::JoinHandle;

use super::super::{BlobsError, Incoming, Result, UploadId};
use super::blocking;
use super::room::check_room;

/// What is gathered of an upload before it is hashed and written.
pub(super) const WRITE_PIECE: usize = 512 << 10;

/// The end of an upload: where it is written, and what it has been so far.
pub(super) struct End {
    pub(super) file: File,
    pub(super) hasher: Hasher,
}

/// Hashes and writes one piece.
fn write_piece(mut end: End, piece: Vec<Bytes>, id: &UploadId) -> Result<End> {
    check_room(rustix::fs::fstatvfs(&end.file), id)?;
    let found = end.file.metadata();
    let found = found.map_err(|error| BlobsError::io("look at upload", id, error))?;
    if found.nlink() == 0 {
        // It was cancelled meanwhile.
        return Err(BlobsError::NoUpload(id.clone()));
    }
    for bytes in piece {
        end.file
            .write_all(&bytes)
            .map_err(|error| BlobsError::io("write upload", id, error))?;
        end.hasher.update(&bytes);
    }
    Ok(end)
}

/// Gathers the next piece of a body. Says also why there are no more, if there are none.
async fn gather(body: &mut Incoming<'_>) -> (Vec<Bytes>, Option<Result<()>>) {
    let mut piece = Vec::new();
    let mut size = 0;
    while size < WRITE_PIECE {
        match body.next().await {
            Ok(Some(bytes)) => {
                size += bytes.len();
                piece.push(bytes);
            }
            Ok(None) => return (piece, Some(Ok(()))),
            Err(error) => return (piece, Some(Err(error))),
        }
    }
    (piece, None)
}

/// Carries a body to the end of an upload. The end comes back unless its writing failed, or was lost.
pub(super) async fn carry(end: End, mut body: Incoming<'_>) -> (Option<End>, Result<()>) {
    let id = body.id;
    let mut writing: Option<JoinHandle<Result<End>>> = None;
    let mut idle = Some(end);
    loop {
        let (piece, over) = gather(&mut body).await;
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
