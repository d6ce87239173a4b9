"""What the benchmarks share: the build, a control plane, attache and its peers, load, and a table."""

import contextlib
import http.client
import json
import os
import pathlib
import random
import re
import resource
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import typing

ROOT = pathlib.Path(__file__).resolve().parent.parent
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
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
    if path:
        return path
    install(package)
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def install(package):
    """Installs Debian's package, if this is a Debian machine that lets us."""
    if not shutil.which("apt-get"):
        return
    root = [] if os.getuid() == 0 else ["sudo"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*root, "apt-get", "-qq", "update"], check=False, **quiet)
    command = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "install", "-y", "--no-install-recommends"]
    subprocess.run([*command, package], check=False, **quiet)


def attache_binary():
    """The release binary: $ATTACHE, or built as it is shipped."""
    return os.environ.get("ATTACHE") or run(str(ROOT / "bench/build"))


def example(name):
    """One of the programs beside the scripts, built with the release's profile."""
    say(f"building {name}")
    return pathlib.Path(run(str(ROOT / "bench/build"), "--example", name)).parent / "examples" / name


def kube_assets():
    return run(str(ROOT / "scripts/kube-assets"))


def free_port():
    """A port below the kernel's range for outgoing connections."""
    while True:
        port = random.randrange(15000, 32000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def until(what, condition, limit=120.0, pace=0.05, child=None):
    """Asks until the condition holds; the end of the child that is to fulfil it ends the benchmark."""
    end = time.monotonic() + limit
    while not condition():
        if child and child.poll() is not None:
            sys.exit(f"ended with code {child.returncode} before {what}")
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


def share_cores():
    """From now on everything has all cores, as the processes of a node have."""
    global SERVER_CORE, LOAD_CORE
    SERVER_CORE = LOAD_CORE = ",".join(map(str, CORES))


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
    """etcd and kube-apiserver (with flags added) by scripts/control-plane, and a connection to it."""

    def __init__(self, *flags):
        self.flags = flags
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="control-plane-"))
        self.env = dict(os.environ, KUBEBUILDER_ASSETS=kube_assets())
        self.kubectl = pathlib.Path(self.env["KUBEBUILDER_ASSETS"], "kubectl")
        self.script("init")
        self.kubeconfig = self.dir / "admin.kubeconfig"
        self.url = (self.dir / "url").read_text().strip()
        self.address = self.url.removeprefix("https://").split(":")
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
        self.apiserver = self.hold("apiserver", *self.flags)
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

    def fill(self, objects, size):
        """Creates ConfigMaps `bulk-00000` and on, labelled app=bulk, each with a value of random letters."""
        say(f"creating {objects} ConfigMaps")
        for number in range(objects):
            self.create(f"bulk-{number:05}", {"data": "".join(random.choices(LETTERS, k=size))}, {"app": "bulk"})

    def admit_pod(self):
        """Lets the user of pod.kubeconfig do everything; returns the kubeconfig and the token in it."""
        body = {
            "metadata": {"name": "pod"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "pod"}],
        }
        path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
        status, answer = self.ask("POST", path, json.dumps(body))
        if status != 201:
            sys.exit(f"binding cluster-admin: {status} {answer!r}")
        return self.dir / "pod.kubeconfig", (self.dir / "pod.token").read_text().strip()

    def apiserver_pid(self):
        """The API server's own pid; what this process holds is the script around it."""
        children = pathlib.Path(f"/proc/{self.apiserver.pid}/task/{self.apiserver.pid}/children").read_text()
        names = {pathlib.Path(f"/proc/{pid}/comm").read_text().strip(): int(pid) for pid in children.split()}
        return names["kube-apiserver"]

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


@contextlib.contextmanager
def proxy(binary, kubeconfig, core=None):
    """`attache proxy` or `kubectl proxy`, whichever binary it is, answering; yields its port and pid."""
    port = free_port()
    command = [binary, "proxy", "--kubeconfig", kubeconfig, "--port", port]
    with process(*command, core=core, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        until(f"{command[0]} proxy answers", lambda: get(port, "/version")[0] == 200, child=child)
        yield port, child.pid


class Way(typing.NamedTuple):
    """A way to the API server: the URL, the token that a request must carry (None: the proxy adds it), and
    the process that answers."""

    url: str
    token: str | None
    pid: int


@contextlib.contextmanager
def ways(binary, plane):
    """Attache's proxy, kubectl's, and the API server itself, by name; all of them as the same user."""
    kubeconfig, token = plane.admit_pod()
    if not plane.kubectl.exists():
        sys.exit("no kubectl in KUBEBUILDER_ASSETS to compare with")
    with contextlib.ExitStack() as stack:
        found = {}
        for name, program in [("attache proxy", binary), ("kubectl proxy", plane.kubectl)]:
            port, pid = stack.enter_context(proxy(program, kubeconfig, core=SERVER_CORE))
            found[name] = Way(f"http://127.0.0.1:{port}", None, pid)
        found["API server directly"] = Way(plane.url, token, plane.apiserver_pid())
        yield found


# No limit on requests, so that the API server's own fairness is not what is measured.
UNLIMITED = ("--enable-priority-and-fairness=false", "--max-requests-inflight=0", "--max-mutating-requests-inflight=0")


class Load(typing.NamedTuple):
    """What wrk measured, times in ms, and the processor time that wrk itself used, in seconds."""

    rate: float
    p50: float
    p99: float
    cpu: float


def load(url, seconds, token=None, script=None, connections=16):
    """One run of wrk, by default with 16 connections and GET; a failed request ends the benchmark."""
    if not tool("wrk", "wrk"):
        sys.exit("wrk is needed (Debian: wrk)")
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "--latency", "--timeout", "30s", "-t1"]
    command += [f"-c{connections}", f"-d{seconds}s"]
    if token:
        command += ["-H", f"Authorization: Bearer {token}"]
    if script:
        command += ["-s", str(script)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = run(*command, url)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if "Non-2xx" in output or "Socket errors" in output:
        sys.exit(f"requests failed:\n{output}")

    def milliseconds(share):
        value, unit = re.search(rf"{share}%\s+([\d.]+)(us|ms|s)", output).groups()
        return float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]

    rate = float(re.search(r"Requests/sec:\s*([\d.]+)", output)[1])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Load(rate, milliseconds(50), milliseconds(99), cpu)


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


def restart_peak(pid):
    """Starts the peak (VmHWM) anew: proc(5), clear_refs."""
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def cpu_seconds(pid):
    """User and system time so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
