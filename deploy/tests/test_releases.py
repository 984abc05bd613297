"""The workflows of .github held against GitHub's schema, known mistakes and this
repository; what a release says is inside held against CycloneDX's schemas."""

import functools
import json
import re
import subprocess
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path

import cyclonedx.schema
import jsonschema
import referencing
import yaml
from manifests import REPOSITORY

WORKFLOWS = sorted((REPOSITORY / ".github/workflows").glob("*.yml"))
TOOLS = Path(sys.executable).parent


def parsed(path):
    found = yaml.safe_load(path.read_text())
    # YAML 1.1 takes the key for a truth value.
    found["on"] = found.pop(True)
    return found


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def cargo():
    return tomllib.loads((REPOSITORY / "Cargo.toml").read_text())


class Workflows(unittest.TestCase):
    def checked(self, *command):
        done = subprocess.run([TOOLS / command[0], *command[1:]], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_they_fit_the_schemas(self):
        self.checked("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)
        dependabot = REPOSITORY / ".github/dependabot.yml"
        self.checked("check-jsonschema", "--builtin-schema", "vendor.dependabot", dependabot)

    def test_they_have_no_known_weakness(self):
        self.checked("zizmor", "--offline", "--no-progress", REPOSITORY / ".github")

    def test_all_four_are_there_and_careful(self):
        self.assertEqual([path.stem for path in WORKFLOWS], ["checks", "images", "release", "test"])
        for path in WORKFLOWS:
            workflow = parsed(path)
            with self.subTest(workflow=path.name):
                self.assertIn("concurrency", workflow)
                # More than reading is given to single jobs only.
                self.assertIn(workflow["permissions"], ({}, {"contents": "read"}))
                for name, job in workflow["jobs"].items():
                    self.assertIn("timeout-minutes", job, name)
                for step in steps(workflow):
                    if "uses" in step:
                        self.assertRegex(step["uses"], r"^[\w.-]+/[\w.-]+@(v\d|[0-9a-f]{40}$)")
                    if step.get("uses", "").startswith("actions/checkout@"):
                        self.assertIs(step["with"]["persist-credentials"], False)

    def test_what_they_call_exists(self):
        for path in WORKFLOWS:
            for step in steps(parsed(path)):
                for target in re.findall(r"^make (.+)$", step.get("run", ""), re.MULTILINE):
                    command = ["make", "--question", "--dry-run", *target.split()]
                    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
                    self.assertNotIn("No rule to make target", done.stderr, path.name)
                for script in re.findall(r"^(\.ci/\w+)", step.get("run", ""), re.MULTILINE):
                    self.assertTrue((REPOSITORY / script).is_file(), script)

    def test_images_are_the_targets_of_the_dockerfile(self):
        targets = parsed(REPOSITORY / ".github/workflows/images.yml")["jobs"]["build"]["strategy"]["matrix"]["target"]
        stages = re.findall(r"^FROM \S+ AS (\S+)$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
        self.assertLessEqual(set(targets), set(stages))

    def test_they_build_with_the_toolchain_of_the_repository(self):
        channel = tomllib.loads((REPOSITORY / "rust-toolchain.toml").read_text())["toolchain"]["channel"]
        image = parsed(REPOSITORY / ".github/workflows/test.yml")["jobs"]["test"]["container"]["image"]
        self.assertEqual(image, f"rust:{channel}-bookworm")


class Versions(unittest.TestCase):
    def test_there_is_one(self):
        version = cargo()["workspace"]["package"]["version"]
        for folder in ("web", "services/embedded-postgres/binaries"):
            package = json.loads((REPOSITORY / folder / "package.json").read_text())
            lock = json.loads((REPOSITORY / folder / "package-lock.json").read_text())
            found = [package["version"], lock["version"], lock["packages"][""]["version"]]
            self.assertEqual(found, [version] * 3, folder)


class Contents(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.documents = cls.written("one")

    @classmethod
    def written(cls, name):
        folder = Path(cls.folder.name) / name
        subprocess.run([sys.executable, REPOSITORY / "deploy/sbom.py", folder], check=True, capture_output=True)
        return {path.name: json.loads(path.read_text()) for path in sorted(folder.iterdir())}

    def test_they_fit_the_schemas(self):
        for name, document in self.documents.items():
            with self.subTest(document=name):
                validator(document["specVersion"]).validate(document)

    def test_the_programs_hold_what_is_linked_and_nothing_of_tests(self):
        names = {one["name"] for one in self.documents["modash-programs.cdx.json"]["components"]}
        self.assertLessEqual({"modash", "modash-proxy", "modash-gateway", "modash-analytics", "tokio", "sqlx", "rustls"}, names)
        self.assertEqual(names & {"modash-test-support", "modash-integration", "modash-bench", "tempfile"}, set())

    def test_the_dashboard_holds_what_it_is_made_of_and_nothing_of_tests(self):
        package = json.loads((REPOSITORY / "web/package.json").read_text())
        names = {one["name"] for one in self.documents["modash-dashboard.cdx.json"]["components"]}
        self.assertLessEqual(set(package["dependencies"]), names)
        self.assertEqual(names & set(package["devDependencies"]), set())

    def test_every_component_has_its_source_and_licence(self):
        for document in self.documents.values():
            for one in document["components"]:
                with self.subTest(component=one["purl"]):
                    self.assertTrue(one["licenses"])
                    self.assertTrue(one.get("hashes") or one["name"].startswith("modash"))

    def test_the_same_commit_gives_the_same_documents(self):
        self.assertEqual(self.written("two"), self.documents)


@functools.cache
def validator(version):
    folder = Path(cyclonedx.schema.__file__).parent / "_res"
    read = lambda name: json.loads((folder / f"{name}.SNAPSHOT.schema.json").read_text())
    # They refer to each other by these names.
    parts = {f"{name}.SNAPSHOT.schema.json": read(name) for name in ("spdx", "jsf-0.82", "cryptography-defs")}
    schema = read(f"bom-{version}")
    base = schema["$id"].rsplit("/", 1)[0]
    specification = referencing.jsonschema.DRAFT7
    resources = [(f"{base}/{name}", specification.create_resource(part)) for name, part in parts.items()]
    registry = referencing.Registry().with_resources(resources)
    return jsonschema.Draft7Validator(schema, registry=registry)


if __name__ == "__main__":
    unittest.main()
