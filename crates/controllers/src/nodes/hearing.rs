//! Which hosts are heard, which are silent, and which of the silent ones may lose their pods: pure, with the time as
//! an argument.
//!
//! ```text
//!   lease renewed, status posted ──▶ word(host) ──▶ heard at …
//!                                                      │
//!     now ──▶ due ──(somebody asks the API again)──▶ assess ──▶ whose standing changed, when to look again
//! ```
//!
//! All times are this process's own, from when it saw something change. What a host's clock says is compared with
//! what it said before, and with nothing else.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use super::{NodeSettings, zones::Zone};

/// How many hosts in zones that are well may lose their pods at once, and in each second.
const HOSTS_PER_SECOND: u32 = 100;
/// How often the standing of hosts is looked at while some wait for leave to be evicted.
const WAITING: Duration = Duration::from_millis(500);

/// The time since this process began to listen.
pub(super) type Moment = Duration;

/// Whether a host that is silent or not ready may lose its pods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Eviction {
    /// Not now; what was begun goes on.
    #[default]
    Wait,
    /// Yes.
    Go,
    /// No, and what was begun is to be undone: nobody is heard at all.
    Stop,
}

/// What holds for a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Another process held it to be silent, and this one has not listened long enough to say: it stays as
    /// it is.
    Unclear,
    /// It is heard, and ready as far as it says.
    Heard,
    /// It is heard, and says that it is not ready.
    NotReady(Eviction),
    /// It is not heard.
    Silent(Eviction),
}

/// What a host's object says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// Region and zone.
    pub(super) zone: (Box<str>, Box<str>),
    /// The status of its condition `Ready`.
    pub(super) ready: Option<Box<str>>,
    /// When it last posted that condition, in its own words.
    pub(super) heartbeat: Option<Box<str>>,
}

const UNKNOWN: &str = "Unknown";

/// How a lease came to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// It was there when all were read.
    Listed,
    /// It was written.
    Written,
}

#[derive(Debug, Default)]
struct Host {
    /// What its object says; none without an object.
    said: Option<Said>,
    /// When its lease was renewed, in its own words.
    renewed: Option<Box<str>>,
    /// When it was last heard, or first seen.
    heard: Moment,
    /// Whether a word of it was heard by this process, or its object said that it was well.
    known: bool,
    silent: bool,
    eviction: Eviction,
}

impl Host {
    fn is_unready(&self) -> bool {
        let ready = self.said.as_ref().and_then(|said| said.ready.as_deref());
        ready.is_some_and(|ready| ready != "True" && ready != UNKNOWN)
    }

    fn is_failing(&self) -> bool {
        self.silent || self.is_unready()
    }

    fn standing(&self) -> Standing {
        if self.silent {
            Standing::Silent(self.eviction)
        } else if self.is_unready() {
            Standing::NotReady(self.eviction)
        } else if self.known {
            Standing::Heard
        } else {
            Standing::Unclear
        }
    }
}

/// What came of an assessment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Assessment {
    /// The hosts whose standing changed.
    pub(super) changed: BTreeSet<Arc<str>>,
    /// When to look again, at the latest; never if there is nobody to listen to.
    pub(super) next: Option<Moment>,
}

/// All hosts, and when they were heard.
#[derive(Debug)]
pub(super) struct Hearing {
    settings: NodeSettings,
    hosts: HashMap<Arc<str>, Host>,
    zones: HashMap<(Box<str>, Box<str>), Zone>,
    /// When any host was last heard.
    last_word: Moment,
    /// How many hosts in zones that are well may be evicted now, and since when that is so.
    leave: (u32, Moment),
}

impl Hearing {
    pub(super) fn new(settings: NodeSettings) -> Self {
        Self {
            settings,
            hosts: HashMap::new(),
            zones: HashMap::new(),
            last_word: Moment::ZERO,
            leave: (HOSTS_PER_SECOND, Moment::ZERO),
        }
    }

    /// What holds for a host; nothing without an object of it.
    pub(super) fn standing(&self, name: &str) -> Option<Standing> {
        let host = self.hosts.get(name)?;
        host.said.is_some().then(|| host.standing())
    }

    /// Takes in what a host's object says. True if its standing changed, or the next assessment may have more
    /// to say than it was to.
    pub(super) fn node(&mut self, name: &Arc<str>, said: Said, now: Moment) -> bool {
        let host = self.host(name, now);
        let before = host.standing();
        let unknown = said.ready.as_deref() == Some(UNKNOWN);
        let Some(old) = host.said.replace(said.clone()) else {
            // What nobody has called silent yet is taken to be well, until it is silent for long enough from now on.
            host.known |= !unknown;
            host.heard = host.heard.max(now);
            return true;
        };
        // What this process writes itself says `Unknown`, and keeps the time of the host's last word.
        if old.heartbeat != said.heartbeat || (old.ready != said.ready && !unknown) {
            self.word(name, now);
        }
        let host = self.host(name, now);
        old.zone != said.zone || before != host.standing() || old.ready != said.ready
    }

    /// Takes in what a host's lease says. True if its standing changed.
    pub(super) fn lease(
        &mut self,
        name: &Arc<str>,
        renewed: &str,
        sight: Sight,
        now: Moment,
    ) -> bool {
        let host = self.host(name, now);
        let before = host.standing();
        let old = host.renewed.replace(renewed.into());
        match old {
            Some(old) if *old == *renewed => return false,
            // Nobody knows how old it is.
            None if sight == Sight::Listed => return false,
            _ => self.word(name, now),
        }
        before != self.host(name, now).standing()
    }

    /// Forgets what a host's object said: it is gone.
    pub(super) fn forget(&mut self, name: &str) {
        if let Some(host) = self.hosts.get_mut(name) {
            *host = Host {
                renewed: host.renewed.take(),
                heard: host.heard,
                ..Host::default()
            };
            if host.renewed.is_none() {
                self.hosts.remove(name);
            }
        }
    }

