//! The command's life, with numbers for environments and no process.

use proptest::prelude::*;

use super::*;
use crate::config::{Signal, Timing};

fn signal(name: &str, number: i32) -> Signal {
    Signal {
        number,
        name: name.to_owned(),
    }
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn exec(reload: Reload, keep: bool) -> Exec {
    Exec {
        argv: vec!["app".into()],
        env_from: Vec::new(),
        environment_wins: false,
        reload,
        stop_signal: signal("TERM", 15),
        stop_timeout: seconds(30),
        timing: Timing {
            settle: Some(Settle {
                quiet: seconds(1),
                longest: seconds(4),
            }),
            splay: Duration::ZERO,
            min_interval: seconds(10),
            retries: 0,
        },
        wait_timeout: None,
        stale_ok: false,
        keep,
    }
}

const UNUSED: Settle = Settle {
    quiet: Duration::MAX,
    longest: Duration::MAX,
};

/// A plan whose command runs since `start` with environment 1.
fn running(exec: &Exec, start: Instant) -> Plan<u32> {
    let mut plan = Plan::new(exec, UNUSED, 1, start);
    plan.started(start);
    plan
}

#[test]
fn a_change_stops_the_command_once_it_has_settled_and_starts_it_with_the_newest() {
    let start = Instant::now();
    let mut plan = running(&exec(Reload::Restart, false), start);
    let at = |n| start + seconds(n);
    plan.want(at(20), 2);
    assert_eq!(plan.advance(at(20)), None);
    assert_eq!(plan.deadline(), Some(at(21)));
    assert_eq!(plan.advance(at(21)), Some(Step::Stop));
    assert!(plan.restarts());
    assert_eq!(plan.advance(at(21)), None);
    // What changes meanwhile is what it is started with, at once.
    plan.want(at(22), 3);
    assert_eq!(plan.advance(at(24)), None);
    assert_eq!(plan.ended(at(25), 143), Some(Step::Start));
    plan.started(at(25));
    assert_eq!(*plan.has(), 3);
    // It has that already.
    assert_eq!(plan.advance(at(100)), None);
    assert_eq!(plan.deadline(), None);
}

#[test]
fn a_change_that_is_undone_does_nothing() {
    let start = Instant::now();
    for reload in [Reload::Restart, Reload::Signal(signal("HUP", 1))] {
        let mut plan = running(&exec(reload, false), start);
        plan.want(start + seconds(20), 2);
        plan.want(start + seconds(20), 1);
        assert_eq!(plan.advance(start + seconds(21)), None);
        assert_eq!(plan.deadline(), None);
    }
}

#[test]
fn restarts_keep_their_distance() {
    let start = Instant::now();
    let mut plan = running(&exec(Reload::Restart, false), start);
    plan.want(start + seconds(2), 2);
    assert_eq!(plan.deadline(), Some(start + seconds(10)));
    assert_eq!(plan.advance(start + seconds(9)), None);
    assert_eq!(plan.advance(start + seconds(10)), Some(Step::Stop));
}

#[test]
fn a_command_that_does_not_end_is_killed_once() {
    let start = Instant::now();
    let mut plan = running(&exec(Reload::Restart, false), start);
    plan.want(start + seconds(20), 2);
    assert_eq!(plan.advance(start + seconds(21)), Some(Step::Stop));
    assert_eq!(plan.deadline(), Some(start + seconds(51)));
    assert_eq!(plan.advance(start + seconds(50)), None);
    assert_eq!(plan.advance(start + seconds(51)), Some(Step::Kill));
    assert_eq!(plan.advance(start + seconds(52)), None);
    assert_eq!(plan.deadline(), None);
    assert_eq!(plan.ended(start + seconds(53), 137), Some(Step::Start));
}

#[test]
fn asked_to_end_it_stops_the_command_and_asked_twice_it_kills_it() {
    let start = Instant::now();
    let mut plan = running(&exec(Reload::Restart, true), start);
    assert_eq!(plan.end(start + seconds(1), 143), Some(Step::Stop));
    assert!(!plan.restarts());
    // No change counts any more.
    plan.want(start + seconds(2), 2);
    assert_eq!(plan.advance(start + seconds(20)), None);
    assert_eq!(plan.end(start + seconds(20), 143), None);
    assert_eq!(plan.advance(start + seconds(20)), Some(Step::Kill));
    assert_eq!(plan.end(start + seconds(20), 143), None);
    assert_eq!(plan.advance(start + seconds(20)), None);
    // Also with `keep`: it was asked to.
    assert_eq!(plan.ended(start + seconds(21), 137), Some(Step::End(137)));
}

#[test]
fn asked_to_end_during_a_restart_it_does_not_start_again() {
    let start = Instant::now();
    let mut plan = running(&exec(Reload::Restart, false), start);
    plan.want(start + seconds(20), 2);
    assert_eq!(plan.advance(start + seconds(21)), Some(Step::Stop));
    assert_eq!(plan.end(start + seconds(22), 143), None);
    assert_eq!(plan.deadline(), Some(start + seconds(51)));
    assert_eq!(plan.ended(start + seconds(23), 0), Some(Step::End(0)));
}

#[test]
fn a_command_that_ends_by_itself_ends_attache() {
    let start = Instant::now();
    let mut plan = running(&exec(Reload::Restart, false), start);
    assert_eq!(plan.ended(start + seconds(5), 3), Some(Step::End(3)));
}

#[test]
fn a_signal_tells_of_each_change_once() {
    let start = Instant::now();
    let mut plan = running(&exec(Reload::Signal(signal("HUP", 1)), false), start);
    plan.want(start + seconds(20), 2);
    assert_eq!(plan.advance(start + seconds(21)), Some(Step::Signal));
    plan.told(start + seconds(21));
    assert_eq!(plan.advance(start + seconds(22)), None);
    // Back again is a change, too, and keeps the distance.
    plan.want(start + seconds(23), 1);
    assert_eq!(plan.deadline(), Some(start + seconds(31)));
    assert_eq!(plan.advance(start + seconds(31)), Some(Step::Signal));
}

#[test]
fn without_reload_a_change_is_noted_and_so_is_its_end() {
    let start = Instant::now();
    let mut plan = running(&exec(Reload::None, false), start);
    for (at, wanted) in [(20, 2), (30, 1)] {
        plan.want(start + seconds(at), wanted);
        assert_eq!(plan.advance(start + seconds(at + 1)), Some(Step::Note));
        assert_eq!(*plan.has(), 1);
        assert_eq!(*plan.wanted(), wanted);
        assert_eq!(plan.advance(start + seconds(at + 2)), None);
    }
}

#[test]
fn kept_it_is_started_again_later_and_later_until_it_ran_well() {
    let mut config = exec(Reload::Restart, true);
    config.timing.min_interval = Duration::ZERO;
    let mut now = Instant::now();
    let mut plan = running(&config, now);
    for wait in [1, 2, 4, 8, 16, 30, 30, 30] {
        assert_eq!(plan.ended(now, 0), None);
        assert_eq!(plan.advance(now + seconds(wait - 1)), None);
        now += seconds(wait);
        assert_eq!(plan.deadline(), Some(now));
        assert_eq!(plan.advance(now), Some(Step::Start));
        plan.started(now);
    }
    now += seconds(60);
    assert_eq!(plan.ended(now, 0), None);
    assert_eq!(plan.deadline(), Some(now + seconds(1)));
    // Nothing runs, so attache ends with what it was asked by.
    assert_eq!(plan.end(now, 143), Some(Step::End(143)));
}

#[test]
fn kept_it_keeps_its_distance_and_takes_the_newest_environment() {
    let start = Instant::now();
    let mut plan = running(&exec(Reload::Restart, true), start);
    assert_eq!(plan.ended(start + seconds(2), 1), None);
    assert_eq!(plan.deadline(), Some(start + seconds(10)));
    plan.want(start + seconds(3), 2);
    assert_eq!(plan.advance(start + seconds(9)), None);
    assert_eq!(plan.advance(start + seconds(10)), Some(Step::Start));
    assert_eq!(plan.not_started(start + seconds(10), 127), None);
    assert_eq!(plan.deadline(), Some(start + seconds(12)));
    assert_eq!(plan.advance(start + seconds(12)), Some(Step::Start));
    plan.started(start + seconds(12));
    assert_eq!(*plan.has(), 2);
}

#[test]
fn not_started_again_ends_attache_unless_it_is_kept() {
    let start = Instant::now();
    let mut plan = running(&exec(Reload::Restart, false), start);
    assert_eq!(plan.not_started(start, 127), Some(Step::End(127)));
}

#[derive(Debug, Clone)]
enum Event {
    Want(u32),
    Wait(u64),
    Ends,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0_u32..3).prop_map(Event::Want),
        (1_u64..20).prop_map(Event::Wait),
        Just(Event::Ends),
    ]
}

