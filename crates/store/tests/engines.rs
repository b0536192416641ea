//! One suite for all engines.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

/// Runs each function of the suite against a store that `$open` opens; its second part is kept until
/// the test is over.
macro_rules! engine_suite {
    ($open:path) => {
        engine_suite!(@each $open:
            create_update_delete
            a_conflict_tells_the_actual_revision
            senseless_writes_are_refused
            lists_are_ordered_and_can_be_paged
            an_older_revision_can_be_listed
            prefixes_do_not_leak
            a_watch_replays_and_then_follows
            watches_keep_the_order_of_concurrent_writers
            concurrent_writers_of_one_key_take_turns
            many_writers_create_at_once
            compaction_forgets_what_was_before
            the_future_is_an_error
            every_watch_reaches_the_revision
            revisions_only_grow
            who_is_not_polled_holds_up_nobody
            large_values
            keys_are_any_text
            a_long_history_is_replayed_whole
        );
    };
    (@each $open:path: $($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let (store, _kept) = $open().await;
                crate::support::suite::$name(store).await;
            }
        )*
    };
}

mod sqlite {
    use std::sync::Arc;

    use mosaic_store::{Sqlite, Store};

    async fn open() -> (Arc<dyn Store>, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        (Arc::new(Sqlite::open(directory.path()).unwrap()), directory)
    }

    engine_suite!(open);
}

mod memory {
    use std::sync::Arc;

    use mosaic_store::{Memory, Store};

    async fn open() -> (Arc<dyn Store>, ()) {
        (Arc::new(Memory::new()), ())
    }

    engine_suite!(open);
}

mod etcd {
    use std::sync::Arc;

    use mosaic_store::Store;

    use crate::support::etcd::Cluster;

    async fn open() -> (Arc<dyn Store>, Cluster) {
        let cluster = Cluster::start(1, &[]).await;
        (Arc::new(cluster.connect("/mosaic").await), cluster)
    }

    engine_suite!(open);
}
