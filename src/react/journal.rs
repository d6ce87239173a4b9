//! The journal: every change of content that readers see, on the board, counted and logged.

use jiff::Timestamp;

use super::seen::Step;
use crate::metrics::Metrics;
use crate::status::{Board, ChangeNote};

/// Notes one change, unless readers see none.
pub(super) fn record(step: Step, board: &Board, metrics: &Metrics) {
    let Step {
        reference,
        resource_version,
        read,
        ..
    } = step;
    if read.is_empty() {
        return;
    }
    metrics.changes.inc();
    tracing::info!(
        object = %reference,
        resource_version,
        added = ?read.added,
        changed = ?read.changed,
        removed = ?read.removed,
        "the content changed; files and rules that these keys concern follow, unless something holds them"
    );
    board.change(ChangeNote {
        time: Timestamp::now(),
        kind: reference.kind.as_str(),
        namespace: reference.namespace.to_string(),
        name: reference.name.to_string(),
        resource_version,
        added: read.added,
        changed: read.changed,
        removed: read.removed,
    });
}
