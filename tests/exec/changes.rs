//! What a change of an object does to the command.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rustix::process::Signal;

use crate::support::{Run, World, eventually, exists};

/// Says when it starts and when it ends, and takes its time for the latter.
const RECORDS: &str = r#"
trap 'for i in 1 2 3; do echo stopping >> $DIR/log; done; echo "end $V" >> $DIR/log; exit 0' TERM
echo "start $V" >> $DIR/log
while :; do read -r line; done
"#;

fn starts(world: &World) -> Vec<String> {
    let lines = world.lines("log").into_iter();
    lines.filter(|line| line.starts_with("start")).collect()
}

fn wait_for_start(world: &World, value: &str) {
    let line = format!("start {value}");
    eventually(&line, || starts(world).last() == Some(&line));
}

#[test]
fn a_change_starts_the_command_anew_and_never_two_run_at_once() {
    let world = World::new();
    world.config_map("web", &[("V", "0")]);
    let mut run = world.run(&["--env-from=web"], RECORDS);
    for value in 0..20 {
        let value = value.to_string();
        world.config_map("web", &[("V", &value)]);
        wait_for_start(&world, &value);
    }
    assert_eq!(run.stop(), Some(0), "{}", run.log());
    let mut running = None;
    for line in world.lines("log") {
        match line.split_once(' ') {
            Some(("start", value)) => assert_eq!(running.replace(value.to_owned()), None),
            Some(("end", value)) => assert_eq!(running.take().as_deref(), Some(value)),
            _ => assert!(running.is_some(), "{line}"),
        }
    }
    assert_eq!(starts(&world).len(), 20);
    assert_eq!(
        run.logged("the command is started anew"),
        19,
        "{}",
        run.log()
    );
}

#[test]
fn nothing_that_the_command_started_runs_beside_its_successor() {
    let world = World::new();
    world.config_map("web", &[("V", "0")]);
    let script = r#"
bash -c "trap '' TERM"'; echo $$ > $DIR/child$V; while :; do read -r line; done' < /dev/zero &
while [ ! -s $DIR/child$V ]; do :; done
echo "start $V" >> $DIR/log
wait
"#;
    let mut run = world.run(&["--env-from=web"], script);
    wait_for_start(&world, "0");
    let left = world.lines("child0").remove(0);
    assert!(exists(&left));
    world.config_map("web", &[("V", "1")]);
    wait_for_start(&world, "1");
    eventually("what was left is gone", || !exists(&left));
    let left = world.lines("child1").remove(0);
    assert_eq!(run.stop(), Some(143));
    eventually("what was left is gone", || !exists(&left));
}

#[test]
fn what_changes_no_variable_does_nothing() {
    let world = World::new();
    let data = [("V", "0"), ("1st", "no variable")];
    world.config_map("web", &data);
    world.config_map("mark", &[("MARK", "0")]);
    let run = world.run(&["--env-from=web", "--env-from=mark"], RECORDS);
    wait_for_start(&world, "0");
    // Another change comes after each that is none, so that it is known to have been seen.
    let mut count = 1;
    let mut mark = || {
        world.config_map("mark", &[("MARK", &count.to_string())]);
        count += 1;
        eventually("one more start", || starts(&world).len() >= count);
        assert_eq!(starts(&world).len(), count, "{}", run.log());
    };
    world.annotated("web", ", labels: {a: b}", &data);
    mark();
    std::fs::remove_file(world.manifests().join("web.yaml")).unwrap();
    mark();
    world.config_map("web", &data);
    mark();
    world.config_map("web", &[("V", "0"), ("1st", "changed")]);
    mark();
    let log = world.lines("log");
    assert!(log.iter().all(|line| line != "start "), "{log:?}");
}

#[test]
fn a_burst_that_is_undone_does_nothing() {
    let world = World::new();
    world.config_map("web", &[("V", "0")]);
    world.config_map("mark", &[("MARK", "0")]);
    let flags = ["--settle=3s:30s", "--env-from=web", "--env-from=mark"];
    let run = world.run(&flags, RECORDS);
    wait_for_start(&world, "0");
    for (seen, value) in ["1", "2", "0"].into_iter().enumerate() {
        world.config_map("web", &[("V", value)]);
        let change = "object=ConfigMap default/web";
        eventually("the change", || run.logged(change) == seen + 1);
    }
    world.config_map("mark", &[("MARK", "1")]);
    eventually("one more start", || starts(&world).len() >= 2);
    assert_eq!(starts(&world), ["start 0", "start 0"]);
    let restart = r#"the command is started anew objects=["ConfigMap default/mark"]"#;
    assert_eq!(run.logged(restart), 1, "{}", run.log());
}

#[test]
fn a_pause_holds_changes_and_its_end_acts_once() {
    let world = World::new();
    world.config_map("web", &[("V", "0")]);
    world.config_map("mark", &[("MARK", "0")]);
    let run = world.run(&["--env-from=web", "--env-from=mark"], RECORDS);
    wait_for_start(&world, "0");
    let paused = r#", annotations: {attache.dev/pause: "true"}"#;
    for value in ["1", "2"] {
        world.annotated("web", paused, &[("V", value)]);
    }
    world.config_map("mark", &[("MARK", "1")]);
    eventually("a start for another reason", || starts(&world).len() == 2);
    assert_eq!(starts(&world), ["start 0", "start 0"], "{}", run.log());
    world.config_map("web", &[("V", "2")]);
    wait_for_start(&world, "2");
    assert_eq!(starts(&world).len(), 3);
}

