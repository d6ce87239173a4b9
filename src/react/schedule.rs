//! When a burst of changes is over: the settle time of one rule, as a pure function of moments.

use tokio::time::Instant;

use crate::config::Settle;

/// The settle time of one rule.
#[derive(Debug)]
pub(super) struct Schedule {
    settle: Settle,
    burst: Option<Burst>,
}

#[derive(Debug)]
struct Burst {
    first: Instant,
    last: Instant,
}

// === impl Schedule ===

impl Schedule {
    pub(super) fn new(settle: Settle) -> Self {
        Self {
            settle,
            burst: None,
        }
    }

    /// Notes a change.
    pub(super) fn touch(&mut self, now: Instant) {
        match &mut self.burst {
            Some(burst) => burst.last = now,
            None => {
                self.burst = Some(Burst {
                    first: now,
                    last: now,
                });
            }
        }
    }

    /// When the burst is over; `None` if there is none.
    pub(super) fn due(&self) -> Option<Instant> {
        let burst = self.burst.as_ref()?;
        let Settle { quiet, longest } = self.settle;
        Some((burst.last + quiet).min(burst.first + longest.max(quiet)))
    }

    /// Ends the burst if it is over; whether it was.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        let due = self.due().is_some_and(|due| due <= now);
        if due {
            self.burst = None;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn schedule(quiet: u64, longest: u64) -> Schedule {
        Schedule::new(Settle {
            quiet: millis(quiet),
            longest: millis(longest),
        })
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
