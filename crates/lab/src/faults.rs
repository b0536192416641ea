//! What goes wrong with hosts, and when.
//!
//! A plan is a list such as `silent=10@30s,zone=zone-2@1m/20s,flap=5@30s/10s`: what, which hosts (so many, or
//! those of a zone), how long after the start, and for how long.
//!
//! | fault | what happens to a host |
//! | --- | --- |
//! | `silent=10@30s` | it is cut off: no lease, no watch, no status. What runs goes on. With `/20s` it is back 20 s later |
//! | `zone=zone-2@30s` | the same for all hosts of a zone |
//! | `down=10@30s` | it loses power: what ran is gone, and pods start over when it is back |
//! | `restart=10@30s` | its agent starts anew (with `/5s`, 5 s later), and finds what runs |
//! | `flap=5@30s/10s` | it is cut off for 10 s, back for 10 s, and so on |

use std::{fmt, str::FromStr};

use crate::duration::millis;

/// A fault of some hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What happens.
    pub kind: FaultKind,
    /// To which hosts.
    pub hosts: Hosts,
    /// When, in milliseconds after the start.
    pub after: u64,
    /// How long it lasts, in milliseconds; without one, for ever. Always given for flapping hosts.
    pub lasts: Option<u64>,
}

/// What happens to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// It is cut off from the API.
    Silent,
    /// It loses power.
    Down,
    /// Its agent starts anew.
    Restart,
    /// It is cut off again and again.
    Flap,
}

/// Which hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// So many, from the first one on. Zones take turns among hosts, so all are hit alike.
    First(u32),
    /// Those of a zone.
    Zone(Box<str>),
}

/// What is wrong with a plan of faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultError(String);

impl fmt::Display for FaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FaultError {}

impl fmt::Display for Fault {
    /// As it is written in a plan.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match (self.kind, &self.hosts) {
            (_, Hosts::Zone(_)) => "zone",
            (FaultKind::Silent, _) => "silent",
            (FaultKind::Down, _) => "down",
            (FaultKind::Restart, _) => "restart",
            (FaultKind::Flap, _) => "flap",
        };
        write!(f, "{kind}=")?;
        match &self.hosts {
            Hosts::First(count) => write!(f, "{count}")?,
            Hosts::Zone(zone) => f.write_str(zone)?,
        }
        let seconds = |millis: u64| millis as f64 / 1_000.0;
        write!(f, "@{}s", seconds(self.after))?;
        match self.lasts {
            Some(lasts) => write!(f, "/{}s", seconds(lasts)),
            None => Ok(()),
        }
    }
}

impl Fault {
    /// What is wrong with it for so many hosts in so many zones: hosts that are not there break nothing.
    pub(crate) fn check(&self, count: u32, zones: u32) -> Result<(), String> {
        let zones = zones.min(count);
        match &self.hosts {
            Hosts::First(wanted) if *wanted > count => {
                Err(format!("`{self}`: there are {count} hosts only"))
            }
            Hosts::Zone(zone) if !(1..=zones).any(|number| **zone == *format!("zone-{number}")) => {
                let all = match zones {
                    1 => "zone-1 only".to_owned(),
                    last => format!("zone-1 to zone-{last}"),
                };
                Err(format!("`{self}`: there is no {zone}; there is {all}"))
            }
            _ => Ok(()),
        }
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let error = |why: String| FaultError(format!("`{text}`: {why}"));
        let wanted = || error("a fault is like silent=10@30s or zone=zone-2@30s/20s".to_owned());
        let (kind, rest) = text.split_once('=').ok_or_else(wanted)?;
        let (hosts, times) = rest.rsplit_once('@').ok_or_else(wanted)?;
        let (after, lasts) = match times.split_once('/') {
            Some((after, lasts)) => (after, Some(millis(lasts).map_err(error)?)),
            None => (times, None),
        };
        let count = || match hosts.parse() {
            Ok(count) if count > 0 => Ok(Hosts::First(count)),
            _ => Err(error(format!("`{hosts}` is no number of hosts"))),
        };
        let (kind, hosts) = match kind {
            "silent" => (FaultKind::Silent, count()?),
            "down" => (FaultKind::Down, count()?),
            "restart" => (FaultKind::Restart, count()?),
            "flap" => (FaultKind::Flap, count()?),
            "zone" if !hosts.is_empty() => (FaultKind::Silent, Hosts::Zone(hosts.into())),
            "zone" => return Err(wanted()),
            other => {
                return Err(error(format!(
                    "`{other}` is none of silent, zone, down, restart, flap"
                )));
            }
        };
        if kind == FaultKind::Flap && lasts.is_none_or(|lasts| lasts == 0) {
            return Err(error(
                "a flapping host needs a time, as in flap=5@30s/10s".to_owned(),
            ));
        }
        Ok(Self {
            kind,
            hosts,
            after: millis(after).map_err(error)?,
            lasts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Fault {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_not_there_cannot_break() {
        let check = |text: &str| fault(text).check(10, 3);
        for good in ["zone=zone-3@1s", "down=10@1s", "flap=1@1s/2s"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            (
                "zone=zone-4@1s",
                "`zone=zone-4@1s`: there is no zone-4; there is zone-1 to zone-3",
            ),
            (
                "zone=here@1s",
                "`zone=here@1s`: there is no here; there is zone-1 to zone-3",
            ),
            ("down=11@500ms", "`down=11@0.5s`: there are 10 hosts only"),
        ] {
            assert_eq!(check(bad), Err(why.to_owned()));
        }
    }

    #[test]
    fn plans_are_read() {
        let fault: Fault = "silent=10@30s".parse().unwrap();
        assert_eq!(
            fault,
            Fault {
                kind: FaultKind::Silent,
                hosts: Hosts::First(10),
                after: 30_000,
                lasts: None
            }
        );
        let fault: Fault = "zone=zone-2@1m/20s".parse().unwrap();
        assert_eq!(
            (fault.hosts, fault.lasts),
            (Hosts::Zone("zone-2".into()), Some(20_000))
        );
        assert_eq!(
            self::fault("zone=zone-2@1m/20s").to_string(),
            "zone=zone-2@60s/20s"
        );
        let bad = [
            "",
            "silent",
            "silent=@1s",
            "silent=0@1s",
            "silent=x@1s",
            "silent=1",
            "flap=1@1s",
            "melt=1@1s",
            "zone=@1s",
            "silent=1@soon",
        ];
        for text in bad {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }
}
