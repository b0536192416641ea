//! The directory of layers: each once, whole or not at all, whoever dies meanwhile.

use std::{
    collections::HashSet,
    fs,
    io::{self, Cursor, Read},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Barrier,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use mosaic_image::unpack::{Layer, Layers, Settings, UnpackError};

use crate::{
    Bench,
    layer::{Item, archive, describe, directory, file, gzip, symlink},
    snapshot::snapshot,
};

/// Where the child of a test finds its directory of layers.
const CHILD: &str = "MOSAIC_TEST_UNPACK_INTO";

/// A layer of a few thousand files, always the same.
fn large() -> (Vec<u8>, Layer) {
    let mut items: Vec<Item> = Vec::new();
    for d in 0..40 {
        items.push(directory(format!("d{d}")).mtime(d));
        for f in 0..50 {
            items.push(file(format!("d{d}/f{f}"), format!("{d} {f} ").repeat(200)));
        }
        items.push(symlink(format!("d{d}/s"), "f0"));
    }
    let bytes = archive(&items);
    let compressed = gzip(&bytes);
    let layer = describe(&compressed, &bytes);
    (compressed, layer)
}

/// What another process does: unpack that layer. On its own, it does nothing.
#[test]
fn child() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let (bytes, layer) = large();
    let layers = Layers::open(path, Settings::of_this_process()).unwrap();
    println!("child: begins");
    let unpacked = layers.unpack(&layer, || Ok(Cursor::new(bytes))).unwrap();
    println!(
        "child: {}",
        if unpacked.is_new {
            "made it"
        } else {
            "found it"
        }
    );
}

fn spawn_child(path: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "places::child", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_layer_that_is_there_is_not_read_again() {
    let bench = Bench::new();
    let (bytes, layer) = large();
    assert_eq!(bench.layers.get(&layer.diff_id).unwrap(), None);
    let first = bench
        .layers
        .unpack(&layer, || Ok(Cursor::new(&bytes)))
        .unwrap();
    assert!(first.is_new);
    let never = || -> io::Result<io::Empty> { panic!("it is there") };
    let second = bench.layers.unpack(&layer, never).unwrap();
    assert!(!second.is_new);
    assert_eq!(
        (first.path, first.report),
        (second.path.clone(), second.report)
    );
    assert_eq!(bench.layers.get(&layer.diff_id).unwrap(), Some(second));
    // Also for who comes later.
    let again = Layers::open(bench.layers.path(), Settings::of_this_process()).unwrap();
    assert!(again.get(&layer.diff_id).unwrap().is_some());
    assert!(again.remove(&layer.diff_id).unwrap());
    assert!(!again.remove(&layer.diff_id).unwrap());
    bench.assert_nothing_left();
}

#[test]
fn threads_that_want_the_same_layer_read_it_once() {
    let bench = Bench::new();
    let (bytes, layer) = large();
    let (opened, start) = (AtomicU32::new(0), Barrier::new(6));
    let results: Vec<_> = thread::scope(|scope| {
        let work = || {
            start.wait();
            bench.layers.unpack(&layer, || {
                opened.fetch_add(1, Ordering::Relaxed);
                Ok(Cursor::new(&bytes))
            })
        };
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap().unwrap())
            .collect()
    });
    assert_eq!(opened.load(Ordering::Relaxed), 1);
    assert_eq!(results.iter().filter(|unpacked| unpacked.is_new).count(), 1);
    let paths: HashSet<_> = results.iter().map(|unpacked| &unpacked.path).collect();
    assert_eq!(paths.len(), 1);
    assert!(bench.unfinished().is_empty());
}

#[test]
fn processes_that_want_the_same_layer_make_one_directory() {
    let bench = Bench::new();
    let (_, layer) = large();
    for _ in 0..3 {
        let children: Vec<_> = (0..4).map(|_| spawn_child(bench.layers.path())).collect();
        let mut made = 0;
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success());
            made += usize::from(String::from_utf8_lossy(&output.stdout).contains("made it"));
        }
        assert_eq!(made, 1);
        assert!(bench.unfinished().is_empty());
        assert!(bench.layers.remove(&layer.diff_id).unwrap());
    }
}

