//! The processes besides the servers: controllers, and hosts.

use std::{sync::Arc, time::Duration};

use mosaic_controllers::{NodeSettings, Settings};
use mosaic_lab::SimulatedHosts;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{network::Link, process::WallClock, world::World};

/// How many zones hosts are in.
pub const ZONES: u32 = 2;
/// Processors of a host, in thousandths.
pub const HOST_CPU: i64 = 4_000;

/// A process at work.
pub struct Process {
    pub name: String,
    link: Link,
    task: JoinHandle<()>,
    shutdown: CancellationToken,
}

impl Process {
    /// Ends it at once, whatever it is doing.
    pub fn kill(self) {
        self.link.kill();
        self.task.abort();
    }

    /// Asks it to end.
    pub fn stop(self) {
        self.shutdown.cancel();
        let link = self.link;
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            link.kill();
        });
    }

    /// Cuts its way to the servers, or mends it.
    pub fn cut(&self, cut: bool) {
        self.link.cut(cut);
    }
}

/// When hosts count as lost, in a world.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// After so many seconds of silence.
    pub grace: u64,
}

/// Starts controllers under a name that nobody else has.
pub fn controllers(world: &Arc<World>, name: &str, times: Times) -> Option<Process> {
    let authority = (0..world.servers.count())
        .find_map(|number| world.servers.running(number))
        .map(|server| server.authority().clone())?;
    let link = Link::new(world, name);
    let shutdown = CancellationToken::new();
    let options = mosaic_controllers::Options {
        identity: name.to_owned(),
        authority,
        advertised: None,
        settings: Settings {
            nodes: NodeSettings {
                grace_period: Duration::from_secs(times.grace),
                ..NodeSettings::default()
            },
            ..Settings::default()
        },
    };
    let work = mosaic_controllers::run(link.client(), options, shutdown.clone());
    Some(Process {
        name: name.to_owned(),
        link,
        task: tokio::spawn(work),
        shutdown,
    })
}

/// Starts a host with a clock that is off.
pub fn host(world: &Arc<World>, number: u32, times: Times, clock: &WallClock) -> Process {
    use mosaic_api::{Quantity, quantity::Format};
    let name = format!("host-{number}");
    let link = Link::new(world, &name);
    let shutdown = CancellationToken::new();
    let options = mosaic_lab::Options {
        count: 1,
        prefix: "host-".to_owned(),
        first: number,
        zones: ZONES,
        cpu: Quantity::from_units(HOST_CPU / 1_000, Format::DecimalSi),
        memory: Quantity::from_units(16 << 30, Format::BinarySi),
        lease_interval: Duration::from_secs(times.grace) / 4,
        // Hosts that were cut off without knowing it say that they are well.
        heartbeat: Duration::from_secs(15),
        ..mosaic_lab::Options::default()
    };
    let hosts = SimulatedHosts::new(link.client(), options).unwrap();
    let running = hosts.run(shutdown.clone());
    let (world, of) = (world.clone(), name.clone());
    let task = tokio::spawn(clock.of(async move {
        if let Err(error) = running.await {
            world
                .promises
                .lock()
                .broken(format!("{of} gave up: {error}"));
        }
    }));
    Process {
        name,
        link,
        task,
        shutdown,
    }
}
