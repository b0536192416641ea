//! What a process of a simulation asks its operating system for: the time, and chance.
//!
//! Code under test reads clocks and draws random numbers wherever it likes. Here the two calls of the C library that
//! all of it ends in are answered by the simulation, on the threads that simulate: time is tokio's paused time
//! since a fixed date, and chance comes from the seed. On other threads they go to the kernel as ever.
//!
//! Every simulated process has a wall clock of its own, which may jump ([`WallClock`]). Whose clock is asked is known from
//! whose code is being polled: [`WallClock::of`] wraps a process's future. Tasks that it spawns are not wrapped; they
//! see the clock that is set for the thread ([`WallClock::for_rest`]).

// These two functions stand in for the C library's. Nothing else here is unsafe.
#![allow(unsafe_code)]

use std::{
    cell::Cell,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

/// When simulations begin, in seconds since 1970: 2026-01-05T00:00:00Z, a Monday.
const BEGIN: i64 = 1_767_571_200;
/// What clocks that only go forward show at the beginning, in seconds.
const UPTIME: i64 = 1_000_000;

thread_local! {
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
    static ASKING: Cell<bool> = const { Cell::new(false) };
    /// How far the wall clock is off, in milliseconds.
    static OFF: Cell<i64> = const { Cell::new(0) };
    static CHANCE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// From now on chance on this thread comes from a seed. To be called before anything else is done on it.
pub fn seed_chance(seed: u64) {
    CHANCE.set(Some(seed ^ 0x6d6f_7361_6963));
    // Draws its own seed from the thread's identity.
    fastrand::seed(seed);
}

/// From now on clocks on this thread show simulated time. To be called in a runtime whose time is paused.
pub fn begin_time() {
    BEGAN.set(Some(Instant::now()));
}

/// How long the simulation has been going on; nothing outside of one.
pub fn elapsed() -> Option<Duration> {
    let began = BEGAN.get()?;
    // Tokio asks for the time itself where there is no runtime.
    if ASKING.replace(true) {
        return None;
    }
    let elapsed = began.elapsed();
    ASKING.set(false);
    Some(elapsed)
}

/// The clock on a process's wall.
#[derive(Clone, Default)]
pub struct WallClock(Arc<AtomicI64>);

impl WallClock {
    /// Sets how far it is off, in milliseconds.
    pub fn set(&self, off: i64) {
        self.0.store(off, Ordering::Relaxed);
    }

    /// Lets a future see this clock.
    pub fn of<F: Future + Send + 'static>(&self, inner: F) -> OnClock<F> {
        OnClock {
            clock: self.clone(),
            inner: Box::pin(inner),
        }
    }

    /// Sets the clock of everything that no process's future is around, on this thread.
    pub fn for_rest(off: i64) {
        OFF.set(off);
    }
}

/// A future that sees a clock of its own.
pub struct OnClock<F> {
    clock: WallClock,
    inner: Pin<Box<F>>,
}

impl<F: Future> Future for OnClock<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let before = OFF.replace(self.clock.0.load(Ordering::Relaxed));
        let polled = self.inner.as_mut().poll(context);
        OFF.set(before);
        polled
    }
}

fn simulated(clock: libc::clockid_t) -> Option<libc::timespec> {
    let elapsed = elapsed()?;
    let (begin, off) = match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => (BEGIN, OFF.get()),
        libc::CLOCK_MONOTONIC | libc::CLOCK_MONOTONIC_COARSE | libc::CLOCK_BOOTTIME => (UPTIME, 0),
        _ => return None,
    };
    let nanos = i128::from(begin) * 1_000_000_000
        + i128::from(off) * 1_000_000
        + i128::try_from(elapsed.as_nanos()).ok()?;
    Some(libc::timespec {
        tv_sec: i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?,
        tv_nsec: i64::try_from(nanos.rem_euclid(1_000_000_000)).ok()?,
    })
}

/// Stands in for the C library's function of this name.
///
/// # Safety
/// As there: `time` is where a `timespec` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(
    clock: libc::clockid_t,
    time: *mut libc::timespec,
) -> libc::c_int {
    match simulated(clock) {
        Some(now) => {
            // SAFETY: the caller promises that this can be written.
            unsafe { time.write(now) };
            0
        }
        // SAFETY: the kernel's call with the arguments that it takes.
        None => unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) as libc::c_int },
    }
}

/// Stands in for the C library's function of this name.
///
/// # Safety
/// As there: `buffer` is where `length` bytes can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(
    buffer: *mut libc::c_void,
    length: libc::size_t,
    flags: libc::c_uint,
) -> libc::ssize_t {
    let Some(mut state) = CHANCE.get() else {
        // SAFETY: the kernel's call with the arguments that it takes.
        return unsafe {
            libc::syscall(libc::SYS_getrandom, buffer, length, flags) as libc::ssize_t
        };
    };
    for index in 0..length {
        // One step of SplitMix64 a byte: this is about repetition and not about secrets.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // SAFETY: the caller promises `length` bytes.
        unsafe { buffer.cast::<u8>().add(index).write((mixed >> 56) as u8) };
    }
    CHANCE.set(Some(state));
    length as libc::ssize_t
}
