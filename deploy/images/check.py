"""Starts analytics, gateway and two proxies from their images as compose does, and the
all-in-one image, and sends requests through. The images are those that buildah has;
`deploy/images/test` builds them."""

import http.server
import json
import os
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from container import Image, buildah
from start_and_probe import loopback_up
from test_compose import SERVICES, environment, interpolated

PATIENCE_SECONDS = 90
UPSTREAM_PORT = 9999
USER = 65532


class Upstream(http.server.BaseHTTPRequestHandler):
    """An LLM server that has one answer."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        answer = {
            "id": "1",
            "object": "chat.completion",
            "model": "a-model",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def post(url, body, token=None):
    headers = {"content-type": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.load(reply)


def chat(port):
    body = {"model": "a-model", "messages": [{"role": "user", "content": "?"}]}
    return post(f"http://127.0.0.1:{port}/v1/chat/completions", body)


def requests_recorded(token):
    summary = post("http://127.0.0.1:4006/rpc/UsageSummary", {}, token)
    return int(summary.get("requests", 0))


def eventually(check, what):
    """Waits until `check` gives something true."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            found, problem = check(), None
        except OSError as error:
            found, problem = None, error
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"{what}: {problem}")
        time.sleep(0.2)


class Images(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        loopback_up()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", UPSTREAM_PORT), Upstream)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cls.images = {name: Image(name, SERVICES) for name in ["modash", "modash-analytics", "modash-proxy"]}
        for image in cls.images.values():
            cls.addClassCleanup(image.remove)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.folder.chmod(0o755)
        self.running = []
        self.addCleanup(self.end)

    def end(self):
        for name, process, _ in self.running:
            if process.poll() is None:
                print(f"{name} was killed")
                process.kill()
                process.wait()

    def volume(self, name):
        """A folder that belongs to the images' user, as a volume of their folders does."""
        volume = self.folder / name
        if not volume.exists():
            volume.mkdir()
            os.chown(volume, USER, USER)
        return volume

    def start(self, name, image, **options):
        log = open(self.folder / f"{name}.log", "ab")
        self.addCleanup(log.close)
        process = self.images[image].start(output=log, **options)
        self.running.append((name, process, log.name))
        return process

    def log(self, name):
        return (self.folder / f"{name}.log").read_text()[-3000:]

    def healthy(self, name, image, process, **variables):
        def check():
            self.assertIsNone(process.poll(), self.log(name))
            return self.images[image].run(self.images[image].health_check, environment=variables) == 0

        eventually(check, f"{name} is healthy")

    def stop_all(self):
        """Stops in order; each program ends by itself, with 0."""
        for name, process, _ in reversed(self.running):
            process.terminate()
            self.assertEqual(process.wait(60), 0, f"{name}: {self.log(name)}")
        self.running = []

    def test_images_say_what_they_are_and_run_as_their_user(self):
        for name, image in self.images.items():
            self.assertEqual(image.config["User"], f"{USER}:{USER}")
            self.assertEqual(image.config["StopSignal"], "SIGTERM")
            self.assertEqual(image.labels["org.opencontainers.image.title"], name)
            self.assertRegex(image.labels["org.opencontainers.image.version"], r"^\d+\.\d+\.\d+$")
            self.assertRegex(image.labels["org.opencontainers.image.revision"], "^[0-9a-f]{40}$|unknown")
            same = f'[ "$(id -u):$(id -g)" = {USER}:{USER} ] && ! touch /here /usr/here 2>/dev/null'
            self.assertEqual(image.run(["bash", "-c", same]), 0, name)

    def test_services_apart_record_what_goes_through_two_proxies(self):
        tokens = {"/tokens": self.volume("tokens")}
        # The image has a PostgreSQL, which stands in for postgres:18 here.
        data = {"/data": self.volume("postgres")}
        programs = self.images["modash"].environment["MODASH_POSTGRES_BINARIES"]
        make = f"{programs}/initdb -D /data/main -U modash --auth=trust >/dev/null"
        serve = f"exec {programs}/postgres -D /data/main -c listen_addresses=127.0.0.1 -k /tmp"
        self.start("postgres", "modash", command=["bash", "-ec", f"{make}; {serve}"], binds=data, tmpfs=["/tmp"])
        database = {"DATABASE_URL": "postgresql://modash@postgres:5432/postgres"}

        for _ in range(2):
            command = [interpolated(part) for part in SERVICES["tokens"]["command"]]
            made = self.start("tokens", "modash-analytics", command=command, environment=environment("tokens"), binds=tokens)
            self.assertEqual(made.wait(), 0, self.log("tokens"))
            self.running.pop()
            token = (self.folder / "tokens/dashboard.token").read_text().strip()
        variables = environment("migrate") | database
        migrate = self.start("migrate", "modash-analytics", command=SERVICES["migrate"]["command"], environment=variables)
        self.assertEqual(migrate.wait(), 0, self.log("migrate"))
        self.running.pop()

        for name in ("analytics", "gateway"):
            variables = environment(name) | (database if name == "analytics" else {})
            command = SERVICES[name].get("command")
            process = self.start(name, "modash-analytics", command=command, environment=variables, binds=tokens)
            health = {"HEALTH_PORT": variables["HEALTH_PORT"]} if "HEALTH_PORT" in variables else {}
            self.healthy(name, "modash-analytics", process, **health)

        entry = [interpolated(part) for part in SERVICES["proxy"]["entrypoint"]]
        upstream = {"UPSTREAM_URL": f"http://127.0.0.1:{UPSTREAM_PORT}"}
        # Two on one machine: the second has other ports.
        second = {"PORT": "4105", "MODASH_PROXY_ADMIN_LISTEN": "0.0.0.0:4115"}
        for name, more in (("proxy", {}), ("proxy-2", second)):
            binds = tokens | {"/var/lib/modash/spool": self.volume(f"spool-{name}")}
            variables = environment("proxy") | upstream | more
            process = self.start(name, "modash-proxy", command=entry, environment=variables, binds=binds)
            if not more:
                self.healthy(name, "modash-proxy", process)

        self.assertEqual(chat(4005)["usage"]["total_tokens"], 6)
        self.assertEqual(eventually(lambda: chat(4105), "the second proxy answers")["usage"]["total_tokens"], 6)
        eventually(lambda: requests_recorded(token) == 2, "both requests are recorded")
        with self.assertRaises(urllib.error.HTTPError) as refused:
            requests_recorded(None)
        self.assertEqual(refused.exception.code, 401)
        refused.exception.close()
        self.stop_all()

    def test_all_in_one_keeps_its_numbers_and_its_token(self):
        binds = {"/var/lib/modash": self.volume("data")}
        variables = {"UPSTREAM_URL": f"http://127.0.0.1:{UPSTREAM_PORT}"}
        seen = set()
        for expected in (1, 2):
            process = self.start("modash", "modash", environment=variables, binds=binds, tmpfs=["/tmp"])
            self.healthy("modash", "modash", process)
            token = (self.folder / "data/dashboard.token").read_text().strip()
            seen.add(token)
            self.assertEqual(chat(4005)["usage"]["total_tokens"], 6)
            eventually(lambda: requests_recorded(token) == expected, f"{expected} requests are recorded")
            self.stop_all()
        self.assertEqual(len(seen), 1)


if __name__ == "__main__":
    print(buildah("images", "--format", "{{.Name}}:{{.Tag}} {{.Size}}", "--filter", "reference=localhost/modash*"))
    unittest.main()
