//! Metering and threads that are broken on purpose, so that tests can show what
//! depends on them. In release builds there is nothing of this.

#[cfg(debug_assertions)]
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

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

#[cfg(debug_assertions)]
static BROKEN_THREAD: Mutex<Option<&str>> = Mutex::new(None);

/// From now on threads of this process with this name panic; `None`: none.
#[cfg(debug_assertions)]
#[doc(hidden)]
pub fn break_thread(name: Option<&'static str>) {
    *BROKEN_THREAD.lock().unwrap_or_else(PoisonError::into_inner) = name;
}

/// A thread begins, or begins another round.
pub(crate) fn thread_begins() {
    #[cfg(debug_assertions)]
    {
        let broken = *BROKEN_THREAD.lock().unwrap_or_else(PoisonError::into_inner);
        if broken.is_some() && std::thread::current().name() == broken {
            panic!("the thread is broken on purpose");
        }
    }
}

#[cfg(test)]
thread_local! {
    static BROKEN_HERE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// From now on all that a meter is shown on this thread makes it panic.
#[cfg(test)]
pub(crate) fn break_metering_of_this_thread() {
    BROKEN_HERE.set(true);
}

/// A meter is shown something.
pub(crate) fn meter_looks() {
    #[cfg(test)]
    assert!(!BROKEN_HERE.get(), "metering is broken on purpose");
    #[cfg(debug_assertions)]
    {
        let every = EVERY.load(Ordering::Relaxed);
        if every > 0 && LOOKS.fetch_add(1, Ordering::Relaxed).is_multiple_of(every) {
            panic!("metering is broken on purpose");
        }
    }
}
