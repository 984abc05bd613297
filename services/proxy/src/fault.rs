//! Metering that is broken on purpose, so that tests can show that forwarding
//! does not depend on it. In release builds there is nothing of this.

#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(debug_assertions)]
static EVERY: AtomicU64 = AtomicU64::new(0);
#[cfg(debug_assertions)]
static LOOKS: AtomicU64 = AtomicU64::new(0);

/// From now on each nth thing that any meter of this process is shown makes it
/// panic; 0: none.
#[cfg(debug_assertions)]
#[doc(hidden)]
pub fn break_metering_every(nth: u64) {
    EVERY.store(nth, Ordering::Relaxed);
}

/// A meter is shown something.
pub(crate) fn meter_looks() {
    #[cfg(debug_assertions)]
    {
        let every = EVERY.load(Ordering::Relaxed);
        if every > 0 && LOOKS.fetch_add(1, Ordering::Relaxed).is_multiple_of(every) {
            panic!("metering is broken on purpose");
        }
    }
}
