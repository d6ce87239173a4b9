use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::store::{self, Kind, RawObject, Reader, ScopeSpec, ScopeWriter, Selects};

fn machine() -> Machine {
    Machine::new(fastrand::Rng::with_seed(7))
}

fn other() -> Failure {
    Failure::Other("broken".into())
}

fn fail(machine: &mut Machine, failure: Failure, lasted: Duration) -> Duration {
    assert!(matches!(
        machine.feed(Input::Failed { failure, lasted }),
        Effect::Lost(_)
    ));
    let Step::Wait(delay) = machine.next() else {
        panic!("no wait after a failure")
    };
    machine.waited();
    delay
}

fn synced(machine: &mut Machine) {
    let page = Input::Page {
        items: vec![],
        next: None,
        resource_version: "1".into(),
    };
    assert!(matches!(machine.feed(page), Effect::Replace(_)));
}

#[test]
fn the_first_request_is_not_delayed() {
    assert_eq!(
        machine().next(),
        Step::List {
            continue_token: None
        }
    );
}

#[test]
fn delays_double_up_to_the_cap_with_jitter_inside_it() {
    let mut machine = machine();
    for failures in 0..20 {
        let delay = fail(&mut machine, other(), Duration::ZERO);
        let nominal = FIRST_DELAY
            .saturating_mul(1 << failures.min(10))
            .min(LONGEST_DELAY);
        assert!(
            delay <= nominal && delay >= nominal / 2,
            "{delay:?} of {nominal:?}"
        );
    }
}

#[test]
fn delays_start_over_only_after_a_watch_has_held() {
    let mut machine = machine();
    synced(&mut machine);
    for _ in 0..8 {
        fail(&mut machine, other(), Duration::ZERO);
    }
    machine.feed(Input::Opened);
    assert!(
        fail(&mut machine, other(), HELD / 2) > 10 * FIRST_DELAY,
        "opening is not holding"
    );
    machine.feed(Input::Opened);
    assert!(fail(&mut machine, other(), HELD) <= FIRST_DELAY);
}

#[test]
fn an_orderly_end_is_renewed_at_once_unless_it_came_at_once() {
    let mut machine = machine();
    synced(&mut machine);
    let watch = Step::Watch {
        resource_version: "1".into(),
    };
    machine.feed(Input::Closed {
        lasted: HELD,
        relist: false,
    });
    assert_eq!(machine.next(), watch);
    machine.feed(Input::Closed {
        lasted: Duration::ZERO,
        relist: false,
    });
    assert!(matches!(machine.next(), Step::Wait(_)));
    machine.waited();
    assert_eq!(machine.next(), watch);
    machine.feed(Input::Closed {
        lasted: HELD,
        relist: true,
    });
    assert_eq!(
        machine.next(),
        Step::List {
            continue_token: None
        }
    );
}

#[test]
fn expiry_lists_again_within_two_seconds_and_a_failure_resumes() {
    let mut machine = machine();
    synced(&mut machine);
    fail(&mut machine, other(), HELD);
    assert_eq!(
        machine.next(),
        Step::Watch {
            resource_version: "1".into()
        }
    );
    let delay = fail(&mut machine, Failure::Expired("gone".into()), HELD);
    assert!(delay <= EXPIRED_JITTER);
    assert_eq!(
        machine.next(),
        Step::List {
            continue_token: None
        }
    );
}

#[test]
fn retry_after_is_obeyed_within_reason() {
    let mut machine = machine();
    let throttled = |seconds| Failure::Throttled {
        after: Duration::from_secs(seconds),
        message: "slow down".into(),
    };
    let delay = fail(&mut machine, throttled(7), Duration::ZERO);
    assert!((7..=8).contains(&delay.as_secs()), "{delay:?}");
    assert!(fail(&mut machine, throttled(1 << 40), Duration::ZERO) <= LONGEST_RETRY_AFTER + HELD);
}

