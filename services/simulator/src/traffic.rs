//! A gentle stream of varied requests, as a small company would make them: apps
//! with their own models, keys, users and habits, over a day that passes in
//! minutes; with errors, and with clients that do not wait for the end.

mod apps;
mod client;
mod mishap;

use std::{f64::consts::PI, sync::Arc, time::Duration};

use modash_runtime::{Boxed, Shutdown};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{sync::Semaphore, task::JoinSet};
use url::Url;

use apps::Plan;
use client::Client;

/// Most requests at one time; further ones are left out.
const MOST_AT_ONCE: usize = 48;

/// Streams that always run, one after the other in each lane.
const LONG_LANES: usize = 2;

/// Requests that are sent at once at the start, so that there is something to
/// see.
const FIRST_REQUESTS: usize = 6;

/// Hour at which the simulated day begins.
const FIRST_HOUR: f64 = 9.0;

/// What traffic to make.
#[derive(Debug, Clone)]
pub struct TrafficConfig {
    /// Base URL that the requests go to; each app adds its own path.
    pub target: String,
    /// Requests per second in the busiest hour; a third of it at night.
    pub peak_requests_per_second: f64,
    /// How long a day of 24 hours lasts.
    pub day: Duration,
    /// Makes the same traffic again; `None` for another one each time.
    pub seed: Option<u64>,
}

impl TrafficConfig {
    /// The usual traffic to a base URL: up to 3 requests per second, a day in 24
    /// minutes.
    #[must_use]
    pub fn to(target: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            peak_requests_per_second: 3.0,
            day: Duration::from_secs(24 * 60),
            seed: None,
        }
    }
}

/// Traffic that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TrafficError {
    /// The target is not a base URL.
    #[error("the target must be a URL such as http://127.0.0.1:4005")]
    Target,
    /// The rate is not a positive number, or the day has no length.
    #[error("the rate and the length of a day must be more than 0")]
    Rate,
}

/// A generator of traffic.
#[derive(Debug)]
pub struct Traffic {
    config: TrafficConfig,
    client: Client,
}

impl Traffic {
    /// Checks the configuration; sends nothing.
    ///
    /// # Errors
    /// If the target is not an `http` URL, or the rate makes no sense.
    pub fn new(config: TrafficConfig) -> Result<Self, TrafficError> {
        let target = Url::parse(&config.target)
            .ok()
            .filter(|url| url.scheme() == "http" && url.has_host())
            .ok_or(TrafficError::Target)?;
        let rate = config.peak_requests_per_second;
        if !(rate.is_finite() && rate > 0.0) || config.day.is_zero() {
            return Err(TrafficError::Rate);
        }
        Ok(Self { config, client: Client::new(target.as_str()) })
    }

    /// Sends requests until a stop is asked for; running ones are then given up.
    pub fn run(self, shutdown: Shutdown) -> Boxed<'static, ()> {
        Box::pin(self.send(shutdown))
    }

    async fn send(self, shutdown: Shutdown) {
        let mut random = match self.config.seed {
            Some(seed) => StdRng::seed_from_u64(seed),
            None => StdRng::from_os_rng(),
        };
        // All tasks end when this set is dropped.
        let mut tasks = JoinSet::new();
        for lane in 0..LONG_LANES {
            let random = StdRng::seed_from_u64(random.random());
            tasks.spawn(long_streams(self.client.clone(), random, lane));
        }
        for _ in 0..FIRST_REQUESTS {
            let (client, plan) = (self.client.clone(), Plan::draw(&mut random));
            tasks.spawn(async move { client.send(plan).await });
        }
        tokio::select! {
            () = shutdown.requested() => {}
            () = self.arrivals(&mut random, &mut tasks) => {}
        }
    }

    /// Requests that come as people's do: independent of each other.
    async fn arrivals(&self, random: &mut StdRng, tasks: &mut JoinSet<()>) {
        let permits = Arc::new(Semaphore::new(MOST_AT_ONCE));
        let start = tokio::time::Instant::now();
        loop {
            let hour = hour(start.elapsed(), self.config.day);
            let rate = self.config.peak_requests_per_second * busyness(hour);
            let uniform: f64 = random.random_range(f64::EPSILON..1.0);
            // A long silence is possible, but nobody wants to watch one.
            let pause = (-uniform.ln() / rate).min(4.0 / rate);
            tokio::time::sleep(Duration::from_secs_f64(pause)).await;
            while tasks.try_join_next().is_some() {}
            let Ok(permit) = permits.clone().try_acquire_owned() else {
                continue;
            };
            let (client, plan) = (self.client.clone(), Plan::draw(random));
            tasks.spawn(async move {
                client.send(plan).await;
                drop(permit);
            });
        }
    }
}

/// Long streams, one after the other, so that something is always in flight.
async fn long_streams(client: Client, mut random: StdRng, lane: usize) {
    tokio::time::sleep(Duration::from_millis(300) * lane as u32).await;
    loop {
        client.send(Plan::long(&mut random)).await;
        tokio::time::sleep(Duration::from_millis(random.random_range(200..3_000))).await;
    }
}

/// Hour of the simulated day, 0 to 24.
fn hour(elapsed: Duration, day: Duration) -> f64 {
    (FIRST_HOUR + 24.0 * elapsed.as_secs_f64() / day.as_secs_f64()) % 24.0
}

/// How busy an hour is, from 0.33 (night) to 1: humps before and after lunch.
fn busyness(hour: f64) -> f64 {
    let hump = |middle: f64, width: f64| {
        let distance = (hour - middle).abs().min(24.0 - (hour - middle).abs());
        if distance >= width { 0.0 } else { (1.0 + (PI * distance / width).cos()) / 2.0 }
    };
    (0.33 + 0.67 * (hump(10.5, 4.0) + hump(15.5, 5.0))).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_busy_before_and_after_lunch_and_calm_at_night() {
        assert!(busyness(10.5) > 0.9 && busyness(15.5) > 0.9);
        assert!(busyness(3.0) < 0.34 && busyness(23.9) < 0.34);
        assert!(busyness(12.8) < busyness(10.5));
        let day = Duration::from_secs(240);
        assert!((hour(Duration::from_secs(150), day) - 0.0).abs() < 1e-9);
    }

    #[test]
    fn a_target_that_is_no_http_url_is_refused() {
        for target in ["", "localhost", "https://host", "ftp://host"] {
            assert!(Traffic::new(TrafficConfig::to(target)).is_err(), "{target}");
        }
        assert!(Traffic::new(TrafficConfig::to("http://127.0.0.1:4005")).is_ok());
        let still =
            TrafficConfig { peak_requests_per_second: 0.0, ..TrafficConfig::to("http://h") };
        assert!(Traffic::new(still).is_err());
    }
}
