"""docker-compose.yml held against itself, the Dockerfile and the programs, and started
as far as it goes without containers."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import manifests
import yaml
from manifests import BINARIES, REPOSITORY

COMPOSE = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
# What is started together.
STARTS = [{"all-in-one"}, {"split"}, {"split", "observability"}, {"observability"}]
OURS = {"modash": "modash", "analytics": "modash-analytics", "gateway": "modash-gateway", "proxy": "modash-proxy"}


def active(profiles):
    return {name for name, service in SERVICES.items() if profiles & set(service["profiles"])}


def interpolated(value):
    """A value as compose has it where nothing is set."""
    value = re.sub(r"(?<!\$)\$\{\w+:-([^}]*)\}", r"\1", value)
    return value.replace("$$", "$")


def environment(name):
    values = SERVICES[name].get("environment", {})
    return {key: interpolated(value) for key, value in values.items() if value is not None}


class Compose(unittest.TestCase):
    def test_a_profile_starts_what_its_services_wait_for(self):
        for profiles in STARTS:
            for name in active(profiles):
                for other in SERVICES[name].get("depends_on", {}):
                    self.assertIn(other, active(profiles), f"{name} of {profiles}")

    def test_published_ports_are_on_this_machine_and_none_is_taken_twice(self):
        for profiles in STARTS:
            ports = [port for name in active(profiles) for port in SERVICES[name].get("ports", [])]
            self.assertTrue(all(port.startswith("127.0.0.1:") for port in ports), ports)
            published = [port.split(":")[1] for port in ports]
            self.assertEqual(len(published), len(set(published)), ports)
        for profiles in ({"all-in-one"}, {"split"}):
            ports = {port for name in active(profiles) for port in SERVICES[name].get("ports", [])}
            self.assertLessEqual({"127.0.0.1:4005:4005", "127.0.0.1:4006:4006"}, ports)

    def test_split_has_three_proxies_behind_one_port(self):
        self.assertEqual(SERVICES["proxy"]["deploy"]["replicas"], 3)
        self.assertNotIn("ports", SERVICES["proxy"])
        self.assertIn("proxy:4005", (REPOSITORY / "deploy/compose/haproxy.cfg").read_text())

    def test_containers_run_without_rights(self):
        for name in SERVICES.keys() - {"postgres"}:
            self.assertTrue(SERVICES[name]["read_only"], name)
            self.assertEqual(SERVICES[name]["cap_drop"], ["ALL"], name)
            self.assertEqual(SERVICES[name]["security_opt"], ["no-new-privileges:true"], name)

    def test_settings_are_those_of_the_programs(self):
        for name, program in OURS.items():
            for variable in SERVICES[name]["environment"]:
                known = manifests.is_setting(program, variable) or variable == "HEALTH_PORT"
                self.assertTrue(known, f"{program} has no setting {variable}")

    def test_settings_of_images_are_those_of_the_programs(self):
        programs = {
            "analytics": ["modash-analytics", "modash-gateway"],
            "proxy": ["modash-proxy"],
            "all-in-one": ["modash"],
        }
        for target, inside in programs.items():
            for variable in manifests.image_environment(target).keys() - {"HEALTH_PORT"}:
                known = any(manifests.is_setting(program, variable) for program in inside)
                self.assertTrue(known, f"{inside} have no setting {variable}")

    def test_images_are_those_that_are_built(self):
        built = (REPOSITORY / "deploy/images/build").read_text()
        for name in SERVICES:
            build = SERVICES[name].get("build")
            if build:
                self.assertIn(build["target"], manifests.stages())
                self.assertIn(f"{build['target']}:{SERVICES[name]['image']} ", f"{built} ".replace(";", " "))

    def test_files_and_volumes_are_there(self):
        for name, service in SERVICES.items():
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                if source.startswith("."):
                    self.assertTrue((REPOSITORY / source).exists(), volume)
                elif ":" in volume:
                    self.assertIn(source, COMPOSE["volumes"], name)

    def test_prometheus_scrapes_every_service(self):
        text = (REPOSITORY / "deploy/compose/prometheus.yml").read_text()
        [job] = yaml.safe_load(text)["scrape_configs"]
        scraped = {(name, entry["port"]) for entry in job["dns_sd_configs"] for name in entry["names"]}
        self.assertEqual(scraped, {("proxy", 4015), ("gateway", 4016), ("analytics", 4017)})
        # The alerts speak of this job.
        self.assertEqual(job["job_name"], "modash")
        if shutil.which("promtool"):
            with tempfile.TemporaryDirectory() as folder:
                token = Path(folder, "metrics.token")
                token.touch()
                shutil.copy(REPOSITORY / "docs/observability/alerts.yml", folder)
                config = Path(folder, "prometheus.yml")
                config.write_text(text.replace("/tokens/metrics.token", str(token)))
                done = subprocess.run(["promtool", "check", "config", config], capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stderr)

    def test_haproxy_takes_the_balancers_settings(self):
        if not shutil.which("haproxy"):
            self.skipTest("haproxy is not installed")
        config = REPOSITORY / "deploy/compose/haproxy.cfg"
        done = subprocess.run(["haproxy", "-c", "-f", config], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_collector_uses_what_it_declares(self):
        config = yaml.safe_load((REPOSITORY / "deploy/compose/collector.yaml").read_text())
        for pipeline in config["service"]["pipelines"].values():
            for kind in ("receivers", "processors", "exporters"):
                self.assertLessEqual(set(pipeline[kind]), set(config[kind]))


class Starts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def moved(self, text):
        """Names of the containers' folders become those of folders here."""
        return text.replace("/tokens/", f"{self.folder}/")

    def make_tokens(self):
        service = SERVICES["tokens"]
        variables = {key: self.moved(value) for key, value in environment("tokens").items()}
        variables["PATH"] = f"{BINARIES}:{os.environ['PATH']}"
        command = [self.moved(interpolated(part)) for part in service["command"]]
        subprocess.run(command, env=variables, check=True, stderr=subprocess.DEVNULL)
        return {file.name: file.read_text() for file in self.folder.iterdir() if file.is_file()}

    def test_the_first_start_makes_tokens_and_later_ones_change_nothing(self):
        made = self.make_tokens()
        names = {"tokens.toml", "proxy.token", "dashboard.token", "metrics.token", "client-key.secret"}
        self.assertEqual(set(made), names)
        self.assertEqual(self.make_tokens(), made)
        for name in names:
            readable = (self.folder / name).stat().st_mode & 0o777
            self.assertEqual(readable, 0o644 if name == "metrics.token" else 0o600, name)

    def test_services_are_ready_or_alive(self):
        self.make_tokens()
        for name, target, program, probe in [
            ("proxy", "proxy", None, [4015, "/readyz"]),
            ("gateway", "analytics", "modash-gateway", [4016, "/readyz"]),
            # Without a database it waits, alive.
            ("analytics", "analytics", "modash-analytics", [4017, "/livez"]),
        ]:
            variables = manifests.image_environment(target) | environment(name)
            variables = {key: self.moved(value) for key, value in variables.items()}
            variables["PATH"] = f"{BINARIES}:{os.environ['PATH']}"
            if name == "proxy":
                variables["MODASH_PROXY_SPOOL_DIRECTORY"] = str(self.folder / "spool")
            command = [program] if program else SERVICES[name]["entrypoint"]
            command = [self.moved(interpolated(part)) for part in command]
            manifests.start(self, [shutil.which(command[0], path=variables["PATH"]), *command[1:]], variables, [probe])


if __name__ == "__main__":
    unittest.main()
