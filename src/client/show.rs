//! What `attache watch` does with a state: prints it, or runs a command.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch::Receiver;

use super::Failure;
use super::command::Runner;
use super::model::Shown;
use super::subject::{Say, Subject};

/// The newest state; `None` while there is nothing to show.
pub(super) type Newest = Option<Arc<Shown>>;

/// Where states go.
pub(super) enum Show<'a, W> {
    /// To this output, each with a line's end.
    Print(Arc<Mutex<W>>),
    /// To a command's standard input.
    Run(Runner<'a>),
}

// === impl Show ===

impl<W: Write + Send + 'static> Show<'_, W> {
    /// Shows one state after another, always the newest, until no more come or nobody reads.
    ///
    /// # Errors
    /// The output fails. A command that does is told, and no more.
    pub(super) async fn follow(
        self,
        subject: &Subject<'_>,
        mut newest: Receiver<Newest>,
        say: Say<'_>,
    ) -> Result<(), Failure> {
        let mut exists = None;
        while newest.changed().await.is_ok() {
            let state = newest.borrow_and_update().clone();
            let existed = exists.replace(state.is_some());
            let Some(shown) = state else {
                match existed {
                    None => say(&format!("{subject} does not exist yet: waiting for it")),
                    Some(true) => say(&format!("{subject} does not exist any more")),
                    Some(false) => {}
                }
                continue;
            };
            match &self {
                Self::Run(runner) => {
                    if let Err(failed) = runner.run(&shown).await {
                        say(&format!(
                            "{failed}; the next change of {subject} runs it again"
                        ));
                    }
                }
                Self::Print(out) => match print(Arc::clone(out), shown).await {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                    printed => printed?,
                },
            }
        }
        Ok(())
    }
}

/// Where it may block: whoever reads slowly must not hold up a signal.
async fn print<W: Write + Send + 'static>(out: Arc<Mutex<W>>, shown: Arc<Shown>) -> io::Result<()> {
    let printing = tokio::task::spawn_blocking(move || {
        let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(&shown.value)?;
        out.write_all(b"\n")?;
        out.flush()
    });
    printing.await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests;