#[test]
fn what_is_not_served_is_asked_for_less_and_less_often_but_for_ever() {
    let mut machine = machine();
    for _ in 0..10 {
        fail(&mut machine, Failure::Unserved("404".into()), HELD / 2);
    }
    let delay = fail(&mut machine, Failure::Unserved("404".into()), HELD / 2);
    assert!(
        (LONGEST_DELAY / 2..=LONGEST_DELAY).contains(&delay),
        "{delay:?}"
    );
    assert_eq!(
        machine.next(),
        Step::List {
            continue_token: None
        }
    );
}

/// What may happen next; the weights keep histories long enough to be interesting.
#[derive(Debug, Clone)]
enum Op {
    Set { name: u8, value: u8 },
    Delete { name: u8 },
    Proceed,
    Bookmark,
    Fail,
    Expire,
    Undecodable,
    Close { relist: bool },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..4u8, any::<u8>()).prop_map(|(name, value)| Op::Set { name, value }),
        2 => (0..4u8).prop_map(|name| Op::Delete { name }),
        12 => Just(Op::Proceed),
        1 => Just(Op::Bookmark),
        1 => Just(Op::Fail),
        1 => Just(Op::Expire),
        1 => Just(Op::Undecodable),
        1 => any::<bool>().prop_map(|relist| Op::Close { relist }),
    ]
}

type State = BTreeMap<u8, (u8, u64)>;

/// An API server: every state it ever had, and the events between them.
struct Server {
    states: Vec<State>,
    events: Vec<(u8, Option<(u8, u64)>)>,
}

impl Server {
    fn set(&mut self, name: u8, value: Option<u8>) {
        let mut state = self.states.last().unwrap().clone();
        let version = self.states.len() as u64;
        match value {
            Some(value) => state.insert(name, (value, version)),
            None if !state.contains_key(&name) => return,
            None => state.remove(&name),
        };
        self.events
            .push((name, value.map(|value| (value, version))));
        self.states.push(state);
    }
}

/// A machine, its store, and the server it talks to.
struct World {
    server: Server,
    machine: Machine,
    scope: ScopeWriter,
    reader: Reader,
    /// The state that the list under way shows, and how many of its objects were sent.
    listing: Option<(usize, usize)>,
    watching: bool,
    seen: usize,
}

fn raw(name: u8, value: u8, version: u64) -> RawObject {
    RawObject {
        uid: "u".into(),
        resource_version: version.to_string(),
        data: [("v".to_owned(), value.to_string())].into(),
        ..RawObject::empty(reference(name))
    }
}

fn reference(name: u8) -> ObjectRef {
    ObjectRef::new(Kind::ConfigMap, "default", format!("o{name}"))
}

impl World {
    fn feed(&mut self, input: Input) {
        match self.machine.feed(input) {
            Effect::None => {}
            Effect::Live => self.scope.live(),
            Effect::Lost(reason) => self.scope.lost(std::time::Instant::now(), reason),
            Effect::Replace(objects) => self.scope.replace(objects),
            Effect::Upsert(object) => self.scope.upsert(object),
            Effect::Remove(gone) => {
                self.scope
                    .remove(&gone.reference, &gone.uid, &gone.resource_version);
            }
        }
        self.check();
    }

    /// A reader sees a state the server had, and never an earlier one than it saw before.
    fn check(&mut self) {
        let snapshot = self.reader.snapshot();
        if !snapshot.scopes()[0].synced() {
            assert!(snapshot.entries().is_empty(), "half a list is visible");
            return;
        }
        let visible = visible(&self.reader);
        let at = self.server.states[self.seen..]
            .iter()
            .position(|state| *state == visible);
        self.seen += at.unwrap_or_else(|| {
            panic!(
                "{visible:?} is no state from {} on: {:?}",
                self.seen, self.server.states
            )
        });
    }

