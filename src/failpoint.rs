//! Places where a test ends attache as a crash would. Compiled into debug builds only.

/// Ends attache by SIGKILL, if a test asks for it here: the variable `FAILPOINT` is `NAME=FILE`,
/// and FILE exists, which goes first, so that the next attache survives. With `FIRST,NAME=FILE`
/// the place NAME counts only after FIRST, which renames FILE to `FILE.reached`.
#[cfg(debug_assertions)]
pub fn reach(name: &str) {
    let Ok(wanted) = std::env::var("FAILPOINT") else {
        return;
    };
    let Some((wanted, armed)) = wanted.split_once('=') else {
        return;
    };
    let mut armed = armed.to_owned();
    let wanted = match wanted.split_once(',') {
        Some((first, then)) => {
            let reached = format!("{armed}.reached");
            if first == name && std::fs::rename(&armed, &reached).is_ok() {
                return;
            }
            armed = reached;
            then
        }
        None => wanted,
    };
    if wanted == name && std::fs::remove_file(armed).is_ok() {
        let own = rustix::process::getpid();
        let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
    }
}

/// Does nothing in release builds.
#[cfg(not(debug_assertions))]
pub fn reach(_name: &str) {}
