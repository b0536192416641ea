use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proptest::prelude::*;

use crate::nodes::{
    NodeSettings,
    hearing::{Eviction, Hearing, Moment, Said, Sight, Standing},
};

const GRACE: Duration = Duration::from_secs(4);
const RENEW: Duration = Duration::from_secs(1);
const DELAY: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(100);

const SETTINGS: NodeSettings = NodeSettings {
    grace_period: GRACE,
    zone_eviction_delay: DELAY,
    zone_eviction_interval: INTERVAL,
};

fn said(zone: &str, ready: &str) -> Said {
    Said {
        zone: ("".into(), zone.into()),
        ready: Some(ready.into()),
        heartbeat: None,
    }
}

fn seconds(seconds: u64) -> Moment {
    Duration::from_secs(seconds)
}

/// Hosts that renew their leases while they are connected, and a time that goes on.
struct World {
    hearing: Hearing,
    /// Name, zone, and when in each interval it renews.
    hosts: Vec<(Arc<str>, String, Duration)>,
    now: Moment,
    next: Option<Moment>,
}

impl World {
    fn new(zones: &[usize]) -> Self {
        let mut world = Self {
            hearing: Hearing::new(SETTINGS),
            hosts: Vec::new(),
            now: Moment::ZERO,
            next: Some(Moment::ZERO),
        };
        for (zone, count) in zones.iter().enumerate() {
            for index in 0..*count {
                let name: Arc<str> = format!("z{zone}-{index}").into();
                let phase = STEP * u32::try_from((index * 3 + zone) % 10).unwrap();
                let zone = zone.to_string();
                world.hearing.node(&name, said(&zone, "True"), world.now);
                world.hosts.push((name, zone, phase));
            }
        }
        world
    }

    /// Lets time pass, with those connected who are.
    fn pass(
        &mut self,
        time: Duration,
        connected: impl Fn(&str) -> bool,
        mut check: impl FnMut(&Self),
    ) {
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            let mut changed = false;
            for (name, _, phase) in &self.hosts {
                let since = self.now.saturating_sub(*phase);
                if since.as_millis().is_multiple_of(RENEW.as_millis()) && connected(name) {
                    let renewed = format!("{:?}", self.now);
                    changed |= self.hearing.lease(name, &renewed, Sight::Written, self.now);
                }
            }
            if changed || self.next.is_some_and(|next| next <= self.now) {
                self.next = self.hearing.assess(self.now).next;
            }
            check(self);
        }
    }

    fn standing(&self, name: &str) -> Standing {
        self.hearing.standing(name).unwrap()
    }

    /// How many hosts of a zone may be evicted.
    fn evicted(&self, zone: &str) -> usize {
        let of_zone = self.hosts.iter().filter(|(_, of, _)| of == zone);
        let standings = of_zone.map(|(name, _, _)| self.standing(name));
        standings
            .filter(|standing| {
                matches!(
                    standing,
                    Standing::Silent(Eviction::Go) | Standing::NotReady(Eviction::Go)
                )
            })
            .count()
    }

    fn silent(&self) -> usize {
        let all = self.hosts.iter().map(|(name, _, _)| self.standing(name));
        all.filter(|standing| matches!(standing, Standing::Silent(_)))
            .count()
    }
}

#[test]
fn a_host_that_dies_is_evicted_when_the_grace_period_is_over_and_not_before() {
    let mut world = World::new(&[10]);
    world.pass(seconds(10), |_| true, |_| {});
    // The last word of this one is a second old at most.
    let is_up = |name: &str| name != "z0-3";
    world.pass(GRACE - RENEW, is_up, |world| {
        assert_eq!(world.standing("z0-3"), Standing::Heard)
    });
    world.pass(RENEW, is_up, |_| {});
    assert_eq!(world.standing("z0-3"), Standing::Silent(Eviction::Go));
    assert_eq!(world.silent(), 1);
    world.pass(RENEW, |_| true, |_| {});
    assert_eq!(world.standing("z0-3"), Standing::Heard);
}

#[test]
fn hundreds_of_hosts_of_a_zone_that_is_well_are_evicted_within_seconds() {
    let mut world = World::new(&[1000]);
    world.pass(seconds(3), |_| true, |_| {});
    let is_up = |name: &str| !name.ends_with('7') && !name.ends_with('8') && !name.ends_with('9');
    world.pass(GRACE + STEP, is_up, |_| {});
    assert_eq!(world.silent(), 300);
    let at_once = world.evicted("0");
    assert!((100..300).contains(&at_once), "{at_once}");
    world.pass(seconds(3), is_up, |_| {});
    assert_eq!(world.evicted("0"), 300);
}

