//! Moments that outlive the process that noted them.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A random name that the kernel gives itself at each boot (random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A moment, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Moment {
    /// By the wall clock, which may be set.
    time: Timestamp,
    /// Nanoseconds since the boot named `boot_id`, which nobody sets.
    since_boot: u64,
    boot_id: String,
}

/// Turns moments of this process into such that are kept, and back.
pub(super) struct Clock {
    /// Empty where it cannot be read.
    boot_id: String,
}

// === impl Clock ===

impl Clock {
    pub(super) fn new() -> Self {
        let boot_id = std::fs::read_to_string(BOOT_ID).unwrap_or_default();
        Self {
            boot_id: boot_id.trim().to_owned(),
        }
    }

    pub(super) fn moment(&self, instant: Instant) -> Moment {
        let ago = instant.elapsed();
        let now = Timestamp::now();
        let earlier = SignedDuration::try_from(ago).map(|ago| now.checked_sub(ago));
        Moment {
            time: earlier.ok().and_then(Result::ok).unwrap_or(now),
            since_boot: nanos(since_boot().saturating_sub(ago)),
            boot_id: self.boot_id.clone(),
        }
    }

    /// The moment as this process tells time; never in the future.
    pub(super) fn instant(&self, moment: &Moment) -> Instant {
        let now = Instant::now();
        let ago = if moment.boot_id == self.boot_id && !self.boot_id.is_empty() {
            since_boot().saturating_sub(Duration::from_nanos(moment.since_boot))
        } else {
            let ago = Timestamp::now().duration_since(moment.time);
            Duration::try_from(ago).unwrap_or_default()
        };
        now.checked_sub(ago).unwrap_or(now)
    }
}

/// Counts while the machine is suspended, too.
fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::try_from(time).unwrap_or_default()
}

/// Five hundred years fit.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    /// More than a test takes; far less than what it tells apart.
    const SLACK: Duration = Duration::from_secs(600);

    fn an_hour_ago() -> Moment {
        Moment {
            time: Timestamp::now() - SignedDuration::from_hours(1),
            since_boot: nanos(since_boot()) - 1,
            boot_id: "another".into(),
        }
    }

    fn is_about(instant: Instant, ago: Duration) -> bool {
        instant.elapsed().abs_diff(ago) < SLACK
    }

    #[test]
    fn a_moment_of_this_boot_is_told_by_the_time_since_and_not_by_the_wall_clock() {
        let clock = Clock::new();
        assert_eq!(clock.boot_id.len(), 36, "{:?}", clock.boot_id);
        let kept = clock.moment(Instant::now());
        let moved = Moment {
            time: kept.time - SignedDuration::from_hours(1000),
            ..kept
        };
        assert!(is_about(clock.instant(&moved), Duration::ZERO));
    }

    #[test]
    fn a_moment_of_another_boot_is_told_by_the_wall_clock() {
        let clock = Clock::new();
        assert!(is_about(clock.instant(&an_hour_ago()), HOUR));
        let unknown = Clock {
            boot_id: String::new(),
        };
        let kept = Moment {
            boot_id: String::new(),
            ..an_hour_ago()
        };
        assert!(is_about(unknown.instant(&kept), HOUR));
    }

    #[test]
    fn no_moment_is_in_the_future() {
        let clock = Clock::new();
        let ahead = Moment {
            time: Timestamp::now() + SignedDuration::from_hours(1),
            ..an_hour_ago()
        };
        assert!(clock.instant(&ahead) <= Instant::now());
        let ahead = Moment {
            since_boot: nanos(since_boot() + HOUR),
            boot_id: clock.boot_id.clone(),
            ..an_hour_ago()
        };
        assert!(clock.instant(&ahead) <= Instant::now());
    }
}
