"""What the tests of `deploy/` share: rendered manifests, and what programs know."""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
KUBERNETES = REPOSITORY / "deploy/kubernetes"
KUBECTL = Path(sys.executable).with_name("kubectl")
BINARIES = Path(os.environ.get("MODASH_TEST_BINARIES", REPOSITORY / "target/debug")).resolve()

# Pods by these names run these programs.
SERVICES = {
    "analytics": "modash-analytics",
    "gateway": "modash-gateway",
    "proxy": "modash-proxy",
}


@functools.cache
def rendered(folder):
    """The objects that `kubectl apply -k` would send."""
    command = [KUBECTL, "kustomize", KUBERNETES / folder]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [part for part in yaml.safe_load_all(text) if part]


def of_kind(objects, *kinds):
    return {part["metadata"]["name"]: part for part in objects if part["kind"] in kinds}


def templates(objects):
    """The pods of an installation by their name label."""
    workloads = of_kind(objects, "Deployment", "StatefulSet", "Job").values()
    pods = [workload["spec"]["template"] for workload in workloads]
    return {pod["metadata"]["labels"]["app.kubernetes.io/name"]: pod for pod in pods}


def containers(pod):
    return pod["spec"].get("initContainers", []) + pod["spec"]["containers"]


def environment(container, objects, secrets=None):
    """The variables of a container; those of Secrets as the caller has them."""
    maps = of_kind(objects, "ConfigMap")
    found = {}
    for source in container.get("envFrom", []):
        found |= maps[source["configMapRef"]["name"]]["data"]
    for variable in container.get("env", []):
        reference = variable.get("valueFrom", {}).get("secretKeyRef")
        value = (secrets or {}).get(reference["key"], "") if reference else variable["value"]
        found[variable["name"]] = value
    return found


def stages():
    """The stages of the Dockerfile by name, each with its base and its instructions."""
    text = (REPOSITORY / "Dockerfile").read_text().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if line.startswith("FROM "):
            _, base, _, name = line.split()
            found[name] = (base, [])
        elif found and line and not line.startswith("#"):
            found[name][1].append(line.strip())
    return found


def image_environment(target):
    """The variables that an image sets."""
    base, instructions = stages()[target]
    inherited = image_environment(base) if base in stages() else {}
    lines = [line for line in instructions if line.startswith("ENV ")]
    return inherited | dict(pair.split("=", 1) for line in lines for pair in line.split()[1:])


@functools.cache
def settings(program):
    """Every variable that a program reads, by its own help."""
    command = [BINARIES / program, "--help"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    names = set(re.findall(r"\[env:\s+(\w+)", text))
    assert len(names) > 10, f"{program} --help lists {names}"
    return names


def is_setting(program, name):
    """Whether a program reads a variable; OpenTelemetry's own are not in its help."""
    return name in settings(program) or name.startswith("OTEL_")


def network_of_its_own(test):
    """A command in front of another one, which then finds every port free."""
    alone = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], check=False).returncode != 0:
        test.skipTest("this system lets nobody have a network of their own (unshare --net)")
    return alone


def start(test, command, environment, probes):
    """Starts a program and waits until each probe, a port and a path, is answered with
    200. It has a network of its own: the ports may be taken here."""
    alone = network_of_its_own(test)
    task = json.dumps({"command": command, "environment": environment, "probes": probes})
    script = Path(__file__).with_name("start_and_probe.py")
    done = subprocess.run([*alone, sys.executable, script], input=task, capture_output=True, text=True, check=False)
    test.assertEqual(done.returncode, 0, done.stderr)
