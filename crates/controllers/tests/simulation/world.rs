//! What everything in a simulation shares: chance, how bad the weather is, and who is there.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::time::Instant;

use crate::{promises::Promises, server::Servers};

/// How likely what goes wrong is, each between 0 and 1.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// A request does not arrive.
    pub lose_request: f64,
    /// An answer does not arrive; what was asked for is done.
    pub lose_answer: f64,
    /// A message takes seconds.
    pub late: f64,
    /// A request arrives once more later.
    pub repeat: f64,
    /// A watch breaks off at an event.
    pub cut_watch: f64,
    /// The store does not answer a write, which it may have done.
    pub store: f64,
}

impl Weather {
    /// Messages arrive, in milliseconds.
    pub const CALM: Self = Self {
        lose_request: 0.0,
        lose_answer: 0.0,
        late: 0.0,
        repeat: 0.0,
        cut_watch: 0.0,
        store: 0.0,
    };

    /// So much of everything, drawn for a while.
    pub fn draw(world: &World) -> Self {
        let heavy = world.chance(0.3);
        let draw = |most: f64| {
            if world.chance(0.4) {
                0.0
            } else {
                world.fraction() * if heavy { most } else { most / 8.0 }
            }
        };
        Self {
            lose_request: draw(0.25),
            lose_answer: draw(0.25),
            late: draw(0.2),
            repeat: draw(0.15),
            cut_watch: draw(0.2),
            store: draw(0.1),
        }
    }
}

/// What everything in a simulation shares.
pub struct World {
    random: Mutex<StdRng>,
    weather: Mutex<Weather>,
    began: Instant,
    /// The servers.
    pub servers: Servers,
    /// What must hold at all times.
    pub promises: Mutex<Promises>,
}

impl World {
    /// A world of a seed.
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            weather: Mutex::new(Weather::CALM),
            began: Instant::now(),
            servers: Servers::default(),
            promises: Mutex::default(),
        })
    }

    /// Tells what happens.
    pub fn note(&self, what: impl std::fmt::Display) {
        eprintln!("{:>9.3} {what}", self.began.elapsed().as_secs_f64());
    }

    /// Whether something of this likelihood happens.
    pub fn chance(&self, likelihood: f64) -> bool {
        likelihood > 0.0 && self.random.lock().random_bool(likelihood.min(1.0))
    }

    /// A number between 0 and 1.
    pub fn fraction(&self) -> f64 {
        self.random.lock().random()
    }

    /// A number from a range.
    pub fn number(&self, range: std::ops::Range<i64>) -> i64 {
        self.random.lock().random_range(range)
    }

    /// One of several.
    pub fn pick<'a, T>(&self, of: &'a [T]) -> Option<&'a T> {
        (!of.is_empty()).then(|| &of[self.random.lock().random_range(0..of.len())])
    }

    /// A time between two, in milliseconds.
    pub fn between(&self, least: i64, most: i64) -> Duration {
        Duration::from_millis(self.number(least..most.max(least + 1)).unsigned_abs())
    }

    /// The weather.
    pub fn weather(&self) -> Weather {
        *self.weather.lock()
    }

    /// Changes the weather.
    pub fn set_weather(&self, weather: Weather) {
        self.note(format_args!("{weather:.2?}"));
        *self.weather.lock() = weather;
    }

    /// How long a message is under way.
    pub fn way(&self) -> Duration {
        if self.chance(self.weather().late) {
            // Most are a little late, some very.
            let most = if self.chance(0.2) { 12_000 } else { 1_500 };
            return self.between(20, most);
        }
        Duration::from_micros(self.number(100..2_000).unsigned_abs())
    }
}
