//! Which connections wait for a request, in the order in which they began to: where no
//! more may be open, the one that has waited longest makes room.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use tokio_util::sync::CancellationToken;

/// Connections above the share of a core while others that made room are closed: an
/// eighth of the share, and this many.
const CLOSING: usize = 8;

/// What a connection does, for those who look for room. All parties run on one core; the
/// atomics are for the compiler, and nothing here is a read-modify-write.
#[derive(Debug)]
pub(crate) struct Activity {
    /// When it began to wait, in the order of the core; 0: a request is being answered.
    waits_since: AtomicU64,
    evicted: AtomicBool,
    /// The connection is to end: it was evicted, or the proxy stops.
    pub(crate) closing: CancellationToken,
    order: Arc<AtomicU64>,
}

impl Activity {
    /// A connection that waits for its first request.
    fn new(order: &Arc<AtomicU64>, closing: CancellationToken) -> Self {
        let (waits_since, evicted) = (AtomicU64::new(0), AtomicBool::new(false));
        let new = Self { waits_since, evicted, closing, order: order.clone() };
        new.waits();
        new
    }

    /// For one request of a connection that carries many.
    pub(crate) fn of_request(&self) -> Arc<Self> {
        Arc::new(Self::new(&self.order, self.closing.clone()))
    }

    /// No request is being answered.
    pub(crate) fn waits(&self) {
        if self.waits_since.load(Relaxed) == 0 {
            let now = self.order.load(Relaxed) + 1;
            self.order.store(now, Relaxed);
            self.waits_since.store(now, Relaxed);
        }
    }

    /// The head of a request has come.
    pub(crate) fn begins(&self) {
        self.waits_since.store(0, Relaxed);
    }

    /// Waits until it has to make room for another one.
    pub(crate) async fn evicted(&self) {
        self.closing.cancelled().await;
        if !self.is_evicted() {
            // The proxy stops, which leaves it its time.
            std::future::pending::<()>().await;
        }
    }

    /// Whether it has to make room for another one.
    pub(crate) fn is_evicted(&self) -> bool {
        self.evicted.load(Relaxed)
    }

    fn evict(&self) {
        self.evicted.store(true, Relaxed);
        self.closing.cancel();
    }
}

/// The connections of a core that may make room.
#[derive(Debug, Default)]
pub(crate) struct Activities {
    all: RefCell<Vec<Arc<Activity>>>,
    order: Arc<AtomicU64>,
}

impl Activities {
    /// Adds one of so many open connections.
    pub(crate) fn add(&self, closing: CancellationToken, open: usize) -> Arc<Activity> {
        let mut all = self.all.borrow_mut();
        if all.len() > 2 * open + 64 {
            remove_ended(&mut all);
        }
        let new = Arc::new(Activity::new(&self.order, closing));
        all.push(new.clone());
        new
    }

    /// One that is not among those that make room.
    pub(crate) fn apart(&self, closing: CancellationToken) -> Arc<Activity> {
        Arc::new(Activity::new(&self.order, closing))
    }

    /// Whether there is room for one more beside so many open connections. The
    /// connection that has waited longest is closed for it if need be.
    pub(crate) fn make_room(&self, open: usize, most: usize) -> bool {
        if open < most {
            return true;
        }
        let mut all = self.all.borrow_mut();
        remove_ended(&mut all);
        let waiting = all
            .iter()
            .filter(|activity| activity.waits_since.load(Relaxed) > 0 && !activity.is_evicted());
        let Some(longest) = waiting.min_by_key(|activity| activity.waits_since.load(Relaxed))
        else {
            return false;
        };
        longest.evict();
        // Those that are being closed are still there for a moment.
        open < most.saturating_add(most / 8 + CLOSING)
    }
}

/// Forgets connections whose task has ended: nobody else holds their activity.
fn remove_ended(all: &mut Vec<Arc<Activity>>) {
    all.retain(|activity| Arc::strong_count(activity) > 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_has_waited_longest_makes_room_and_a_busy_one_never() {
        let activities = Activities::default();
        let [first, second, third] =
            [0, 1, 2].map(|open| activities.add(CancellationToken::new(), open));
        assert!(activities.make_room(2, 3));
        first.begins();
        first.waits();
        third.begins();
        assert!(activities.make_room(3, 3) && second.is_evicted());
        assert!(second.closing.is_cancelled() && !first.is_evicted());
        assert!(activities.make_room(4, 3) && first.is_evicted());
        assert!(!activities.make_room(5, 3) && !third.is_evicted());
    }

    #[test]
    fn connections_that_have_ended_are_forgotten() {
        let activities = Activities::default();
        let kept = activities.add(CancellationToken::new(), 0);
        for _ in 0..1_000 {
            activities.add(CancellationToken::new(), 1);
        }
        assert!(activities.all.borrow().len() < 100);
        assert!(activities.make_room(1, 1) && kept.is_evicted());
    }

    #[test]
    fn while_many_are_being_closed_no_more_come_in() {
        let activities = Activities::default();
        let _all: Vec<_> =
            (0..1_000).map(|open| activities.add(CancellationToken::new(), open)).collect();
        let come = (100..1_000).take_while(|open| activities.make_room(*open, 100)).count();
        assert_eq!(come, 100 / 8 + CLOSING);
    }
}
