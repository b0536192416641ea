//! What every place for blobs does alike: on disk, and in object storage.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use mosaic_image::{Digest, digest};
use mosaic_registry::blobs::{BlobsError, ByteStream, UploadId};
use mosaic_registry::{Blobs, Disk, Objects};
use mosaic_store::Memory;
use object_store::memory::InMemory;

fn body(pieces: Vec<io::Result<Bytes>>) -> ByteStream {
    futures::stream::iter(pieces).boxed()
}

fn bytes(size: usize, salt: usize) -> Vec<u8> {
    (0..size).map(|n| ((n * 31 + salt) % 251) as u8).collect()
}

async fn whole(blobs: &dyn Blobs, digest: &Digest) -> Option<Vec<u8>> {
    part(blobs, digest, 0..u64::MAX).await
}

async fn part(blobs: &dyn Blobs, digest: &Digest, range: std::ops::Range<u64>) -> Option<Vec<u8>> {
    let (_, stream) = blobs.read(digest, range).await.unwrap()?;
    Some(stream.try_concat_bytes().await)
}

#[async_trait::async_trait]
trait Concat {
    async fn try_concat_bytes(self) -> Vec<u8>;
}

#[async_trait::async_trait]
impl Concat for ByteStream {
    async fn try_concat_bytes(self) -> Vec<u8> {
        let pieces: Vec<Bytes> = self.try_collect().await.unwrap();
        pieces.concat()
    }
}

/// `again` is the same place as another server, or the same one after a restart, sees it.
async fn suite<B: Blobs>(blobs: B, again: impl Fn(B) -> B) {
    // In several requests, with a piece that is as long as a part of object storage and more.
    let content = bytes(12_000_001, 1);
    let expected = digest::sha256(&content);
    let id = UploadId::new("r");
    blobs.start(&id).await.unwrap();
    let pieces = content[..11_000_000]
        .chunks(100_000)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)));
    let most = 1 << 30;
    let length = blobs
        .append(&id, Some(0), most, body(pieces.collect()))
        .await
        .unwrap();
    assert_eq!(length, 11_000_000);
    // One that breaks off keeps what came.
    let broken = vec![
        Ok(Bytes::copy_from_slice(&content[11_000_000..11_500_000])),
        Err(io::Error::other("gone")),
    ];
    let error = blobs
        .append(&id, None, most, body(broken))
        .await
        .unwrap_err();
    assert!(matches!(error, BlobsError::Broken { .. }), "{error}");
    assert_eq!(blobs.length(&id).await.unwrap(), 11_500_000);
    let blobs = again(blobs);
    let offset = blobs
        .append(&id, Some(5), most, body(vec![]))
        .await
        .unwrap_err();
    assert!(
        matches!(
            offset,
            BlobsError::Offset {
                length: 11_500_000,
                ..
            }
        ),
        "{offset}"
    );
    assert_eq!(
        blobs.peek(&id, 10_999_999, 2).await.unwrap()[0],
        content[10_999_999]
    );
    let rest = vec![Ok(Bytes::copy_from_slice(&content[11_500_000..]))];
    blobs
        .append(&id, Some(11_500_000), most, body(rest))
        .await
        .unwrap();
    let wrong = blobs
        .seal(&id, &digest::sha256(b"other"))
        .await
        .unwrap_err();
    assert!(matches!(wrong, BlobsError::Digest { .. }));
    assert_eq!(
        blobs.seal(&id, &expected).await.unwrap(),
        content.len() as u64
    );
    assert!(blobs.stat(&expected).await.unwrap().is_none());
    assert!(whole(&blobs, &expected).await.is_none());
    // Its bytes are what was told from now on, also after they are in their place.
    let late = || body(vec![Ok(Bytes::from_static(b"late"))]);
    let sealed = blobs.append(&id, None, most, late()).await.unwrap_err();
    assert!(matches!(sealed, BlobsError::NoUpload(_)), "{sealed}");
    blobs.settle(&id).await.unwrap();
    blobs.place(&id, &expected).await.unwrap();
    let blobs = again(blobs);
    let placed = blobs.append(&id, None, most, late()).await.unwrap_err();
    assert!(matches!(placed, BlobsError::NoUpload(_)), "{placed}");
    assert!(whole(&blobs, &expected).await.unwrap() == content);
    // Once more, as when the collector came between.
    blobs.place(&id, &expected).await.unwrap();
    blobs.delete(&expected).await.unwrap();
    blobs.place(&id, &expected).await.unwrap();
    assert_eq!(blobs.uploads().await.unwrap().len(), 1);
    blobs.discard(&id).await.unwrap();
    blobs.discard(&id).await.unwrap();
    assert!(blobs.uploads().await.unwrap().is_empty());
    let gone = blobs
        .append(&id, None, most, body(vec![]))
        .await
        .unwrap_err();
    assert!(matches!(gone, BlobsError::NoUpload(_)));
    assert!(whole(&blobs, &expected).await.unwrap() == content);
    assert_eq!(
        blobs.stat(&expected).await.unwrap().unwrap().size,
        content.len() as u64
    );
    let middle = part(&blobs, &expected, 5_000_000..6_000_001).await.unwrap();
    assert!(middle == content[5_000_000..6_000_001]);

    // As one piece, and with nothing in it.
    for content in [bytes(1000, 2), Vec::new()] {
        let id = UploadId::new("r");
        blobs.start(&id).await.unwrap();
        blobs
            .append(&id, None, most, body(vec![Ok(content.clone().into())]))
            .await
            .unwrap();
        let expected = digest::sha256(&content);
        blobs.seal(&id, &expected).await.unwrap();
        blobs.place(&id, &expected).await.unwrap();
        blobs.discard(&id).await.unwrap();
        assert_eq!(whole(&blobs, &expected).await.unwrap(), content);
    }

    // More than there may be is not kept.
    let id = UploadId::new("r");
    blobs.start(&id).await.unwrap();
    let error = blobs
        .append(&id, None, 999, body(vec![Ok(bytes(1000, 3).into())]))
        .await
        .unwrap_err();
    assert!(
        matches!(error, BlobsError::TooLarge { most: 999, .. }),
        "{error}"
    );
    assert!(blobs.uploads().await.unwrap().is_empty());

    // Bytes that were put, and the list of all.
    let mut all = vec![
        digest::sha256(&content),
        digest::sha256(&bytes(1000, 2)),
        digest::sha256(b""),
    ];
    for salt in 0..20 {
        let small = bytes(10, salt);
        let digest = digest::sha256(&small);
        blobs.put(&digest, small.into()).await.unwrap();
        all.push(digest);
    }
    all.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = blobs.list(after.as_ref(), 7).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        listed.extend(page.into_iter().map(|(digest, _)| digest));
    }
    assert_eq!(listed, all);
    blobs.delete(&all[0]).await.unwrap();
    blobs.delete(&all[0]).await.unwrap();
    assert!(whole(&blobs, &all[0]).await.is_none());
}