#[test]
fn a_change_during_the_stop_is_what_it_is_started_with() {
    let world = World::new();
    world.config_map("web", &[("V", "0")]);
    let script = r#"
trap 'echo stopping >> $DIR/log; while [ ! -e $DIR/go ]; do :; done; exit 0' TERM
echo "start $V" >> $DIR/log
while :; do read -r line; done
"#;
    let run = world.run(&["--env-from=web", "-v"], script);
    wait_for_start(&world, "0");
    world.config_map("web", &[("V", "1")]);
    eventually("it stops", || {
        world.lines("log").contains(&"stopping".into())
    });
    world.config_map("web", &[("V", "2")]);
    // It is known to have been seen once the warning of another key is logged.
    world.config_map("web", &[("V", "2"), ("2nd", "")]);
    run.wait_for_log("skipped");
    std::fs::write(world.file("go"), "").unwrap();
    wait_for_start(&world, "2");
    assert_eq!(starts(&world).len(), 2);
}

#[test]
fn a_signal_tells_the_command_that_catches_it() {
    let world = World::new();
    world.config_map("web", &[("V", "0")]);
    let script = r#"
trap 'echo hup >> $DIR/hups' HUP
echo "start $V" >> $DIR/log
while :; do read -r line; done
"#;
    let mut run = world.run(&["--env-from=web", "--reload=signal=HUP"], script);
    wait_for_start(&world, "0");
    for count in 1..=3 {
        world.config_map("web", &[("V", &count.to_string())]);
        eventually("told", || world.lines("hups").len() == count);
    }
    assert!(run.is_running());
    assert_eq!(starts(&world).len(), 1);
}

#[test]
fn a_signal_that_would_end_the_command_is_not_sent() {
    let world = World::new();
    world.config_map("web", &[("V", "0")]);
    let mut run = world.run(&["--env-from=web", "--reload=signal=USR1"], RECORDS);
    wait_for_start(&world, "0");
    world.config_map("web", &[("V", "1")]);
    run.wait_for_log("does not catch USR1");
    assert_eq!(run.stop(), Some(0), "{}", run.log());
}

#[test]
fn without_reload_the_command_is_left_alone() {
    let world = World::new();
    world.config_map("web", &[("V", "0")]);
    let mut run = world.run(&["--env-from=web", "--reload=none"], RECORDS);
    wait_for_start(&world, "0");
    world.config_map("web", &[("V", "1")]);
    run.wait_for_log("the command is left as it is");
    assert_eq!(run.stop(), Some(0));
    assert_eq!(starts(&world), ["start 0"]);
}

#[test]
fn kept_it_is_started_again() {
    let world = World::new();
    world.config_map("web", &[("V", "0")]);
    let script = r#"echo "start $V" >> $DIR/log; exit 4"#;
    let mut run = world.run(&["--env-from=web", "--keep"], script);
    wait_for_start(&world, "0");
    world.config_map("web", &[("V", "1")]);
    wait_for_start(&world, "1");
    assert!(run.is_running());
    run.wait_for_log("exit status: 4");
    let ends = run.stop();
    // Between two starts there is no command whose status could be passed on.
    assert!(matches!(ends, Some(143 | 4)), "{ends:?}");
}

/// A server that knows nothing of attache.
fn server() -> [&'static str; 3] {
    let node = "const server = require('http').createServer((_, answer) => answer.end(process.env.GREETING));
server.listen(0, '127.0.0.1', () => {
  const fs = require('fs');
  fs.writeFileSync(process.env.DIR + '/port.new', String(server.address().port));
  fs.renameSync(process.env.DIR + '/port.new', process.env.DIR + '/port');
});";
    let python = "import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ['GREETING'].encode())
server = http.server.HTTPServer(('127.0.0.1', 0), Handler)
path = os.environ['DIR'] + '/port'
open(path + '.new', 'w').write(str(server.server_port))
os.rename(path + '.new', path)
server.serve_forever()";
    let has_node = std::process::Command::new("node").arg("--version").output();
    match has_node.is_ok_and(|node| node.status.success()) {
        true => ["node", "-e", node],
        false => ["python3", "-c", python],
    }
}

#[test]
fn a_server_that_knows_nothing_of_attache_has_the_new_environment() {
    let world = World::new();
    world.config_map("web", &[("GREETING", "hello")]);
    let mut run = Run::start(world.exec(&["--env-from=web"], &server()));
    let greets = |greeting: &str| {
        let [port] = &world.lines("port")[..] else {
            return false;
        };
        let address = ("127.0.0.1", port.parse().unwrap());
        let Ok(mut stream) = TcpStream::connect(address) else {
            return false;
        };
        let mut answer = String::new();
        let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let asked = stream.write_all(request);
        asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.contains(greeting)
    };
    eventually("the first greeting", || greets("hello"));
    world.config_map("web", &[("GREETING", "good evening")]);
    eventually("the second greeting", || greets("good evening"));
    run.signal(Signal::TERM);
    run.end();
}