/// A world with the command in it: what it is told, it does.
struct World {
    plan: Plan<u32>,
    now: Instant,
    running: Option<u32>,
    last_start: Instant,
}

impl World {
    fn settle(&mut self, min_interval: Duration) {
        while let Some(step) = self.plan.advance(self.now) {
            self.step(step, min_interval);
        }
    }

    fn step(&mut self, step: Step, min_interval: Duration) {
        match step {
            Step::Start => {
                assert_eq!(self.running, None, "two at once");
                assert!(self.now - self.last_start >= min_interval, "too soon");
                self.running = Some(*self.plan.wanted());
                self.last_start = self.now;
                self.plan.started(self.now);
            }
            Step::Stop | Step::Kill => assert!(self.running.is_some()),
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    /// Whatever happens when: there are never two commands at once, none is started too soon, and in
    /// the end one runs with the newest environment.
    #[test]
    fn one_command_runs_with_the_newest_environment_in_the_end(
        events in prop::collection::vec(event(), 0..40),
    ) {
        let config = exec(Reload::Restart, true);
        let min_interval = config.timing.min_interval;
        let now = Instant::now();
        let mut world = World { plan: running(&config, now), now, running: Some(1), last_start: now };
        let rest = (0..40).flat_map(|_| [Event::Wait(31), Event::Ends]);
        let many = events.len();
        for (index, event) in events.into_iter().chain(rest).enumerate() {
            match event {
                Event::Want(wanted) => world.plan.want(world.now, wanted),
                Event::Wait(wait) => world.now += seconds(wait),
                // Towards the end it ends only when it is asked to.
                Event::Ends if index < many || matches!(world.plan.phase, Phase::Stopping { .. }) => {
                    if world.running.take().is_some()
                        && let Some(step) = world.plan.ended(world.now, 0)
                    {
                        world.step(step, min_interval);
                    }
                }
                Event::Ends => {}
            }
            world.settle(min_interval);
        }
        prop_assert_eq!(world.running, Some(*world.plan.wanted()));
        prop_assert_eq!(world.plan.deadline(), None);
    }
}

#[test]
fn a_signal_that_cannot_be_sent_is_tried_again_and_then_left_to_the_next_change() {
    let start = Instant::now();
    let mut plan = running(&exec(Reload::Signal(signal("HUP", 1)), false), start);
    let mut now = start + seconds(20);
    plan.want(now, 2);
    now += seconds(1);
    assert_eq!(plan.advance(now), Some(Step::Signal));
    for wait in [1, 2, 4, 8] {
        assert!(plan.not_told(now));
        assert_eq!(plan.deadline(), Some(now + seconds(wait)));
        assert_eq!(plan.advance(now), None);
        now += seconds(wait);
        assert_eq!(plan.advance(now), Some(Step::Signal));
    }
    assert!(!plan.not_told(now));
    assert_eq!((plan.deadline(), *plan.has()), (None, 2));
    // Undone while it waits: nothing is left to tell.
    plan.want(now, 3);
    now = plan.deadline().unwrap();
    assert_eq!(plan.advance(now), Some(Step::Signal));
    assert!(plan.not_told(now));
    plan.want(now, 2);
    now += seconds(60);
    assert_eq!(plan.advance(now), None);
}