#[tokio::test]
async fn on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Disk::open(directory.path()).unwrap();
    suite(open(), |disk| {
        assert!(
            Disk::open(directory.path()).is_err(),
            "two processes in one directory"
        );
        drop(disk);
        open()
    })
    .await;
}

#[tokio::test]
async fn in_object_storage() {
    let objects = Arc::new(InMemory::new());
    let store = Arc::new(Memory::new());
    let open = || Objects::new(objects.clone(), store.clone());
    suite(open(), |_| open()).await;
}

#[tokio::test]
async fn of_two_requests_that_add_to_an_upload_in_object_storage_one_is_refused() {
    let objects = Arc::new(InMemory::new());
    let store = Arc::new(Memory::new());
    let one = Objects::new(objects.clone(), store.clone());
    let two = Objects::new(objects, store);
    let id = UploadId::new("r");
    one.start(&id).await.unwrap();
    let content = || body(vec![Ok(Bytes::from_static(b"content"))]);
    // The second comes while the first is being read.
    let during = futures::stream::once(async {
        two.append(&id, Some(0), 100, content()).await.unwrap();
        Ok(Bytes::from_static(b"content"))
    });
    let pieces: Vec<io::Result<Bytes>> = during.collect().await;
    let late = one
        .append(&id, Some(0), 100, body(pieces))
        .await
        .unwrap_err();
    assert!(
        matches!(late, BlobsError::Offset { length: 7, .. }),
        "{late}"
    );
    let expected = digest::sha256(b"content");
    assert_eq!(one.seal(&id, &expected).await.unwrap(), 7);
}

#[tokio::test]
async fn nothing_more_is_written_of_an_upload_that_is_cancelled() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(Disk::open(directory.path()).unwrap());
    let id = UploadId::new("r");
    disk.start(&id).await.unwrap();
    // Long: it is cancelled when its first bytes are there.
    let long = futures::stream::repeat_with(|| Ok(Bytes::from(vec![0; 64 << 10])));
    let long = long.take(2_000).boxed();
    let (adding, cancelled) = (disk.clone(), id.clone());
    let adding = tokio::spawn(async move { adding.append(&cancelled, None, u64::MAX, long).await });
    while disk.length(&id).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    disk.discard(&id).await.unwrap();
    let error = adding.await.unwrap().unwrap_err();
    assert!(matches!(error, BlobsError::NoUpload(_)), "{error}");
}

#[tokio::test]
async fn a_namespace_that_begins_uploads_without_end_is_in_nobody_elses_way() {
    let directory = tempfile::tempdir().unwrap();
    let mut disk = Disk::open(directory.path()).unwrap();
    let honest = UploadId::new("honest/app");
    disk.start(&honest).await.unwrap();
    let held = UploadId::new("flood/app");
    disk.start(&held).await.unwrap();
    let piece = body(vec![Ok(Bytes::from_static(b"held"))]);
    disk.append(&held, None, 100, piece).await.unwrap();
    let mut begun = Vec::new();
    for number in 0..3_000 {
        if number == 1_500 {
            drop(disk);
            disk = Disk::open(directory.path()).unwrap();
        }
        let id = UploadId::new(&format!("flood/{number}"));
        disk.start(&id).await.unwrap();
        begun.push(id);
    }
    // What holds bytes stays, and of what holds none, what was begun last.
    assert_eq!(disk.uploads().await.unwrap().len(), 1 + 1_000);
    let kept = [&honest, &held].into_iter().chain(begun.last());
    for id in kept {
        assert!(disk.length(id).await.is_ok(), "{id}");
    }
    assert!(disk.length(&begun[0]).await.is_err());
    // Where all hold bytes, there is room for no more, until one goes; others do not notice.
    for (id, _) in disk.uploads().await.unwrap() {
        if id != honest {
            let piece = body(vec![Ok(Bytes::from_static(b"."))]);
            disk.append(&id, None, 100, piece).await.unwrap();
        }
    }
    let more = UploadId::new("flood/more");
    let refused = disk.start(&more).await.unwrap_err();
    assert!(matches!(refused, BlobsError::TooMany), "{refused}");
    disk.start(&UploadId::new("honest/other")).await.unwrap();
    disk.discard(&held).await.unwrap();
    disk.start(&more).await.unwrap();
}