#[test]
fn processes_that_die_leave_nothing_that_counts() {
    let bench = Bench::new();
    let (bytes, layer) = large();
    let whole = {
        let other = Bench::new();
        let unpacked = other
            .layers
            .unpack(&layer, || Ok(Cursor::new(&bytes)))
            .unwrap();
        snapshot(&unpacked.path)
    };
    let (mut unfinished, mut finished) = (0, 0);
    let kills = std::env::var("MOSAIC_KILLS").map_or(15, |text| text.parse().unwrap());
    for round in 0..kills {
        let mut child = spawn_child(bench.layers.path());
        // Until it has made about so many files, or has come to its end.
        let files = fastrand::Rng::with_seed(round).usize(..2200);
        let temporary = bench.layers.path().join("unpacking");
        while child.try_wait().unwrap().is_none() && count(&temporary) < files {
            thread::yield_now();
        }
        let _ = child.kill();
        child.wait().unwrap();
        match bench.layers.get(&layer.diff_id).unwrap() {
            Some(unpacked) => {
                assert_eq!(snapshot(&unpacked.path), whole);
                assert!(bench.layers.remove(&layer.diff_id).unwrap());
                finished += 1;
            }
            None => {
                assert_eq!(bench.layers.list().unwrap(), []);
                unfinished += usize::from(!bench.unfinished().is_empty());
            }
        }
        // Whoever opens the directory next cleans up.
        if round % 2 == 0 {
            Layers::open(bench.layers.path(), Settings::of_this_process()).unwrap();
            bench.assert_nothing_left();
        }
    }
    println!("{kills} kills: {unfinished} in the middle, {finished} after the end");
    assert!(unfinished > 0, "no kill was in the middle");
    // Or simply unpacks it.
    let unpacked = bench
        .layers
        .unpack(&layer, || Ok(Cursor::new(&bytes)))
        .unwrap();
    assert_eq!(snapshot(&unpacked.path), whole);
    assert!(bench.unfinished().is_empty());
}

#[test]
fn what_somebody_left_does_not_get_into_the_layer() {
    let bench = Bench::new();
    let (bytes, layer) = large();
    let name = layer.diff_id.to_string().replace(':', "-");
    let left = bench.layers.path().join("unpacking").join(name).join("fs");
    fs::create_dir_all(left.join("d0/f0")).unwrap();
    fs::write(left.join("left"), "x").unwrap();
    let source = || Ok(Cursor::new(&bytes));
    let unpacked = bench.layers.unpack(&layer, source).unwrap();
    assert!(!unpacked.path.join("left").exists());
    assert!(unpacked.path.join("d0/f0").is_file());
    assert!(bench.unfinished().is_empty());
}

/// About how many files there are below a directory that changes meanwhile.
fn count(path: &Path) -> usize {
    let Ok(entries) = fs::read_dir(path) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => count(&entry.path()),
            _ => 1,
        })
        .sum()
}

#[test]
fn a_sweep_leaves_those_alone_who_are_at_work() {
    let bench = Bench::new();
    let (bytes, layer) = large();
    let (half, rest) = bytes.split_at(bytes.len() / 2);
    let (asked, go_on) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        let source = Cursor::new(half)
            .chain(Gate(Some((&asked, &go_on))))
            .chain(Cursor::new(rest));
        let worker = scope.spawn(|| bench.layers.unpack(&layer, || Ok(source)));
        asked.wait();
        Layers::open(bench.layers.path(), Settings::of_this_process()).unwrap();
        assert!(!bench.unfinished().is_empty());
        assert_eq!(bench.layers.get(&layer.diff_id).unwrap(), None);
        go_on.wait();
        assert!(worker.join().unwrap().unwrap().is_new);
    });
    assert!(bench.unfinished().is_empty());
}