#[test]
fn nobody_is_evicted_while_nobody_is_heard() {
    let mut world = World::new(&[3, 1]);
    world.pass(seconds(5), |_| true, |_| {});
    world.pass(
        DELAY * 3,
        |_| false,
        |world| {
            assert_eq!(world.evicted("0") + world.evicted("1"), 0);
        },
    );
    assert_eq!(world.silent(), 4);
    assert_eq!(world.standing("z1-0"), Standing::Silent(Eviction::Stop));
    world.pass(RENEW, |_| true, |_| {});
    assert_eq!(world.silent(), 0);
}

#[test]
fn what_was_begun_is_undone_when_nobody_is_heard_any_more() {
    let mut world = World::new(&[4]);
    world.pass(GRACE + RENEW, |name| name != "z0-0", |_| {});
    assert_eq!(world.standing("z0-0"), Standing::Silent(Eviction::Go));
    world.pass(GRACE + RENEW, |_| false, |_| {});
    assert_eq!(world.standing("z0-0"), Standing::Silent(Eviction::Stop));
}

#[test]
fn a_gap_in_what_this_process_hears_is_no_silence_of_hosts() {
    let mut world = World::new(&[5]);
    world.pass(seconds(3), |_| true, |_| {});
    // Nobody looks for a while, as when the process does not run. Then one host is heard before the others.
    world.now += GRACE * 2;
    let first = world.hosts[0].0.clone();
    world
        .hearing
        .lease(&first, "again", Sight::Written, world.now);
    world.pass(RENEW, |_| true, |world| assert_eq!(world.silent(), 0));
}

#[test]
fn a_process_that_begins_to_listen_begins_to_count() {
    let mut hearing = Hearing::new(SETTINGS);
    let (well, lost): (Arc<str>, Arc<str>) = ("well".into(), "lost".into());
    // Leases are listed that may be of any age.
    hearing.lease(&well, "1", Sight::Listed, seconds(1));
    hearing.node(&well, said("z", "True"), seconds(1));
    hearing.node(&lost, said("z", "Unknown"), seconds(1));
    hearing.assess(seconds(1));
    assert_eq!(hearing.standing("well"), Some(Standing::Heard));
    assert_eq!(hearing.standing("lost"), Some(Standing::Unclear));
    hearing.lease(&well, "2", Sight::Written, STEP * 19);
    hearing.lease(&well, "3", Sight::Written, STEP * 38);
    let later = hearing.assess(STEP * 38);
    assert!(later.changed.is_empty(), "{later:?}");
    assert_eq!(later.next, Some(seconds(1) + GRACE));
    hearing.assess(seconds(5));
    assert_eq!(
        hearing.standing("lost"),
        Some(Standing::Silent(Eviction::Go))
    );
}

#[test]
fn what_this_process_writes_is_no_word_of_the_host() {
    let mut hearing = Hearing::new(SETTINGS);
    let name: Arc<str> = "n".into();
    let other: Arc<str> = "other".into();
    hearing.node(&other, said("z", "True"), seconds(0));
    hearing.node(&name, said("z", "True"), seconds(0));
    hearing.lease(&other, "1", Sight::Written, STEP * 19);
    hearing.lease(&other, "2", Sight::Written, STEP * 38);
    assert_eq!(hearing.due(seconds(4)), std::slice::from_ref(&name));
    hearing.assess(seconds(4));
    hearing.node(&name, said("z", "Unknown"), seconds(4));
    assert_eq!(hearing.standing("n"), Some(Standing::Silent(Eviction::Go)));
    // The host posts the same as before: that it is ready.
    assert!(hearing.node(&name, said("z", "True"), seconds(5)));
    assert_eq!(hearing.standing("n"), Some(Standing::Heard));
    hearing.lease(&name, "1", Sight::Written, seconds(5));
    hearing.forget("n");
    assert_eq!(hearing.standing("n"), None);
    // One that is registered anew has the whole grace period, whatever its lease says.
    hearing.node(&name, said("z", "True"), seconds(60));
    hearing.assess(seconds(60));
    assert_eq!(hearing.standing("n"), Some(Standing::Heard));
}

