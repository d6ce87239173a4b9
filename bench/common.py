"""What the benchmarks share: the build, a control plane, attache, and a table."""

import contextlib
import http.client
import json
import os
import pathlib
import random
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CORES = sorted(os.sched_getaffinity(0))
# The server under test has a core of its own; the load and the control plane share the other.
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(*command, **options):
    """Runs a command and returns its standard output; a failure ends the benchmark."""
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, **options).stdout.strip()


def tool(name, package):
    """The path of a program, installed from Debian's package where it is missing; None if that fails."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path or not shutil.which("apt-get"):
        return path
    root = [] if os.getuid() == 0 else ["sudo"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*root, "apt-get", "-qq", "update"], check=False, **quiet)
    install = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "install", "-y", "--no-install-recommends"]
    subprocess.run([*install, package], check=False, **quiet)
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def attache_binary():
    """The release binary: $ATTACHE, or built as it is shipped."""
    return os.environ.get("ATTACHE") or run(str(ROOT / "bench/build"))


def kube_assets():
    return run(str(ROOT / "scripts/kube-assets"))


def free_port():
    """A port below the kernel's range for outgoing connections."""
    while True:
        port = random.randrange(15000, 32000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def until(what, condition, limit=120.0, pace=0.05):
    """Asks until the condition holds."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"not within {limit} s: {what}")
        time.sleep(pace)


def get(port, path, host="127.0.0.1"):
    """Status and body of one GET on a connection of its own; (0, b"") if nobody answers."""
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


@contextlib.contextmanager
def process(*command, core=None, **options):
    """A process that ends with the block; SIGTERM first."""
    pin = ["taskset", "-c", str(core)] if core is not None else []
    child = subprocess.Popen([*pin, *map(str, command)], **options)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


class ControlPlane:
    """etcd and kube-apiserver by scripts/control-plane, and a connection to it."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="control-plane-"))
        self.env = dict(os.environ, KUBEBUILDER_ASSETS=kube_assets())
        self.kubectl = pathlib.Path(self.env["KUBEBUILDER_ASSETS"], "kubectl")
        self.script("init")
        self.kubeconfig = self.dir / "admin.kubeconfig"
        self.address = (self.dir / "url").read_text().strip().removeprefix("https://").split(":")
        self.connection = None

    def __enter__(self):
        self.etcd = self.hold("etcd", "--remove")
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        self.etcd.stdin.close()
        self.etcd.wait()

    def script(self, command, *args):
        run(str(ROOT / "scripts/control-plane"), command, str(self.dir), *args)

    def hold(self, *command):
        script = [ROOT / "scripts/control-plane", command[0], self.dir, *command[1:]]
        return subprocess.Popen(["taskset", "-c", str(LOAD_CORE), *script], stdin=subprocess.PIPE, env=self.env)

    def start(self):
        """Starts the API server on the data there is."""
        self.apiserver = self.hold("apiserver")
        until("the API server is ready", self.ready)

    def stop(self):
        self.apiserver.stdin.close()
        self.apiserver.wait()

    def ready(self):
        try:
            return all(self.ask("GET", path)[0] == 200 for path in ("/readyz", "/api/v1/namespaces/default"))
        except OSError:
            return False

    def ask(self, method, path, body=None, kind="application/json"):
        """One request on the kept connection: status and body."""
        for last in (False, True):
            if self.connection is None:
                context = ssl.create_default_context(cafile=str(self.dir / "ca.crt"))
                context.load_cert_chain(self.dir / "admin.crt", self.dir / "admin.key")
                self.connection = http.client.HTTPSConnection(*self.address, context=context, timeout=60)
            try:
                self.connection.request(method, path, body, {"content-type": kind})
                if self.connection.sock:
                    self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                response = self.connection.getresponse()
                return response.status, response.read()
            except (OSError, http.client.HTTPException):
                self.connection.close()
                self.connection = None
                if last:
                    raise

    def create(self, name, data, labels=None):
        """Creates a ConfigMap in `default`."""
        body = {"metadata": {"name": name, "labels": labels or {}}, "data": data}
        status, answer = self.ask("POST", "/api/v1/namespaces/default/configmaps", json.dumps(body))
        if status != 201:
            sys.exit(f"creating {name}: {status} {answer!r}")

    def set(self, name, key, value):
        """Sets one key; returns when the API server has acknowledged it."""
        path = f"/api/v1/namespaces/default/configmaps/{name}"
        body = json.dumps({"data": {key: value}})
        status, answer = self.ask("PATCH", path, body, "application/merge-patch+json")
        if status != 200:
            sys.exit(f"patching {name}: {status} {answer!r}")

    def expire_watches(self):
        """Restarts the API server so that no watch can be resumed: all lists are read anew."""
        etcd = (self.dir / "etcd-url").read_text().strip()
        host, port = etcd.removeprefix("http://").split(":")

        def post(path, body):
            connection = http.client.HTTPConnection(host, int(port), timeout=60)
            connection.request("POST", path, json.dumps(body))
            return json.load(connection.getresponse())

        revision = post("/v3/kv/put", {"key": "YXR0YWNoZQ==", "value": ""})["header"]["revision"]
        post("/v3/kv/compaction", {"revision": revision, "physical": True})
        self.stop()
        self.start()


@contextlib.contextmanager
def attache(binary, plane, *args, core=None):
    """`attache run` against the control plane, ready; yields its port and pid."""
    port = free_port()
    command = [binary, "run", "--kubeconfig", plane.kubeconfig, "--port", port, "-q", *args]
    with process(*command, core=core) as child:
        until("attache is ready", lambda: get(port, "/-/ready")[0] == 200, pace=0.005)
        yield port, child.pid


def metric(port, name):
    """The sum over all labels of one metric of attache."""
    _, text = get(port, "/-/metrics")
    lines = [line for line in text.decode().splitlines() if line.split("{")[0].split(" ")[0] == name]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def memory(pid, field="VmRSS"):
    """A memory figure of /proc/PID/status in MiB."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    sys.exit(f"no {field} of process {pid}")


def percentile(values, share):
    """The smallest value that this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * share // 100) - 1)]


median = statistics.median


def table(title, head, rows):
    """Prints the one table."""
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    print(f"{title}\n")
    for row in [head, ["-" * width for width in widths], *rows]:
        print("| " + " | ".join(str(cell).ljust(width) for cell, width in zip(row, widths)) + " |")
