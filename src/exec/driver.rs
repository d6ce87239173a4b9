//! Brings content, time, signals and the command together.

use std::future::pending;
use std::process::ExitStatus;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, info, warn};

use super::env::Variables;
use super::plan::{Plan, Step};
use super::program::{Program, Running, exit_code};
use super::sources::Sources;
use super::{Ended, ExecError, Inputs, signals};
use crate::config::{Exec, Reload, Signal};
use crate::metrics::{Action, Metrics};
use crate::status::{ActionNote, Board};

/// What is wrong with the command stands under this on the board.
const SUBJECT: &str = "exec";

/// The command, and all that decides about it.
pub(super) struct Driver {
    program: Program,
    sources: Sources,
    plan: Plan<Arc<Variables>>,
    running: Option<Running>,
    reload: Reload,
    stop_signal: Signal,
    board: Board,
    metrics: Metrics,
    /// A restart that is under way.
    restart: Option<Restart>,
    /// The version of the snapshot that was taken over.
    observed: u64,
    /// Whether the command was started once.
    started: bool,
    /// Whether the newest environment is too large to be used.
    too_large: bool,
}

struct Restart {
    began: Instant,
    objects: Vec<String>,
}

/// Steps lead to another, or to the end.
type Outcome = Result<Option<Ended>, ExecError>;

// === impl Driver ===

impl Driver {
    /// `sources` have what the command is to be started with.
    pub(super) fn new(exec: Exec, program: Program, sources: Sources, inputs: &Inputs) -> Self {
        let wanted = Arc::new(sources.wanted());
        Self {
            plan: Plan::new(&exec, inputs.settle, wanted, Instant::now()),
            program,
            sources,
            running: None,
            reload: exec.reload,
            stop_signal: exec.stop_signal,
            board: inputs.board.clone(),
            metrics: inputs.metrics.clone(),
            restart: None,
            observed: 0,
            started: false,
            too_large: false,
        }
    }

