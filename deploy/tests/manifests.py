"""What the tests of `deploy/` share: rendered manifests, and what programs know."""

import functools
import os
import re
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


def image_environment(dockerfile):
    """The variables that an image sets."""
    text = (REPOSITORY / dockerfile).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.startswith("ENV ")]
    return dict(pair.split("=", 1) for line in lines for pair in line.split()[1:])


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
