//! When a rule acts: after a burst is over, at a random moment of its splay, not too soon after it
//! acted last. A pure function of moments, but for the one random number of a burst.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::Settle;

/// The wait after a failure that followed `earlier` ones: a second, twice as long after each, at most
/// `longest`.
pub(crate) fn backoff(earlier: u32, longest: Duration) -> Duration {
    let wait = Duration::from_secs(1).saturating_mul(1 << earlier.min(10));
    wait.min(longest)
}

/// When one rule, or one command, acts upon changes.
#[derive(Debug)]
pub(crate) struct Schedule {
    settle: Settle,
    splay: Duration,
    min_interval: Duration,
    burst: Option<Burst>,
    /// Not before this, for it acted not long ago.
    rests: Option<Instant>,
}

#[derive(Debug)]
struct Burst {
    first: Instant,
    last: Instant,
    /// Its part of the splay.
    delay: Duration,
}

// === impl Schedule ===

impl Schedule {
    /// Acts after `settle`, a random part of `splay` later, and at least `min_interval` after it
    /// acted last.
    pub(crate) fn new(settle: Settle, splay: Duration, min_interval: Duration) -> Self {
        Self {
            settle,
            splay,
            min_interval,
            burst: None,
            rests: None,
        }
    }

    /// Notes a change.
    pub(crate) fn touch(&mut self, now: Instant) {
        match &mut self.burst {
            Some(burst) => burst.last = now,
            None => {
                self.burst = Some(Burst {
                    first: now,
                    last: now,
                    delay: self.splay.mul_f64(fastrand::f64()),
                });
            }
        }
    }

    /// Notes that something was done at `now`.
    pub(crate) fn acted(&mut self, now: Instant) {
        self.rests = Some(now + self.min_interval);
    }

    /// When it may act again at the earliest, if it acted.
    pub(crate) fn rests(&self) -> Option<Instant> {
        self.rests
    }

    /// When it is to act; `None` if nothing changed.
    pub(crate) fn due(&self) -> Option<Instant> {
        let burst = self.burst.as_ref()?;
        let Settle { quiet, longest } = self.settle;
        let over = (burst.last + quiet).min(burst.first + longest.max(quiet));
        Some((over + burst.delay).max(self.rests.unwrap_or(over)))
    }

    /// Ends the burst if it is to act; whether it is.
    pub(crate) fn take_due(&mut self, now: Instant) -> bool {
        let due = self.due().is_some_and(|due| due <= now);
        if due {
            self.burst = None;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn schedule(quiet: u64, longest: u64) -> Schedule {
        splayed(quiet, longest, 0, 0)
    }

    fn splayed(quiet: u64, longest: u64, splay: u64, min_interval: u64) -> Schedule {
        let settle = Settle {
            quiet: millis(quiet),
            longest: millis(longest),
        };
        Schedule::new(settle, millis(splay), millis(min_interval))
    }

    #[test]
    fn the_splay_comes_after_the_settle_time_and_changes_do_not_draw_again() {
        let start = Instant::now();
        let draw = || {
            let mut schedule = splayed(250, 1000, 30_000, 0);
            schedule.touch(start);
            let first = schedule.due().unwrap();
            // A storm moves it by what is left of the longest settle time, and no further.
            for at in 0..100 {
                schedule.touch(start + millis(at * 100));
            }
            let last = schedule.due().unwrap();
            assert!(last >= first && last <= first + millis(750));
            assert!(first >= start + millis(250) && first <= start + millis(30_250));
            first
        };
        let draws: std::collections::BTreeSet<Instant> = (0..20).map(|_| draw()).collect();
        assert!(draws.len() > 10, "{draws:?}");
    }

    #[test]
    fn it_rests_after_it_acted() {
        let (mut schedule, start) = (splayed(250, 1000, 0, 30_000), Instant::now());
        schedule.touch(start);
        assert!(schedule.take_due(start + millis(250)));
        schedule.acted(start + millis(300));
        schedule.touch(start + millis(400));
        assert_eq!(schedule.due(), Some(start + millis(30_300)));
        schedule.touch(start + millis(60_000));
        assert_eq!(schedule.due(), Some(start + millis(30_300)));
        assert!(schedule.take_due(start + millis(60_000)));
        schedule.touch(start + millis(70_000));
        assert_eq!(schedule.due(), Some(start + millis(70_250)));
    }

    #[test]
    fn waits_for_quiet_but_no_longer_than_the_longest() {
        let (mut schedule, start) = (schedule(250, 1000), Instant::now());
        assert_eq!(schedule.due(), None);
        for at in [0, 200, 400] {
            schedule.touch(start + millis(at));
        }
        assert_eq!(schedule.due(), Some(start + millis(650)));
        for at in [600, 800, 990] {
            schedule.touch(start + millis(at));
        }
        assert_eq!(schedule.due(), Some(start + millis(1000)));
        assert!(!schedule.take_due(start + millis(999)));
        assert!(schedule.take_due(start + millis(1000)));
        assert_eq!(schedule.due(), None);
    }

    #[test]
    fn no_settle_time_is_due_at_once() {
        let (mut schedule, now) = (schedule(0, 0), Instant::now());
        schedule.touch(now);
        assert!(schedule.take_due(now));
    }

    proptest! {
        /// Whatever comes when: a change is due after its quiet time at the earliest or the longest
        /// wait, never later than either, and bursts that do not pause end `longest` apart.
        #[test]
        fn every_change_is_due_in_time(
            quiet in 0_u64..300,
            extra in 0_u64..1000,
            gaps in prop::collection::vec(0_u64..400, 1..60),
        ) {
            let longest = quiet + extra;
            let (mut schedule, start) = (schedule(quiet, longest), Instant::now());
            let (mut now, mut first, mut last) = (start, None, start);
            for gap in gaps {
                let next = now + millis(gap);
                if let Some(due) = schedule.due().filter(|due| *due <= next) {
                    let first = first.take().unwrap();
                    prop_assert_eq!(due, (last + millis(quiet)).min(first + millis(longest)));
                    prop_assert!(schedule.take_due(due));
                    prop_assert_eq!(schedule.due(), None);
                }
                now = next;
                schedule.touch(now);
                first.get_or_insert(now);
                last = now;
            }
            prop_assert!(schedule.due().is_some());
        }
    }
}
