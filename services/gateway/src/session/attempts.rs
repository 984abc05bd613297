//! Failed attempts to sign in, by address: after a few of them each one more doubles
//! the wait. Tokens cannot be guessed; this keeps attempts from costing anything.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Failures without a wait.
const FREE: u32 = 5;
/// First and longest wait.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// After this time without a failure an address begins anew.
const FORGOTTEN: Duration = Duration::from_secs(900);
/// Addresses that are remembered; beyond it the one that waits least is forgotten.
const MOST_ADDRESSES: usize = 10_000;

/// What is remembered of each address.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<Option<IpAddr>, Failures>>);

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Failures {
    fn wait(&self) -> Duration {
        match self.count.checked_sub(FREE) {
            None => Duration::ZERO,
            Some(more) => {
                let wait = FIRST.saturating_mul(1 << more.min(16)).min(LONGEST);
                wait.saturating_sub(self.last.elapsed())
            }
        }
    }
}

/// Networks of IPv6 are given out by /64.
fn key(address: Option<IpAddr>) -> Option<IpAddr> {
    address.map(|address| match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
        address @ IpAddr::V4(_) => address,
    })
}

impl Attempts {
    /// How long this address still has to wait.
    pub(super) fn wait(&self, address: Option<IpAddr>) -> Option<Duration> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = all.get(&key(address))?.wait();
        (!wait.is_zero()).then_some(wait)
    }

    /// Notes a failure.
    pub(super) fn failed(&self, address: Option<IpAddr>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let address = key(address);
        if all.len() >= MOST_ADDRESSES && !all.contains_key(&address) {
            all.retain(|_, failures| failures.last.elapsed() < FORGOTTEN);
            let least = all.iter().min_by_key(|(_, failures)| failures.wait());
            if let (true, Some((least, _))) =
                (all.len() >= MOST_ADDRESSES, least.map(|(a, f)| (*a, *f)))
            {
                all.remove(&least);
            }
        }
        let now = Instant::now();
        let failures = all.entry(address).or_insert(Failures { count: 0, last: now });
        if failures.last.elapsed() >= FORGOTTEN {
            failures.count = 0;
        }
        *failures = Failures { count: failures.count.saturating_add(1), last: now };
    }

    /// Forgets the failures of an address.
    pub(super) fn succeeded(&self, address: Option<IpAddr>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn each_failure_beyond_a_few_doubles_the_wait_of_its_address_alone() {
        let attempts = Attempts::default();
        let one = address("10.0.0.1");
        for _ in 1..FREE {
            attempts.failed(one);
            assert_eq!(attempts.wait(one), None);
        }
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            attempts.failed(one);
            assert_eq!(attempts.wait(one), Some(Duration::from_secs(seconds)));
            tokio::time::advance(Duration::from_secs(seconds)).await;
            assert_eq!(attempts.wait(one), None);
        }
        assert_eq!(attempts.wait(address("10.0.0.2")), None);
        attempts.failed(one);
        attempts.succeeded(one);
        assert_eq!(attempts.wait(one), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_ipv6_network_is_one_address_and_memory_is_bounded() {
        let attempts = Attempts::default();
        for number in 0..10 {
            attempts.failed(address(&format!("2001:db8::{number}")));
        }
        assert!(attempts.wait(address("2001:db8::ffff")).is_some());
        assert!(attempts.wait(address("2001:db8:0:1::1")).is_none());
        for number in 0..10_100_u32 {
            attempts.failed(Some(IpAddr::V4(number.into())));
        }
        assert_eq!(attempts.0.lock().unwrap().len(), MOST_ADDRESSES);
        assert!(attempts.wait(address("2001:db8::1")).is_some());
    }
}