    /// Starts the command, and runs it until it ends for good.
    pub(super) async fn run(mut self, inputs: Inputs) -> Result<Ended, ExecError> {
        let Inputs {
            mut reader,
            mut signals,
            mut shutdown,
            ..
        } = inputs;
        let (mut open, mut asked) = (true, false);
        let mut step = Some(Step::Start);
        loop {
            while let Some(next) = step.take() {
                if let Some(ended) = self.take(next)? {
                    return Ok(ended);
                }
                step = self.plan.advance(Instant::now());
            }
            let deadline = self.plan.deadline();
            step = tokio::select! {
                status = ended(&mut self.running) => self.ended(status),
                signal = signals.next() => self.signalled(&signal),
                () = shutdown.requested(), if !asked => {
                    asked = true;
                    self.signalled(&signals::term())
                }
                snapshot = reader.changed(), if open => {
                    open = snapshot.is_some();
                    None
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => None,
            };
            // Whatever woke the task, it acts upon the newest state.
            let snapshot = reader.snapshot();
            if snapshot.version() != self.observed {
                self.observed = snapshot.version();
                self.sources.observe(&snapshot);
                self.want();
                self.sources.post(&self.board);
            }
            if step.is_none() {
                step = self.plan.advance(Instant::now());
            }
        }
    }

    /// Takes over what the environment is now to be, unless no program could be started with it:
    /// then the one that runs goes on as it is.
    fn want(&mut self) {
        let wanted = Arc::new(self.sources.wanted());
        let room = self.program.room(&wanted);
        let problem = room.is_none().then(|| {
            "the environment became too large to start a program with, so the command goes on with \
             the older one: make its objects smaller, or have them written as files"
                .to_owned()
        });
        if let Some(error) = problem.as_ref().filter(|_| !self.too_large) {
            error!(%error, "the command is not restarted");
        }
        self.too_large = problem.is_some();
        self.board.problem("exec environment", problem);
        if !self.too_large {
            self.plan.want(Instant::now(), wanted);
        }
    }

    fn take(&mut self, step: Step) -> Outcome {
        match step {
            Step::Start => return self.start().map(|()| None),
            Step::Stop => self.stop(),
            Step::Kill => self.kill(),
            Step::Signal => self.tell(),
            Step::Note => self.note(),
            Step::End(code) => return Ok(Some(Ended { code })),
        }
        Ok(None)
    }

    fn start(&mut self) -> Result<(), ExecError> {
        let wanted = Arc::clone(self.plan.wanted());
        let running = match self.program.start(&wanted) {
            Ok(running) => running,
            Err(error) => return self.not_started(error),
        };
        let pid = running.id();
        info!(
            pid,
            variables = wanted.len(),
            "the command runs, with variables from its objects"
        );
        self.running = Some(running);
        self.started = true;
        self.plan.started(Instant::now());
        self.sources.given();
        self.board.problem(SUBJECT, None);
        self.sources.post(&self.board);
        if let Some(Restart { began, objects }) = self.restart.take() {
            let seconds = began.elapsed().as_secs_f64();
            let detail = format!("the command runs anew as PID {pid}");
            self.record("restart", objects, "ok", detail, seconds);
        }
        Ok(())
    }

    fn not_started(&mut self, error: ExecError) -> Result<(), ExecError> {
        let code = error.exit_code();
        if !self.started || self.plan.not_started(Instant::now(), code).is_some() {
            return Err(error);
        }
        error!(%error, "the command was not started; attache tries again");
        self.board.problem(SUBJECT, Some(error.to_string()));
        Ok(())
    }

    fn stop(&mut self) {
        let Some(running) = &self.running else { return };
        let (pid, signal) = (running.id(), &*self.stop_signal.name);
        if self.plan.has() != self.plan.wanted() && self.plan.restarts() {
            self.tell_changes("the environment changed; the command is started anew");
            self.restart = Some(Restart {
                began: Instant::now(),
                objects: self.sources.changed(),
            });
        }
        info!(pid, signal, "stopping the command");
        if let Err(error) = running.stop(&self.stop_signal) {
            warn!(pid, signal, %error, "cannot signal the command; it is killed in the end");
        }
    }

    fn kill(&self) {
        let Some(running) = &self.running else { return };
        let pid = running.id();
        warn!(pid, "the command did not end in time: killing it");
        if let Err(error) = running.kill() {
            error!(pid, %error, "cannot kill the command; attache waits for its end");
        }
    }

    /// Tells the command that its environment would be another now.
    fn tell(&mut self) {
        let (Some(running), Reload::Signal(signal)) = (&self.running, &self.reload) else {
            return;
        };
        self.tell_changes("the environment changed; the command is told by a signal");
        let objects = self.sources.changed();
        let pid = running.id();
        let failure = if !running.survives(signal) {
            Some(format!(
                "the command (PID {pid}) does not catch {}, which would end it: name a signal upon which it reloads in --reload, or use --reload restart",
                signal.name
            ))
        } else {
            let sent = running.signal(signal).err();
            sent.map(|error| format!("cannot send {} to PID {pid}: {error}", signal.name))
        };
        let (name, now) = (&*signal.name, Instant::now());
        let outcome = match &failure {
            None => {
                info!(
                    pid,
                    signal = name,
                    ?objects,
                    "the command was told of a change"
                );
                self.plan.told(now);
                "ok"
            }
            Some(error) if self.plan.not_told(now) => {
                warn!(%error, "the command was not told of a change; it is tried again");
                "retrying"
            }
            Some(error) => {
                error!(%error, "the command was not told of a change; the next one is tried");
                "failed"
            }
        };
        if outcome != "retrying" {
            self.sources.given();
        }
        self.board.problem(SUBJECT, failure.clone());
        let detail = failure.unwrap_or_else(|| format!("sent {name} to PID {pid}"));
        self.record("signal", objects, outcome, detail, 0.0);
    }

    /// Says whether the command runs with what there is.
    fn note(&self) {
        let behind = self.plan.has() != self.plan.wanted();
        if behind {
            self.tell_changes("the environment changed; the command is left as it is");
        }
        let problem = behind.then(|| {
            format!(
                "the command runs with older content of {}: restart it to use the newer",
                self.sources.changed().join(", ")
            )
        });
        self.board.problem(SUBJECT, problem);
    }

    /// Logs the names that differ.
    fn tell_changes(&self, what: &'static str) {
        let difference = self.plan.has().difference(self.plan.wanted());
        info!(
            objects = ?self.sources.changed(),
            added = ?difference.added,
            changed = ?difference.changed,
            removed = ?difference.removed,
            "{what}"
        );
    }

    fn record(
        &self,
        action: &'static str,
        objects: Vec<String>,
        outcome: &'static str,
        detail: String,
        seconds: f64,
    ) {
        let labels = Action {
            kind: SUBJECT,
            result: outcome,
        };
        self.metrics.actions.get_or_create(&labels).inc();
        self.metrics.action_duration.observe(seconds);
        self.board.action(ActionNote {
            time: Timestamp::now(),
            rule: SUBJECT.to_owned(),
            action,
            objects,
            outcome,
            detail,
            attempt: 1,
            seconds,
        });
    }

    /// The command has ended.
    fn ended(&mut self, status: ExitStatus) -> Option<Step> {
        let pid = self.running.take().map(|running| running.id());
        info!(pid, %status, "the command ended");
        let now = Instant::now();
        let step = self.plan.ended(now, exit_code(status));
        if step.is_none() {
            let wait = self.plan.deadline().map(|at| at.duration_since(now));
            let wait = wait.unwrap_or_default().as_secs_f64();
            let problem = format!("the command ended ({status}); it is started again in {wait} s");
            warn!(%status, seconds = wait, "the command ended by itself; it is started again");
            self.board.problem(SUBJECT, Some(problem));
        }
        step
    }

    /// attache got a signal.
    fn signalled(&mut self, signal: &Signal) -> Option<Step> {
        let name = &*signal.name;
        let end = name == "TERM" || (self.running.is_none() && signals::ends(signal));
        if end {
            info!(
                signal = name,
                "asked to stop; a second TERM kills the command"
            );
            return self.plan.end(Instant::now(), Ended::by(signal).code);
        }
        let running = self.running.as_ref()?;
        if matches!(name, "INT" | "QUIT" | "WINCH") && running.shares_terminal() {
            debug!(signal = name, "the terminal sent this to the command, too");
            return None;
        }
        debug!(
            signal = name,
            pid = running.id(),
            "passed on to the command"
        );
        if let Err(error) = running.signal(signal) {
            warn!(signal = name, %error, "cannot pass a signal on to the command");
        }
        None
    }
}

/// Waits for the end of what runs.
async fn ended(running: &mut Option<Running>) -> ExitStatus {
    match running {
        Some(running) => running.ended().await,
        None => pending().await,
    }
}