    /// Forgets a host's lease: it is gone.
    pub(super) fn forget_lease(&mut self, name: &str) {
        if let Some(host) = self.hosts.get_mut(name) {
            host.renewed = None;
            if host.said.is_none() {
                self.hosts.remove(name);
            }
        }
    }

    fn host(&mut self, name: &Arc<str>, now: Moment) -> &mut Host {
        self.hosts.entry(name.clone()).or_insert_with(|| Host {
            heard: now,
            ..Host::default()
        })
    }

    /// A host is heard.
    fn word(&mut self, name: &Arc<str>, now: Moment) {
        // Nobody was heard for a while: it was this process that could not listen, or the API that could not be
        // reached. Each host gets the whole grace period to be heard again.
        if now.saturating_sub(self.last_word) >= self.overdue() {
            for host in self.hosts.values_mut().filter(|host| !host.silent) {
                host.heard = host.heard.max(now);
            }
            for zone in self.zones.values_mut() {
                zone.begin_anew(now);
            }
        }
        self.last_word = self.last_word.max(now);
        let host = self.host(name, now);
        host.heard = host.heard.max(now);
        host.known = true;
        host.silent = false;
        if !host.is_unready() {
            host.eviction = Eviction::Wait;
        }
    }

    /// A host that was not heard for this long is likely to have gone silent. Hosts that go silent together
    /// were last heard within one interval of renewal, and a host that is well is heard within one: so half
    /// of the grace period tells the two apart before the first host is silent, if hosts renew at least twice
    /// within it.
    fn overdue(&self) -> Duration {
        self.settings.grace_period / 2
    }

    /// The hosts that are about to be held to be silent. As it may be that a word of theirs was missed, the API
    /// is asked for their leases, and the answers come in by [`Self::lease`], before [`Self::assess`].
    pub(super) fn due(&self, now: Moment) -> Vec<Arc<str>> {
        let due = |host: &Host| host.said.is_some() && !host.silent && self.is_silent_at(host, now);
        let due = self.hosts.iter().filter(|(_, host)| due(host));
        due.map(|(name, _)| name.clone()).collect()
    }

    fn is_silent_at(&self, host: &Host, now: Moment) -> bool {
        now.saturating_sub(host.heard) >= self.settings.grace_period
    }

    /// Holds those hosts to be silent that are not heard for too long, and says who may be evicted.
    pub(super) fn assess(&mut self, now: Moment) -> Assessment {
        let before: HashMap<Arc<str>, Standing> = self
            .hosts
            .iter()
            .filter(|(_, host)| host.said.is_some())
            .map(|(name, host)| (name.clone(), host.standing()))
            .collect();
        let (grace, overdue) = (self.settings.grace_period, self.overdue());
        let mut anybody = false;
        for zone in self.zones.values_mut() {
            zone.forget_counts();
        }
        for host in self.hosts.values_mut() {
            let Some(said) = &host.said else { continue };
            let unheard = now.saturating_sub(host.heard);
            host.silent |= unheard >= grace;
            let failing = unheard >= overdue || host.is_failing();
            anybody |= !failing;
            self.zones
                .entry(said.zone.clone())
                .or_default()
                .count(failing);
        }
        self.zones.retain(|_, zone| !zone.is_empty());
        for zone in self.zones.values_mut() {
            zone.judge(now, &self.settings);
        }
        let waiting = self.give_leave(now, anybody);
        let changed = self.hosts.iter().filter(|(name, host)| {
            host.said.is_some() && before.get(*name) != Some(&host.standing())
        });
        let changed = changed.map(|(name, _)| name.clone()).collect();
        let listened_to = self
            .hosts
            .values()
            .filter(|host| host.said.is_some() && !host.silent);
        let next = listened_to
            .map(|host| host.heard.saturating_add(grace))
            .min();
        let soon = waiting.then_some(now + WAITING.min(overdue));
        Assessment {
            changed,
            next: next.into_iter().chain(soon).min(),
        }
    }

    /// Says who may be evicted, those first that are silent for longest. True if somebody has to wait.
    fn give_leave(&mut self, now: Moment, anybody: bool) -> bool {
        let since = now.saturating_sub(self.leave.1);
        let more = since.as_millis() * u128::from(HOSTS_PER_SECOND) / 1000;
        if more > 0 {
            let more = u32::try_from(more).unwrap_or(u32::MAX);
            self.leave = (self.leave.0.saturating_add(more).min(HOSTS_PER_SECOND), now);
        }
        let mut failing: Vec<_> = self
            .hosts
            .iter_mut()
            .filter(|(_, host)| host.said.is_some())
            .filter_map(|(name, host)| {
                if host.is_failing() {
                    return Some((host.heard, name, host));
                }
                host.eviction = Eviction::Wait;
                None
            })
            .collect();
        failing.sort_by(|(a, of_a, _), (b, of_b, _)| (a, of_a).cmp(&(b, of_b)));
        let mut waiting = false;
        for (_, _, host) in failing {
            if !anybody {
                host.eviction = Eviction::Stop;
                continue;
            }
            if host.eviction == Eviction::Go {
                continue;
            }
            let zone = host
                .said
                .as_ref()
                .and_then(|said| self.zones.get_mut(&said.zone));
            let leave = match zone.and_then(|zone| zone.leave(now, &self.settings)) {
                Some(leave) => leave,
                None if self.leave.0 > 0 => {
                    self.leave.0 -= 1;
                    true
                }
                None => false,
            };
            host.eviction = if leave { Eviction::Go } else { Eviction::Wait };
            waiting |= !leave;
        }
        waiting
    }
}