/// Has nothing to read, once it was told to go on.
struct Gate<'a>(Option<(&'a Barrier, &'a Barrier)>);

impl Read for Gate<'_> {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        if let Some((asked, go_on)) = self.0.take() {
            asked.wait();
            go_on.wait();
        }
        Ok(0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_of_an_image_come_in_parallel_within_the_bound() {
    let settings = Settings {
        parallel: 3,
        ..Settings::of_this_process()
    };
    let bench = Bench::with(settings);
    let archives: Vec<_> = (0..8)
        .map(|number| archive(&[file(format!("f{number}"), vec![number; 300_000])]))
        .collect();
    let layers: Vec<_> = archives
        .iter()
        .map(|bytes| describe(bytes, bytes))
        .collect();
    let (running, most) = (AtomicU32::new(0), AtomicU32::new(0));
    let open = |layer: &Layer| {
        let at = layers.iter().position(|known| known == layer).unwrap();
        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let source = Running(Cursor::new(&archives[at]), &running);
        async move { Ok(source) }
    };
    let unpacked = bench.layers.fetch_all(&layers, open).await.unwrap();
    for (number, unpacked) in unpacked.iter().enumerate() {
        assert!(unpacked.is_new);
        assert_eq!(crate::names(&unpacked.path), [format!("f{number}")]);
    }
    assert!(most.load(Ordering::SeqCst) <= 3);
    // Once more: none is opened.
    let never = |_: &Layer| async { Err::<tokio::io::Empty, _>(io::Error::other("it is there")) };
    let again = bench.layers.fetch_all(&layers, never).await.unwrap();
    assert!(again.iter().all(|unpacked| !unpacked.is_new));
}

struct Running<'a>(Cursor<&'a Vec<u8>>, &'a AtomicU32);

impl tokio::io::AsyncRead for Running<'_> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_hangs_is_left_when_the_layer_is_refused() {
    let bench = Bench::new();
    // Refused in its first bytes; and then nothing comes any more.
    let bytes = archive(&[file("../x", ""), file("f", vec![1; 1 << 20])]);
    let layer = describe(&bytes, &bytes);
    let (mut sender, receiver) = tokio::io::duplex(1 << 20);
    let feed = async move {
        tokio::io::AsyncWriteExt::write_all(&mut sender, &bytes[..600_000])
            .await
            .unwrap();
        // The other end is kept open and silent.
        std::future::pending::<()>().await;
    };
    let fetch = bench.layers.fetch(&layer, || async { Ok(receiver) });
    let result = tokio::select! {
        result = fetch => result,
        () = feed => unreachable!("it never ends"),
    };
    assert!(
        matches!(result, Err(UnpackError::Refused { .. })),
        "{result:?}"
    );
    bench.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_nobody_wants_any_more_is_given_up() {
    let bench = Bench::new();
    let (bytes, layer) = large();
    let (mut sender, receiver) = tokio::io::duplex(1 << 16);
    let half = bytes.len() / 2;
    {
        let fetch = bench.layers.fetch(&layer, || async { Ok(receiver) });
        tokio::select! {
            result = fetch => panic!("{result:?}"),
            sent = tokio::io::AsyncWriteExt::write_all(&mut sender, &bytes[..half]) => sent.unwrap(),
        }
    }
    // Its thread notices on its own; whoever wants the layer waits for that.
    let source = || async { Ok(Cursor::new(bytes.clone())) };
    assert!(bench.layers.fetch(&layer, source).await.unwrap().is_new);
    assert!(bench.unfinished().is_empty());
    // An error of the source is the layer's.
    bench.layers.remove(&layer.diff_id).unwrap();
    let failing = || async { Err::<tokio::io::Empty, _>(io::Error::other("no such host")) };
    let error = bench.layers.fetch(&layer, failing).await.unwrap_err();
    let UnpackError::Read(source) = error else {
        panic!("{error:?}")
    };
    assert_eq!(source.to_string(), "no such host");
    bench.assert_nothing_left();
}
