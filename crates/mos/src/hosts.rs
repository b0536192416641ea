//! The settings of `mos server` about hosts that are lost, and about what is kept how long.

use std::time::Duration;

use clap::Args;
use mosaic_apiserver::TolerationSeconds;
use mosaic_controllers::{NodeSettings, Settings};

use crate::client::duration;

/// The shortest time in which a host can be told from one that is late.
const SHORTEST_GRACE: Duration = Duration::from_secs(2);

/// When hosts are lost, what then becomes of their pods, and how long things are kept that are over.
#[derive(Debug, Args)]
pub(crate) struct HostArgs {
    /// How long a host may be silent before it counts as lost, at least 2s; hosts should renew their leases
    /// four times in it
    #[arg(long, value_name = "DURATION", default_value = "40s", value_parser = grace)]
    node_monitor_grace_period: Duration,
    /// How long a zone of which most hosts are silent is left alone, as it is likely to be cut off only
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    zone_eviction_delay: Duration,
    /// After that, how long until the next host of such a zone loses its pods
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    zone_eviction_interval: Duration,
    /// How long pods stay on a host that says that it is not ready, unless they say so themselves
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    default_not_ready_toleration_seconds: u32,
    /// How long pods stay on a host that is silent for longer than the grace period, unless they say so
    /// themselves
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    default_unreachable_toleration_seconds: u32,
    /// How many pods that have ended are kept, 0 for all; beyond that the oldest are deleted
    #[arg(long, value_name = "PODS", default_value_t = 12_500)]
    terminated_pod_gc_threshold: usize,
    /// How long events are kept after they were last written
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = event_ttl)]
    event_ttl: Duration,
}

impl HostArgs {
    /// What the controllers make of it.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            nodes: NodeSettings {
                grace_period: self.node_monitor_grace_period,
                zone_eviction_delay: self.zone_eviction_delay,
                zone_eviction_interval: self.zone_eviction_interval,
            },
            ended_pods: self.terminated_pod_gc_threshold,
            event_ttl: self.event_ttl,
        }
    }

    /// What new pods get that say nothing of their own.
    pub(crate) fn toleration_seconds(&self) -> TolerationSeconds {
        TolerationSeconds {
            not_ready: self.default_not_ready_toleration_seconds.into(),
            unreachable: self.default_unreachable_toleration_seconds.into(),
        }
    }
}

fn grace(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time < SHORTEST_GRACE {
        return Err("2s is the least: hosts have to be able to renew their leases in it".into());
    }
    Ok(time)
}

fn event_ttl(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time < Duration::from_secs(1) {
        return Err("1s is the least".into());
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        hosts: HostArgs,
    }

    #[test]
    fn without_settings_all_is_as_the_controllers_and_the_server_have_it() {
        let hosts = Command::try_parse_from(["server"]).unwrap().hosts;
        assert_eq!(hosts.settings(), Settings::default());
        assert_eq!(hosts.toleration_seconds(), TolerationSeconds::default());
    }

    #[test]
    fn each_setting_is_taken_and_grace_has_a_bound() {
        let parse = |arguments: &[&str]| {
            Command::try_parse_from(["server"].iter().chain(arguments)).map(|command| command.hosts)
        };
        let hosts = parse(&[
            "--node-monitor-grace-period=2s",
            "--zone-eviction-delay=1m",
            "--zone-eviction-interval=3s",
            "--default-not-ready-toleration-seconds=4",
            "--default-unreachable-toleration-seconds=5",
            "--terminated-pod-gc-threshold=6",
            "--event-ttl=7m",
        ])
        .unwrap();
        let settings = hosts.settings();
        assert_eq!(settings.nodes.grace_period, Duration::from_secs(2));
        assert_eq!(settings.nodes.zone_eviction_delay, Duration::from_secs(60));
        assert_eq!(
            settings.nodes.zone_eviction_interval,
            Duration::from_secs(3)
        );
        assert_eq!(
            (settings.ended_pods, settings.event_ttl),
            (6, Duration::from_secs(420))
        );
        let seconds = hosts.toleration_seconds();
        assert_eq!((seconds.not_ready, seconds.unreachable), (4, 5));
        let refused = parse(&["--node-monitor-grace-period=1s"])
            .unwrap_err()
            .to_string();
        assert!(refused.contains("2s is the least"), "{refused}");
        assert!(parse(&["--event-ttl=10ms"]).is_err());
    }
}
