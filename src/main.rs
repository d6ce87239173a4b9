//! The `attache` binary: reads its command line and maps errors to exit codes.
//!
//! 0: done; 1: failed; 2: `get`, `watch`, `set` or `unset` could not reach the
//! sidecar; 64: wrong flags or files (EX_USAGE
//! of sysexits.h). `exec` exits as its command did, with 128+n if signal n ended it, 126 if it
//! cannot be executed, 127 if there is none.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use attache::app::Fatal;
use attache::cli::{self, Parsed};
use attache::config::{self, Config, Job, LogFormat};
use attache::{app, telemetry};

/// Wrong flags or files.
const USAGE: u8 = 64;

/// The most threads that read files and run exec plugins: each holds memory for some seconds after.
const BLOCKING_THREADS: usize = 16;

/// After so many steps of tasks that always have more to do, such as large bodies, the runtime looks
/// for new requests: at the usual 61 a read would wait for some MiB.
const EVENT_INTERVAL: u32 = 8;

fn main() -> ExitCode {
    let (command, faults) = match cli::parse(std::env::args_os(), std::env::vars_os()) {
        Parsed::Text(text) => return print(text.as_bytes()),
        Parsed::Command { command, faults } => (command, faults),
    };
    match config::load(command, faults) {
        Ok(job) => start(job),
        Err(faults) => {
            tell(&faults);
            ExitCode::from(USAGE)
        }
    }
}

/// Does the job on a runtime of one thread.
fn start(job: Job) -> ExitCode {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder
        .max_blocking_threads(BLOCKING_THREADS)
        .event_interval(EVENT_INTERVAL);
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &error),
    };
    let code = perform(&runtime, job);
    // What may still block (an exec plugin, a name server) is not waited for.
    runtime.shutdown_background();
    code
}

fn perform(runtime: &tokio::runtime::Runtime, job: Job) -> ExitCode {
    let mut say = |text: &str| tell(&format_args!("attache: {text}"));
    let failed = match job {
        Job::Run(config) => return run(runtime, *config),
        Job::Check(text) => return print(text.as_bytes()),
        Job::Completions(shell) => return print(&cli::completions(shell)),
        Job::Get(get) => runtime.block_on(app::get(&get, &mut Output::new())).err(),
        Job::Watch(watch) => runtime
            .block_on(app::watch(&watch, io::stdout(), &say))
            .err(),
        Job::Set(set) => runtime
            .block_on(app::set(&set, &mut io::stdin().lock()))
            .err(),
        Job::Unset(unset) => runtime.block_on(app::unset(&unset)).err(),
        Job::Install(dir) => app::install(&dir).err(),
        Job::Inject(inject) => {
            let (stdin, stdout) = (&mut io::stdin().lock(), &mut Output::new());
            return ended(runtime.block_on(app::inject(&inject, stdin, stdout, &mut say)));
        }
        Job::Uninject(uninject) => {
            let (stdin, stdout) = (&mut io::stdin().lock(), &mut Output::new());
            return ended(app::uninject(&uninject, stdin, stdout, &mut say));
        }
        Job::Webhook(webhook) => {
            let json = webhook.log.format == LogFormat::Json;
            if let Err(error) = telemetry::init(webhook.log.verbosity, json) {
                return fail(USAGE, &error);
            }
            return ended(runtime.block_on(app::webhook(*webhook)));
        }
        Job::Doctor(doctor) => {
            return match runtime.block_on(app::doctor(&doctor, &mut Output::new())) {
                Ok(severity) => ExitCode::from(severity.exit_code()),
                Err(error) => fail(1, &error),
            };
        }
        Job::Healthcheck(healthcheck) => {
            // A probe knows healthy and not healthy, and no more.
            return match runtime.block_on(app::healthcheck(&healthcheck)) {
                Ok(()) => ExitCode::SUCCESS,
                Err(failure) => fail(1, &failure),
            };
        }
    };
    failed.map_or(ExitCode::SUCCESS, |failure| {
        fail(failure.exit_code(), &failure)
    })
}

fn run(runtime: &tokio::runtime::Runtime, config: Config) -> ExitCode {
    let json = config.log.format == LogFormat::Json;
    if let Err(error) = telemetry::init(config.log.verbosity, json) {
        return fail(USAGE, &error);
    }
    match runtime.block_on(app::run(config)) {
        Ok(code) => ExitCode::from(code),
        Err(fatal) => died(fatal),
    }
}

fn ended(result: Result<(), Fatal>) -> ExitCode {
    result.map_or_else(died, |()| ExitCode::SUCCESS)
}

fn died(fatal: Fatal) -> ExitCode {
    match fatal {
        error @ Fatal::Configuration(_) => fail(USAGE, &error),
        Fatal::Command(error) => fail(error.exit_code(), &error),
        // With its causes, on one line.
        error @ Fatal::Other(_) => fail(1, &error),
    }
}

fn fail(code: u8, error: &dyn Display) -> ExitCode {
    tell(&format_args!("attache: {error}"));
    ExitCode::from(code)
}

fn print(text: &[u8]) -> ExitCode {
    let mut out = Output::new();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) => fail(1, &error),
        Ok(()) => ExitCode::SUCCESS,
    }
}

/// Standard output. A reader that has gone away (`| head`) has what it wanted: that is no failure, and
/// the rest goes nowhere.
struct Output(io::StdoutLock<'static>);

// === impl Output ===

impl Output {
    fn new() -> Self {
        Self(io::stdout().lock())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        unless_closed(self.0.write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        unless_closed(self.0.flush(), ())
    }
}

fn unless_closed<T>(written: io::Result<T>, dropped: T) -> io::Result<T> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(dropped),
        written => written,
    }
}

/// To stderr, where a reader that has gone away is not worth a panic.
fn tell(text: &dyn Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
