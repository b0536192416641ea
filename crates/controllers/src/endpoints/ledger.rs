//! What is known of each service's objects, so that what is written here is not taken for news when the watch
//! tells of it, and how long changes of a service are gathered.

use std::{collections::HashMap, time::Duration};

/// The least time for which changes are gathered.
const LEAST: Duration = Duration::from_millis(100);
/// The most.
const MOST: Duration = Duration::from_secs(1);
/// How many pods make a service's changes wait longest.
const MANY: usize = 5000;
/// The part of the time that may be spent on one service: a twentieth.
const SHARE: u32 = 20;

/// An object of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Object {
    /// A slice of this name.
    Slice(String),
    /// Its `Endpoints`.
    Endpoints,
}

/// The versions of a service's objects.
pub(super) type Versions = HashMap<Object, u64>;

/// A look at a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// Whether the service was seen to go since the last.
    pub(super) gone: bool,
}

/// What is known of one service.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Whether there is a reason to look at it anew.
    requested: bool,
    /// Whether the service was seen to go.
    gone: bool,
    /// The versions of its objects as they were read or written last.
    known: Versions,
    /// What the watch told since then: a version, or that the object is gone.
    told: HashMap<Object, Option<u64>>,
    /// How long it took last time.
    cost: Duration,
}

impl Ledger {
    /// There is a reason to look at the service.
    pub(super) fn request(&mut self) {
        self.requested = true;
    }

    /// The service went, or came.
    pub(super) fn set_gone(&mut self, gone: bool) {
        self.gone = gone;
        self.requested = true;
    }

    /// The watch told of a version of an object, or that the object is gone. Whether it may be news; what was
    /// written at the same moment may be known a little later only.
    pub(super) fn tell(&mut self, object: Object, version: Option<u64>) -> bool {
        let is_news = self.is_news(&object, version);
        if is_news {
            self.told.insert(object, version);
        }
        is_news
    }

    /// The objects that are known, but not among these.
    pub(super) fn missing(&self, there: impl Fn(&Object) -> bool) -> Vec<Object> {
        let known = self.known.keys();
        known.filter(|object| !there(object)).cloned().collect()
    }

    /// Begins to look at the service, if there is a reason.
    pub(super) fn begin(&mut self) -> Option<Look> {
        let told = std::mem::take(&mut self.told);
        let mut told = told.iter();
        let news = told.any(|(object, version)| self.is_news(object, *version));
        let requested = std::mem::take(&mut self.requested);
        let gone = std::mem::take(&mut self.gone);
        (requested || news).then_some(Look { gone })
    }

    /// It could not be looked at, and has to be again.
    pub(super) fn failed(&mut self, look: Look) {
        self.requested = true;
        self.gone |= look.gone;
    }

    /// It was looked at, which took so long; these are its objects now.
    pub(super) fn done(&mut self, versions: Versions, cost: Duration) {
        self.known = versions;
        self.cost = cost;
    }

    /// Whether there is nothing to remember.
    pub(super) fn is_empty(&self) -> bool {
        !self.requested && self.known.is_empty() && self.told.is_empty()
    }

    /// How long changes of a service with so many pods are gathered.
    pub(super) fn settle(&self, pods: usize) -> Duration {
        settle(pods, self.cost)
    }

    fn is_news(&self, object: &Object, version: Option<u64>) -> bool {
        let known = self.known.get(object);
        match version {
            Some(version) => known.is_none_or(|known| version > *known),
            None => known.is_some(),
        }
    }
}

/// How long changes are gathered: longer for many pods, as each change costs more, and long enough that what it
/// cost last time is a small part of it.
fn settle(pods: usize, cost: Duration) -> Duration {
    let pods = u32::try_from(pods.min(MANY)).unwrap_or(u32::MAX);
    let many = u32::try_from(MANY).unwrap_or(u32::MAX);
    let by_size = LEAST + (MOST - LEAST) * pods / many;
    by_size.max(cost.saturating_mul(SHARE)).min(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Option<Look> = Some(Look { gone: false });

    fn slice(name: &str) -> Object {
        Object::Slice(name.to_owned())
    }

    fn ledger(known: &[(&str, u64)]) -> Ledger {
        let mut ledger = Ledger::default();
        let known = known.iter().map(|(name, version)| (slice(name), *version));
        ledger.done(known.collect(), Duration::ZERO);
        ledger
    }

    #[test]
    fn what_was_written_here_is_no_news() {
        let mut ledger = ledger(&[("a", 7)]);
        assert!(!ledger.tell(slice("a"), Some(7)));
        assert_eq!(ledger.begin(), None);
        // The watch may be quicker than the answer to the write.
        assert!(ledger.tell(slice("b"), Some(9)) && ledger.tell(slice("a"), None));
        ledger.done([(slice("b"), 9)].into(), Duration::ZERO);
        assert_eq!(ledger.begin(), None);
    }

    #[test]
    fn what_somebody_else_did_is_news() {
        let mut ledger = ledger(&[("a", 7), ("b", 8)]);
        assert!(ledger.tell(slice("a"), Some(9)));
        assert_eq!((ledger.begin(), ledger.begin()), (LOOK, None));
        assert!(ledger.tell(slice("b"), None));
        assert_eq!(ledger.begin(), LOOK);
        assert!(ledger.tell(slice("c"), Some(10)));
        assert_eq!(ledger.begin(), LOOK);
        assert!(ledger.tell(Object::Endpoints, Some(11)));
        assert_eq!(ledger.begin(), LOOK);
        ledger.request();
        assert_eq!((ledger.begin(), ledger.begin()), (LOOK, None));
        assert_eq!(ledger.missing(|object| *object == slice("a")), [slice("b")]);
    }

    #[test]
    fn that_a_service_went_is_known_until_that_was_looked_after() {
        let mut ledger = Ledger::default();
        ledger.set_gone(true);
        let look = ledger.begin().unwrap();
        assert!(look.gone);
        ledger.failed(look);
        assert_eq!(ledger.begin(), Some(look));
        ledger.done(Versions::new(), Duration::ZERO);
        ledger.request();
        assert_eq!(ledger.begin(), LOOK);
    }

    #[test]
    fn changes_are_gathered_longer_the_more_they_cost() {
        assert_eq!(settle(0, Duration::ZERO), LEAST);
        assert_eq!(settle(1000, Duration::ZERO), Duration::from_millis(280));
        assert_eq!(
            settle(10, Duration::from_millis(20)),
            Duration::from_millis(400)
        );
        assert_eq!(settle(10_000, Duration::ZERO), MOST);
        assert_eq!(settle(10, Duration::from_secs(60)), MOST);
    }
}
