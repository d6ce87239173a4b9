//! Rules from a configuration, end to end: a change that the real API server takes, and what it does
//! to real programs, pods and files.

#[path = "actions/files.rs"]
mod files;
#[path = "actions/fleet.rs"]
mod fleet;
#[path = "actions/gunicorn.rs"]
mod gunicorn;
#[path = "actions/pause.rs"]
mod pause;
#[path = "actions/scene.rs"]
mod scene;
#[path = "actions/still.rs"]
mod still;

use std::path::Path;

use serde_json::Value;

/// Writes a configuration file, which may be JSON.
fn write_config(path: &Path, config: &Value) {
    std::fs::write(path, config.to_string()).unwrap();
}

/// The notes of actions in a status.
fn noted(status: &Value) -> &[Value] {
    status["actions"].as_array().unwrap()
}
