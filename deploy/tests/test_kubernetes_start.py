"""What the manifests start, started: the step that makes tokens, and each service with
the environment, files and probes that its pod has."""

import base64
import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import manifests
from manifests import BINARIES, KUBECTL, SERVICES, of_kind, rendered, templates

# The targets of the Dockerfile that make their images.
IMAGES = {"analytics": "analytics", "gateway": "analytics", "proxy": "proxy"}


class Secret:
    """The Secret `tokens` as the API server has it, in a file."""

    def __init__(self, folder):
        self.file = folder / "secret.json"
        self.file.write_text(json.dumps(of_kind(rendered("base"), "Secret")["tokens"]))

    def data(self):
        data = json.loads(self.file.read_text()).get("data", {})
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def mount(self, folder):
        """As a volume: links through a folder that is swapped as a whole."""
        folder.mkdir()
        (folder / "..data").mkdir()
        for key, value in self.data().items():
            (folder / "..data" / key).write_text(value)
            (folder / key).symlink_to(f"..data/{key}")


class TokenStep:
    """The Job of the base, with its folders below another one."""

    def __init__(self, folder):
        self.folder = folder
        self.secret = Secret(folder)
        self.runs = 0

    def run(self):
        self.runs += 1
        spec = templates(rendered("base"))["tokens"]["spec"]
        [make], [write] = spec["initContainers"], spec["containers"]
        folder = self.folder / str(self.runs)
        folder.mkdir()
        places = {mount["mountPath"]: folder / mount["name"] for mount in make["volumeMounts"]}
        self.secret.mount(places["/existing"])
        places["/new"].mkdir()

        def moved(text):
            for place, real in places.items():
                text = text.replace(place, str(real))
            return text

        variables = {name: moved(value) for name, value in manifests.environment(make, []).items()}
        variables["PATH"] = f"{BINARIES}:{os.environ['PATH']}"
        command = [moved(part) for part in make["command"]]
        subprocess.run(command, env=variables, check=True, stderr=subprocess.DEVNULL)

        patch = [moved(part) for part in write["args"]]
        verb, kind, name, *flags = patch
        assert (verb, kind, name) == ("patch", "secret", "tokens"), patch
        # Without a cluster kubectl patches a file: the same patch by the same code.
        command = [KUBECTL, "patch", "--local", f"--filename={self.secret.file}", *flags, "--output=json"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        self.secret.file.write_text(done.stdout)
        return (places["/new"] / ".patch.json").read_text()


class Starts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.step = TokenStep(self.folder)

    def tokens(self):
        """Names and roles in the tokens file, by the program's own word."""
        file = self.folder / "listed.toml"
        file.write_text(self.step.secret.data()["tokens.toml"])
        command = [BINARIES / "modash-analytics", "token", "list"]
        variables = {"MODASH_TOKENS_FILE": str(file)}
        text = subprocess.run(command, env=variables, check=True, capture_output=True, text=True).stdout
        return {line.split()[0]: line.split()[1] for line in text.splitlines()[1:]}

    def test_the_first_start_makes_what_the_pods_mount(self):
        self.assertEqual(self.step.secret.data(), {})
        self.step.run()
        self.assertEqual(self.tokens(), {"proxy": "ingest", "dashboard": "admin", "metrics": "read"})
        data = self.step.secret.data()
        wanted = {"tokens.toml", "dashboard.token", "metrics.token"}
        for name in SERVICES:
            spec = templates(rendered("base"))[name]["spec"]
            for volume in spec["volumes"]:
                wanted |= {item["key"] for item in volume["secret"]["items"]}
            for variable in spec["containers"][0]["env"]:
                reference = variable.get("valueFrom", {}).get("secretKeyRef", {})
                wanted |= {reference["key"]} if reference.get("name") == "tokens" else set()
        self.assertEqual(set(data), wanted)
        for key, value in data.items():
            self.assertFalse(value.endswith("\n"), key)
            if key.endswith(".token"):
                self.assertRegex(value, "^modash_[0-9A-Za-z]{46}$")
                self.assertNotIn(value, data["tokens.toml"])
            if key.endswith(".secret"):
                self.assertEqual(len(base64.b64decode(value)), 32)

    def test_later_starts_change_nothing(self):
        self.step.run()
        before = self.step.secret.data()
        self.assertEqual(self.step.run(), '{"data":{}}\n')
        self.assertEqual(self.step.secret.data(), before)

    def test_what_is_missing_is_made_and_what_was_rotated_is_kept(self):
        self.step.run()
        before = self.step.secret.data()
        rotated = dict(before)
        # The proxies' token under another name, and the session secret lost.
        rotated["tokens.toml"] = before["tokens.toml"].replace('"proxy"', '"proxy-2"')
        del rotated["session.secret"]
        del rotated["dashboard.token"]
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in rotated.items()}
        document = json.loads(self.step.secret.file.read_text()) | {"data": encoded}
        self.step.secret.file.write_text(json.dumps(document))
        self.step.run()
        after = self.step.secret.data()
        self.assertNotEqual(after.pop("session.secret"), before["session.secret"])
        # A copy of the dashboard's token that somebody took out does not come back.
        del rotated["tokens.toml"]
        self.assertEqual({key: after[key] for key in rotated}, rotated)
        self.assertNotIn("dashboard.token", after)
        self.assertEqual(self.tokens(), {"proxy-2": "ingest", "dashboard": "admin", "metrics": "read"})

    def start(self, name, probes):
        """Starts the program of a pod with its own environment, and waits for probes."""
        objects = rendered("base")
        pod = templates(objects)[name]["spec"]
        [container] = pod["containers"]
        folder = self.folder / name
        secrets = self.step.secret.data() | {"url": "postgresql://modash@127.0.0.1:9/modash"}
        variables = manifests.image_environment(IMAGES[name])
        variables |= manifests.environment(container, objects, secrets)
        for mount in container["volumeMounts"]:
            place = folder / mount["name"]
            place.mkdir(parents=True)
            volume = next((v for v in pod["volumes"] if v["name"] == mount["name"]), {})
            for item in volume.get("secret", {}).get("items", []):
                (place / item["path"]).write_text(secrets[item["key"]])
            for key, value in variables.items():
                if f"{value}/".startswith(f"{mount['mountPath']}/"):
                    variables[key] = f"{place}{value.removeprefix(mount['mountPath'])}"
        [program] = container.get("args", [SERVICES[name]])
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        addressed = []
        for probe in probes:
            request = container[probe]["httpGet"]
            addressed.append([ports[request["port"]], request["path"]])
        manifests.start(self, [str(BINARIES / program)], variables, addressed)

    def test_services_answer_the_probes_of_their_pods(self):
        self.step.run()
        self.start("proxy", ["livenessProbe", "readinessProbe"])
        self.start("gateway", ["livenessProbe", "readinessProbe"])
        # Without a database it waits, alive.
        self.start("analytics", ["livenessProbe"])


if __name__ == "__main__":
    unittest.main()