    /// Does what the machine asks for next, or delivers one event of the open watch.
    fn proceed(&mut self) {
        match self.machine.next() {
            Step::Wait(_) => self.machine.waited(),
            Step::List { continue_token } => self.page(continue_token),
            Step::Watch { .. } if !self.watching => {
                self.watching = true;
                self.feed(Input::Opened);
            }
            Step::Watch { resource_version } => {
                let at: usize = resource_version.parse().unwrap();
                let Some((name, after)) = self.server.events.get(at).copied() else {
                    return;
                };
                let resource_version = (at + 1).to_string();
                self.feed(Input::Event(match after {
                    Some((value, version)) => {
                        let object = self.scope.freeze(raw(name, value, version));
                        Event::Applied {
                            object,
                            resource_version,
                        }
                    }
                    None => Event::Deleted(Gone {
                        reference: reference(name),
                        uid: "u".into(),
                        resource_version,
                    }),
                }));
            }
        }
    }

    fn page(&mut self, continue_token: Option<String>) {
        if continue_token.is_none() {
            self.listing = Some((self.server.states.len() - 1, 0));
        }
        let (state, sent) = self.listing.unwrap();
        let rest: Vec<_> = self.server.states[state].iter().skip(sent).collect();
        let items = rest
            .iter()
            .take(2)
            .map(|(name, (value, version))| self.scope.freeze(raw(**name, *value, *version)))
            .collect();
        let next = (rest.len() > 2).then(|| "more".to_owned());
        self.listing = Some((state, sent + 2));
        self.feed(Input::Page {
            items,
            next,
            resource_version: state.to_string(),
        });
    }

    fn disturb(&mut self, failure: Failure) {
        if matches!(self.machine.next(), Step::Wait(_)) {
            return;
        }
        self.watching = false;
        self.feed(Input::Failed {
            failure,
            lasted: Duration::ZERO,
        });
    }
}

fn visible(reader: &Reader) -> State {
    let snapshot = reader.snapshot();
    let number = |text: &str| text.parse::<u64>().unwrap();
    snapshot
        .entries()
        .iter()
        .map(|entry| {
            let object = &entry.object;
            let value = object
                .content()
                .get("v")
                .unwrap()
                .text()
                .unwrap()
                .to_owned();
            let name = object.reference().name[1..].parse().unwrap();
            (
                name,
                (value.parse().unwrap(), number(object.resource_version())),
            )
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_ends_on_the_servers_state_and_shows_whole_states_only(
        ops in proptest::collection::vec(op(), 1..120)
    ) {
        let (writer, reader) = store::new(1 << 20);
        let scope = writer.scope(ScopeSpec::declared(Selects::Selector {
            kind: Kind::ConfigMap, namespace: None, labels: "a=b".into(),
        }));
        let server = Server { states: vec![State::new()], events: vec![] };
        let mut world = World {
            server, machine: machine(), scope, reader, listing: None, watching: false, seen: 0,
        };
        for op in ops {
            match op {
                Op::Set { name, value } => world.server.set(name, Some(value)),
                Op::Delete { name } => world.server.set(name, None),
                Op::Proceed => world.proceed(),
                Op::Fail => world.disturb(other()),
                Op::Expire => world.disturb(Failure::Expired("gone".into())),
                Op::Undecodable => world.disturb(Failure::Undecodable("what?".into())),
                Op::Bookmark if world.watching => {
                    // A bookmark is sent once all events before it were.
                    if let Step::Watch { resource_version } = world.machine.next()
                        && resource_version == world.server.events.len().to_string()
                    {
                        world.feed(Input::Event(Event::Bookmark(resource_version)));
                    }
                }
                Op::Close { relist } if world.watching => {
                    world.watching = false;
                    world.feed(Input::Closed { lasted: HELD, relist });
                }
                Op::Bookmark | Op::Close { .. } => {}
            }
        }
        // Undisturbed, it catches up.
        for _ in 0..1_000 {
            world.proceed();
        }
        prop_assert_eq!(&visible(&world.reader), world.server.states.last().unwrap());
        prop_assert!(world.reader.snapshot().scopes()[0].contact().age().is_none());
    }
}