#[test]
fn a_host_that_says_that_it_is_not_ready_is_evicted_but_not_silent() {
    let mut world = World::new(&[4]);
    world
        .hearing
        .node(&"z0-1".into(), said("0", "False"), world.now);
    world.pass(seconds(1), |_| true, |_| {});
    assert_eq!(world.standing("z0-1"), Standing::NotReady(Eviction::Go));
    world
        .hearing
        .node(&"z0-1".into(), said("0", "True"), world.now);
    assert_eq!(world.standing("z0-1"), Standing::Heard);
}

#[test]
fn hosts_that_do_not_come_back_with_their_zone_are_evicted_in_the_end() {
    let mut world = World::new(&[6, 6]);
    world.pass(seconds(3), |_| true, |_| {});
    world.pass(seconds(10), |name| !name.starts_with("z1-"), |_| {});
    assert_eq!(world.silent(), 6);
    let is_up = |name: &str| name != "z1-2";
    world.pass(GRACE, is_up, |world| assert_eq!(world.evicted("1"), 0));
    assert_eq!(world.silent(), 1);
    world.pass(RENEW + STEP, is_up, |_| {});
    assert_eq!(world.standing("z1-2"), Standing::Silent(Eviction::Go));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Hosts speak when they like, and time passes: who spoke within the grace period is not silent, who did not
    /// is, unless nobody did.
    #[test]
    fn who_is_heard_is_not_evicted(
        steps in prop::collection::vec((100..2500_u64, prop::collection::vec(any::<bool>(), 6)), 1..40),
    ) {
        let mut world = World::new(&[3, 3]);
        let mut last: BTreeMap<usize, Moment> = (0..6).map(|host| (host, Moment::ZERO)).collect();
        let mut last_word = Moment::ZERO;
        for (round, (time, speaks)) in steps.into_iter().enumerate() {
            world.now += Duration::from_millis(time);
            // Who is silent already is not given time anew.
            if speaks.contains(&true) {
                if world.now - last_word >= GRACE / 2 {
                    for (host, at) in &mut last {
                        let name = &world.hosts[*host].0;
                        if !matches!(world.standing(name), Standing::Silent(_)) {
                            *at = world.now;
                        }
                    }
                }
                last_word = world.now;
            }
            for (host, _) in speaks.iter().enumerate().filter(|(_, speaks)| **speaks) {
                last.insert(host, world.now);
                let name = world.hosts[host].0.clone();
                world.hearing.lease(&name, &round.to_string(), Sight::Written, world.now);
            }
            let assessment = world.hearing.assess(world.now);
            for (host, at) in &last {
                let silent = matches!(world.standing(&world.hosts[*host].0), Standing::Silent(_));
                prop_assert_eq!(silent, world.now - *at >= GRACE, "host {} at {:?}", host, world.now);
            }
            if let Some(next) = assessment.next {
                prop_assert!(next > world.now, "it would look again for ever");
            }
        }
    }

    /// A zone that is cut off is not evicted early, and slowly later; who dies in another zone meanwhile
    /// is evicted at once; and when the zone is back, nothing is left.
    #[test]
    fn a_zone_that_is_cut_off_is_left_alone(
        zones in (3..9_usize, 3..9_usize, 3..9_usize), begin in 40..80_u32, time in 1..600_u32, dead in any::<bool>(),
    ) {
        let mut world = World::new(&[zones.0, zones.1, zones.2]);
        world.pass(STEP * begin, |_| true, |_| {});
        let cut = world.now;
        let is_up = |name: &str| !(name.starts_with("z1-") || dead && name == "z2-0");
        world.pass(STEP * time, is_up, |world| {
            let allowed = match world.now.checked_sub(cut + DELAY) {
                None => 0,
                Some(more) => 1 + more.as_millis() / INTERVAL.as_millis(),
            };
            let evicted = world.evicted("1");
            assert!(evicted as u128 <= allowed, "{evicted} of {allowed} after {:?}", world.now - cut);
            assert_eq!(world.evicted("0"), 0);
        });
        let passed = STEP * time;
        if passed >= GRACE + STEP {
            prop_assert_eq!(world.silent(), zones.1 + usize::from(dead));
            prop_assert_eq!(world.evicted("2"), usize::from(dead));
        }
        if passed >= GRACE + DELAY + INTERVAL + RENEW {
            prop_assert!(world.evicted("1") > 0, "in the end it is given up");
        }
        // Its hosts come back one after the other; the last of them are not taken to be dead: meanwhile it
        // goes on as slowly as before.
        let evicted = world.evicted("1");
        world.pass(RENEW + STEP, |_| true, |world| assert!(world.evicted("1") <= evicted + 1));
        prop_assert_eq!(world.silent(), 0);
    }
}
