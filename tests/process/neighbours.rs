//! What other processes of the same user see of attache.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, getuid, kill_process};

use super::{attache, eventually, example, output};

/// A user whom nothing is allowed that his files do not allow: as in a pod.
const USER: u32 = 65532;

/// Who this is: the tests' own user, or [`USER`] where that is root, who may look into everything.
fn as_user(command: &mut Command) -> u32 {
    if !getuid().is_root() {
        return getuid().as_raw();
    }
    command.uid(USER).gid(USER);
    USER
}

/// Killed with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}

/// Whether such a neighbour can read the environment and the files of a process.
fn sees(pid: u32) -> bool {
    let script = format!("cat /proc/{pid}/environ >/dev/null && ls /proc/{pid}/root/ >/dev/null");
    let mut neighbour = Command::new("sh");
    neighbour.args(["-c", &script]).stderr(Stdio::null());
    as_user(&mut neighbour);
    neighbour.status().unwrap().success()
}

fn owner(pid: u32) -> u32 {
    let file = format!("/proc/{pid}/environ");
    fs::metadata(Path::new(&file)).unwrap().uid()
}

fn open(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A copy of the binary that anyone may run, and a directory of manifests, which holds no programs.
fn for_anyone(dir: &Path) -> (PathBuf, PathBuf) {
    open(dir);
    let binary = dir.join("attache");
    fs::copy(env!("CARGO_BIN_EXE_attache"), &binary).unwrap();
    open(&binary);
    let manifests = dir.join("manifests");
    fs::create_dir(&manifests).unwrap();
    open(&manifests);
    fs::copy(dir.join("hello.yaml"), manifests.join("hello.yaml")).unwrap();
    (binary, manifests)
}

#[test]
fn a_neighbour_of_the_same_user_does_not_see_into_attache() {
    let dir = example();
    let (binary, manifests) = for_anyone(dir.path());

    let mut command = Command::new(&binary);
    command
        .args(["run", "--port=0", "-q", "--dir"])
        .arg(&manifests)
        .env_clear()
        .stdout(Stdio::piped());
    let user = as_user(&mut command);
    let mut attache = Killed(command.spawn().unwrap());
    let mut line = String::new();
    let stdout = attache.0.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    assert!(line.starts_with("Starting to serve"), "{line}");
    assert_eq!(owner(attache.0.id()), 0);
    assert!(!sees(attache.0.id()));

    // The same of a program that does not hide, or the test would see nothing either way.
    let mut command = Command::new("sleep");
    command.arg("60");
    as_user(&mut command);
    let other = Killed(command.spawn().unwrap());
    eventually("it runs", || owner(other.0.id()) == user);
    eventually("it is seen", || sees(other.0.id()));
}

/// Two containers of a pod run the same program, each as a user of its own.
#[test]
fn a_process_of_another_user_has_nobody_told_twice() {
    if !getuid().is_root() {
        // Nobody else may become another user.
        return;
    }
    let dir = example();
    let (binary, manifests) = for_anyone(dir.path());
    let name = format!("twin-{}", std::process::id());
    let shell = dir.path().join(&name);
    fs::copy("/bin/sh", &shell).unwrap();
    open(&shell);
    let twin = |user: u32| {
        let home = dir.path().join(user.to_string());
        fs::create_dir(&home).unwrap();
        std::os::unix::fs::chown(&home, Some(user), Some(user)).unwrap();
        let script = "trap 'echo told >>told' HUP; : >told; while :; do sleep 0.05; done";
        let mut command = Command::new(&shell);
        command.args(["-c", script]).current_dir(&home);
        let twin = Killed(command.uid(user).gid(user).spawn().unwrap());
        let told = home.join("told");
        eventually("it is up", || told.exists());
        (twin, told)
    };
    let (_own, told) = twin(USER);
    let (_other, other_told) = twin(USER + 1);
    let log = dir.path().join("log");
    let rule = format!("{{signal: {{process: {name}, signal: HUP}}, splay: 0s, minInterval: 0s}}");
    let mut command = Command::new(&binary);
    command
        .args(["run", "--port=0", "--on-change", &rule, "--dir"])
        .arg(&manifests)
        .env_clear()
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).unwrap());
    as_user(&mut command);
    let _attache = Killed(command.spawn().unwrap());
    let logged = |text: &str| fs::read_to_string(&log).unwrap().matches(text).count();
    eventually("it is ready", || logged("sources: ready") == 1);
    for change in 1..=2 {
        let manifest = manifests.join("hello.yaml");
        let text = fs::read_to_string(&manifest).unwrap();
        fs::write(&manifest, text.replace("GREETING: ", "GREETING: very ")).unwrap();
        eventually("the rule has run", || logged("sent SIGHUP to") == change);
        assert_eq!(logged("left alone: "), change);
        let lines = || fs::read_to_string(&told).unwrap().lines().count();
        eventually("it was told", || lines() == change);
    }
    assert_eq!(
        logged("WARN") + logged("ERROR"),
        0,
        "{}",
        fs::read_to_string(&log).unwrap()
    );
    assert_eq!(fs::read_to_string(&other_told).unwrap(), "");
}

/// As `kubectl exec` does it: the same environment, and the same user, who is not root.
#[test]
fn the_doctor_looks_at_an_attache_that_hides() {
    let dir = example();
    let script = r#"mkfifo said
        "$0" run >said &
        read -r line <said
        "$0" doctor"#;
    let mut alone = Command::new("unshare");
    // No other test's attache is found in there.
    alone.args(["--user", "--map-user=65532", "--map-group=65532"]);
    alone.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    alone
        .args(["sh", "-c", script])
        .arg(attache(&[]).get_program());
    let manifests = dir.path().join("manifests");
    fs::create_dir(&manifests).unwrap();
    fs::rename(dir.path().join("hello.yaml"), manifests.join("hello.yaml")).unwrap();
    alone.env_clear().current_dir(dir.path());
    alone.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    alone
        .env("ATTACHE_PORT", "0")
        .env("ATTACHE_DIR", &manifests);
    let (code, out, errors) = output(alone);
    let out = String::from_utf8(out).unwrap();
    assert_eq!(code, 0, "{out}{errors}");
    for line in [
        "ok: attache runs here, as PID ",
        "note: the environment of PID ",
        // So says the environment, and that there is no API server.
        "note: --port=0 takes a free port",
        "2 notes, 1 ok",
    ] {
        assert!(out.contains(line), "{line} in {out}");
    }
}
