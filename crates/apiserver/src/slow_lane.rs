//! A lane for work that computes for long: reading a body of megabytes, drawing a table of thousands of
//! rows.
//!
//! The runtime has as many threads as there are processors. A few requests like these would hold all of
//! them, and with them health checks, leases and everybody's short requests. In the lane, a thread that
//! starts long work hands its other tasks to another thread first.

use std::num::NonZero;

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::Semaphore,
    task::block_in_place,
};

/// From which size on a body is long work, in bytes.
pub const LARGE_BODY: usize = 64 << 10;
/// From how many objects on a list is long work.
pub const LONG_LIST: usize = 500;

/// The lane of one server. What is in it at the same time is bounded: each has a thread of its own.
#[derive(Debug)]
pub struct SlowLane {
    room: Semaphore,
}

impl Default for SlowLane {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            room: Semaphore::new(processors.saturating_mul(4)),
        }
    }
}

impl SlowLane {
    /// Does work that computes for long. Whoever waits for it waits without holding up others; once
    /// begun it goes on to its end, also when nobody waits any more.
    pub async fn compute<T>(&self, work: impl FnOnce() -> T) -> T {
        // Nobody closes the semaphore; without a permit the work would still be done.
        let _permit = self.room.acquire().await;
        if is_single_threaded() {
            return work();
        }
        block_in_place(work)
    }

    /// The same for work that also waits now and then.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let _permit = self.room.acquire().await;
        if is_single_threaded() {
            return work.await;
        }
        block_in_place(|| Handle::current().block_on(work))
    }
}

/// A runtime of one thread has no other to hand its tasks to.
fn is_single_threaded() -> bool {
    Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::*;

    /// Fails by never ending.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn other_tasks_go_on_beside_long_work() {
        let lane = Arc::new(SlowLane::default());
        let (release, released) = mpsc::channel();
        let (begin, began) = tokio::sync::oneshot::channel();
        let long = tokio::spawn({
            let lane = lane.clone();
            async move {
                lane.compute(move || {
                    begin.send(()).unwrap();
                    released.recv().unwrap()
                })
                .await
            }
        });
        let other = tokio::spawn(async move {
            began.await.unwrap();
            release.send(7).unwrap();
        });
        other.await.unwrap();
        assert_eq!(long.await.unwrap(), 7);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn long_work_may_wait_for_other_tasks() {
        let lane = SlowLane::default();
        let (send, receive) = tokio::sync::oneshot::channel();
        let other = tokio::spawn(async move { send.send(7).unwrap() });
        assert_eq!(lane.run(receive).await, Ok(7));
        other.await.unwrap();
    }

    #[tokio::test]
    async fn it_works_on_a_runtime_of_one_thread() {
        let lane = SlowLane::default();
        assert_eq!(lane.compute(|| 7).await, 7);
        assert_eq!(lane.run(async { 7 }).await, 7);
    }
}
