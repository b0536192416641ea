//! Room in memory for manifests that are being read and judged.
//!
//! Nobody has room for what they only announce, and a namespace has a share of it, so that clients who send slowly, or
//! not at all, are in nobody's way but that of their own.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Up to so many bytes a manifest is small. Nearly all are.
pub(super) const SMALL: usize = 16 << 10;
/// How many small ones are read at once, in all and of one namespace.
const SMALL_MAX: usize = 256;
const SMALL_SHARE: usize = 64;
/// How many larger ones, of up to 4 MiB.
const LARGE_MAX: usize = 3;
const LARGE_SHARE: usize = 1;

/// The room of a registry: 16 MiB together.
pub(crate) struct Rooms {
    pub(super) small: Room,
    pub(super) large: Room,
}

impl Default for Rooms {
    fn default() -> Self {
        Self {
            small: Room::new(SMALL_MAX, SMALL_SHARE),
            large: Room::new(LARGE_MAX, LARGE_SHARE),
        }
    }
}

/// Room for so many manifests of a kind.
pub(super) struct Room {
    all: Arc<Semaphore>,
    share: usize,
    shares: Mutex<HashMap<Box<str>, Arc<Semaphore>>>,
}

/// Room for one manifest, until it is dropped.
pub(super) struct Place {
    _permits: [Option<OwnedSemaphorePermit>; 2],
}

impl Room {
    fn new(all: usize, share: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all)),
            share,
            shares: Mutex::default(),
        }
    }

    /// Waits for room: first in the namespace's share, so that who waits there takes nothing from others.
    pub(super) async fn enter(&self, namespace: &str) -> Place {
        let share = {
            let mut shares = self.shares.lock();
            // A permit holds its share.
            shares.retain(|_, share| Arc::strong_count(share) > 1);
            let share = shares.entry(namespace.into());
            share
                .or_insert_with(|| Arc::new(Semaphore::new(self.share)))
                .clone()
        };
        // They are never closed, so it is there.
        let own = share.acquire_owned().await.ok();
        let all = self.all.clone().acquire_owned().await.ok();
        Place {
            _permits: [own, all],
        }
    }
}
