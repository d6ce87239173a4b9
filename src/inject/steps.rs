//! An injection, step by step.

use std::collections::BTreeMap;

use super::record::{self, Record};
use super::work::{Task, Work};
use super::{Injection, files, paths, refusal, sidecar, token, user, warnings, wrapped};
use crate::config::Faults;

/// The pod with its sidecar, and what is noted about it; `write` are annotations to write onto it.
///
/// # Errors
/// What keeps annotations from being fulfilled in this pod.
pub(super) fn take(
    task: &Task<'_>,
    write: &BTreeMap<String, String>,
) -> Result<(Injection, Record), Faults> {
    let mut work = Work::new(task);
    record::write(&mut work.editor, task.base, write);
    refusal::check_rules(task.asked, task.platform, &mut work.faults);
    work.check_containers();
    work.directories();
    files::add(&mut work);
    token::add(&mut work);
    paths::add(&mut work);
    warnings::add(&mut work);
    if let Some(container) = &task.asked.exec_container {
        wrapped::add(&mut work, container);
    } else {
        let user = user::add(&mut work);
        sidecar::add(&mut work, user);
    }
    work.endpoint();
    if !work.faults.is_empty() {
        return Err(work.faults);
    }
    let (pod, record) = Record::note(work.editor, task.version);
    let warnings = work.warnings;
    Ok((Injection { pod, warnings }, record))
}
