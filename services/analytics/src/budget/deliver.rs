//! Sends notices to webhooks until they take them, at least once, under the same id.

use std::{sync::Arc, time::Duration};

use modash_proto::v1::NoticeDelivery;
use tokio::task::JoinSet;

use super::{
    Budgets,
    webhook::{self, Refused},
};
use crate::store::DueNotice;

/// How often it is looked for notices that are due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Most notices that a replica sends at the same time.
const MOST_AT_ONCE: usize = 8;

/// Most attempts, and the longest time from the notice to the last one.
const MOST_ATTEMPTS: i32 = 20;
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// Pause after the first attempt; each one after it is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(2 * 3_600);

/// What is to become of a notice.
#[derive(Debug, PartialEq)]
struct Next {
    delivery: NoticeDelivery,
    again_in: Option<Duration>,
    error: Option<String>,
}

impl Budgets {
    pub(super) async fn deliver_all(self: Arc<Self>) {
        // Those that run end with this future.
        let mut sending = JoinSet::new();
        loop {
            let free = MOST_AT_ONCE - sending.len();
            // While it is sent and kept, nobody else sends it.
            match self.store.claim_budget_notices(free, 3 * webhook::TIMEOUT).await {
                Ok(due) => due.into_iter().for_each(|notice| {
                    sending.spawn(Arc::clone(&self).deliver(notice));
                }),
                Err(error) => self.failed("notices of budgets were not sent", &error),
            }
            tokio::select! {
                Some(_) = sending.join_next() => {}
                () = self.made.notified(), if sending.len() < MOST_AT_ONCE => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Sends a notice once, and keeps what became of it.
    async fn deliver(self: Arc<Self>, notice: DueNotice) {
        let next = if is_too_late(&notice) {
            // Whoever sent it last was killed.
            Next { delivery: NoticeDelivery::GivenUp, again_in: None, error: None }
        } else {
            let result = webhook::send(&self.tls, &notice).await;
            self.metrics.attempted(result.is_ok());
            next(&notice, result, rand::random())
        };
        let (again_in, error) = (next.again_in, next.error.as_deref());
        match self.store.settle_budget_notice(&notice, next.delivery, again_in, error).await {
            Ok(()) if next.delivery == NoticeDelivery::GivenUp => {
                tracing::warn!(notice = %notice.notice_id, error, "a notice of a budget is given up");
                self.metrics.given_up();
            }
            Ok(()) => {}
            Err(error) => self.failed("a notice of a budget may be sent again", &error),
        }
    }
}

/// Whether a notice is not to be sent any more. It is sent once, however old it is: perhaps
/// no analytics was running.
fn is_too_late(notice: &DueNotice) -> bool {
    let old = notice.age_seconds > LONGEST.as_secs_f64() && notice.attempts > 1;
    notice.attempts > MOST_ATTEMPTS || old
}

/// What is to be done after an attempt; `random` is from 0 to 1.
fn next(notice: &DueNotice, result: Result<(), Refused>, random: f64) -> Next {
    let Err(refused) = result else {
        let error = Some(String::new());
        return Next { delivery: NoticeDelivery::Delivered, again_in: None, error };
    };
    let doubled = FIRST_PAUSE * 2_u32.saturating_pow(notice.attempts.clamp(1, 20) as u32 - 1);
    // So that what failed together does not come again together.
    let pause = doubled.min(LONGEST_PAUSE).mul_f64(0.5 + random / 2.0);
    let pause = pause.max(refused.retry_after.unwrap_or_default().min(LONGEST_PAUSE));
    let late = notice.age_seconds + pause.as_secs_f64() > LONGEST.as_secs_f64();
    let gives_up = refused.gone || notice.attempts >= MOST_ATTEMPTS || late;
    let (delivery, again_in) = match gives_up {
        true => (NoticeDelivery::GivenUp, None),
        false => (NoticeDelivery::Pending, Some(pause)),
    };
    Next { delivery, again_in, error: Some(refused.text) }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn notice(attempts: i32, age_seconds: f64) -> DueNotice {
        DueNotice {
            notice_id: Uuid::nil(),
            attempts,
            body: String::new(),
            webhook_url: None,
            webhook_secret: None,
            age_seconds,
        }
    }

    fn after(attempts: i32, age_seconds: f64, refused: Refused, random: f64) -> Option<Duration> {
        let next = next(&notice(attempts, age_seconds), Err(refused), random);
        assert_eq!(next.again_in.is_none(), next.delivery == NoticeDelivery::GivenUp);
        next.again_in
    }

    fn refused() -> Refused {
        Refused::new("status 500")
    }

    #[test]
    fn pauses_double_up_to_two_hours_with_jitter() {
        let seconds =
            |attempts, random| after(attempts, 0.0, refused(), random).unwrap().as_secs_f64();
        assert_eq!([1, 2, 3, 10].map(|at| seconds(at, 1.0)), [5.0, 10.0, 20.0, 2_560.0]);
        assert_eq!([12, 19].map(|at| seconds(at, 1.0)), [7_200.0; 2]);
        assert_eq!([1, 19].map(|at| seconds(at, 0.0)), [2.5, 3_600.0]);
    }

    #[test]
    fn a_notice_is_given_up_after_20_attempts_or_a_day_or_if_the_webhook_is_gone() {
        assert_eq!(after(20, 0.0, refused(), 0.5), None);
        assert_eq!(after(2, 86_399.0, refused(), 0.5), None);
        assert_eq!(after(1, 0.0, Refused { gone: true, ..refused() }, 0.5), None);
        let all: f64 =
            (1..20).map(|at| after(at, 0.0, refused(), 1.0).unwrap().as_secs_f64()).sum();
        assert!(all < 86_400.0, "all attempts fit into a day: {all}");
    }

    #[test]
    fn an_old_notice_is_sent_once() {
        let day_old = 86_401.0;
        let late = [(1, day_old), (2, day_old), (20, 0.0), (21, 0.0)];
        let late = late.map(|(attempts, age)| is_too_late(&notice(attempts, age)));
        assert_eq!(late, [false, true, false, true]);
        assert_eq!(after(1, day_old, refused(), 0.0), None);
    }

    #[test]
    fn a_webhook_can_ask_for_more_time_but_not_for_ever() {
        let asked =
            |seconds| Refused { retry_after: Some(Duration::from_secs(seconds)), ..refused() };
        assert_eq!(after(1, 0.0, asked(60), 1.0), Some(Duration::from_secs(60)));
        assert_eq!(after(1, 0.0, asked(1), 1.0), Some(FIRST_PAUSE));
        assert_eq!(after(1, 0.0, asked(1 << 40), 1.0), Some(LONGEST_PAUSE));
    }
}
