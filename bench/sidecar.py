"""k8s-sidecar as a peer: its dependencies in a virtual environment, and its processes."""

import contextlib
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import tomllib

from common import free_port, get, install, process, run, say, until

REPOSITORY = "https://github.com/kiwigrid/k8s-sidecar"
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def add_option(options):
    """The flag of the scripts that measure it; without it, its rows are left out."""
    options.add_argument("--k8s-sidecar", metavar="DIR", type=pathlib.Path, help=f"a checkout of {REPOSITORY}, to be measured too")


def enter(stack, checkout):
    """The peer of this checkout, if one is given, until the stack is closed."""
    return checkout and stack.enter_context(Sidecar(checkout))


def how_to(script):
    """What a script says in place of the rows of k8s-sidecar."""
    return f"k8s-sidecar is left out; to measure it too: git clone {REPOSITORY} && bench/{script} --k8s-sidecar k8s-sidecar"


class Sidecar:
    """A checkout of k8s-sidecar, able to run. What it depends on is installed once, under
    ${XDG_CACHE_HOME:-~/.cache}/attache."""

    def __init__(self, checkout):
        project = checkout / "pyproject.toml"
        if not project.exists() or not (checkout / "src/sidecar.py").exists():
            sys.exit(f"{checkout} is no checkout of k8s-sidecar 2: {how_to('latency')}")
        needs = tomllib.loads(project.read_text())["project"]["dependencies"]
        self.python = environment(needs)
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="k8s-sidecar-"))
        # It reads its namespace from the pod's service account without asking whether there is one: a
        # copy of it is run that looks for it in a directory of the benchmark's.
        (self.root / "account").mkdir()
        (self.root / "account/namespace").write_text("default")
        shutil.copytree(checkout / "src", self.root / "src")
        found = False
        for file in (self.root / "src").glob("*.py"):
            text = file.read_text()
            found |= ACCOUNT in text
            file.write_text(text.replace(ACCOUNT, str(self.root / "account")))
        if not found:
            sys.exit(f"{checkout} does not read {ACCOUNT}: this is not the k8s-sidecar that is known here")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.root)

    @contextlib.contextmanager
    def running(self, plane, label, folder, **settings):
        """One of it, as its image runs it, that writes the ConfigMaps with `label` to `folder` as soon as
        they change; first sync done. Yields its pid."""
        port = free_port()
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "PYTHONUNBUFFERED": "1",
            "KUBECONFIG": str(plane.kubeconfig),
            "NAMESPACE": "default",
            "METHOD": "WATCH",
            "RESOURCE": "configmap",
            "LABEL": label,
            "FOLDER": str(folder),
            # Told of changes alone, as attache does.
            "REQ_SKIP_INIT": "true",
            "HEALTH_PORT": str(port),
            **settings,
        }
        with open(self.root / f"{label}.log", "w") as log:
            command = [self.python, "-u", "-m", "sidecar"]
            with process(*command, cwd=self.root / "src", env=env, stdout=log, stderr=log) as child:
                until("k8s-sidecar is ready", lambda: get(port, "/healthz")[0] == 200, child=child)
                yield child.pid


def environment(needs):
    """The Python of a virtual environment with these packages, made where there is none yet."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    key = hashlib.sha256("\n".join([version, *needs]).encode()).hexdigest()[:12]
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    home = cache / "attache" / f"k8s-sidecar-{key}"
    python, complete = home / "bin/python", home / ".complete"
    if not complete.exists():
        say("installing the dependencies of k8s-sidecar")
        if subprocess.run([sys.executable, "-c", "import ensurepip"], check=False, stderr=subprocess.DEVNULL).returncode:
            install("python3-venv")
        run(sys.executable, "-m", "venv", "--clear", str(home))
        run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *needs)
        complete.touch()
    return python
