"""Runs blocks of the documentation beside a `modash --demo`, in a network of its own, in
which the ports of the documentation are free. Reads {"binaries", "postgres", "blocks":
[[name, page, language, body], …]} from standard input; ends with 0, or prints what failed.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from start_and_probe import answer, loopback_up

PATIENCE_SECONDS = 120
PROBES = [(4015, "/readyz"), (4016, "/readyz"), (4017, "/readyz")]


def wait_until_it_answers(process, log):
    end = time.monotonic() + PATIENCE_SECONDS
    while any(answer(*probe) != 200 for probe in PROBES):
        if process.poll() is not None or time.monotonic() > end:
            sys.exit(f"modash --demo did not start: {log.read_text()}")
        time.sleep(0.05)


def run(block, folder, environment):
    """What went wrong, or nothing."""
    name, _, language, body = block
    # The documentation keeps its files where an installation has them.
    body = body.replace("/etc/modash", str(folder))
    script = folder / f"block.{language}"
    script.write_text(body)
    command = ["bash", "-eo", "pipefail", script] if language == "sh" else [sys.executable, script]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"{name}: not done after {PATIENCE_SECONDS} s"
    finally:
        script.unlink()
    if done.returncode:
        return f"{name}: exit code {done.returncode}\n{body}{done.stdout[-2000:]}{done.stderr[-2000:]}"
    # An answer of modash that is an error has no exit code.
    if '"error":{' in done.stdout or '"code":"' in done.stdout:
        return f"{name}: {done.stdout[-2000:]}"
    return None


def main():
    task = json.load(sys.stdin)
    loopback_up()
    with tempfile.TemporaryDirectory() as root:
        root = Path(root)
        # The account that runs PostgreSQL has to enter it.
        root.chmod(0o755)
        environment = {
            "PATH": f"{task['binaries']}:{os.environ['PATH']}",
            "HOME": str(root),
            "MODASH_DATA_DIRECTORY": str(root / "data"),
            **({"MODASH_POSTGRES_BINARIES": task["postgres"]} if task["postgres"] else {}),
        }
        log = root / "log"
        with log.open("w") as output:
            modash = subprocess.Popen(
                [Path(task["binaries"]) / "modash", "--demo"], env=environment, cwd=root, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            wait_until_it_answers(modash, log)
            environment |= {
                # Where `--demo` keeps its database, which the commands of blocks use.
                "MODASH_DATA_DIRECTORY": str(root / "data/demo"),
                "OPENAI_API_KEY": "a",
                "ANTHROPIC_API_KEY": "a",
            }
            failures = []
            for block in task["blocks"]:
                folder = root / block[1].replace("/", "-")
                folder.mkdir(exist_ok=True)
                failures += filter(None, [run(block, folder, environment)])
        finally:
            modash.terminate()
            try:
                modash.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                modash.kill()
        if failures:
            sys.exit("\n\n".join(failures))


if __name__ == "__main__":
    main()
