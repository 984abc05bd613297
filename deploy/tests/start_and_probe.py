"""Starts a program alone in a network of its own, and asks for paths until each has
answered 200. Reads {"command", "environment", "probes": [[port, path], …]} from
standard input; ends with 0, or prints what did not answer and what the program wrote.
"""

import fcntl
import json
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

PATIENCE_SECONDS = 60


def loopback_up():
    with socket.socket() as any_socket:
        # SIOCSIFFLAGS with IFF_UP.
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh22x", b"lo", 1))


def answer(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode()}"
    except OSError as error:
        return str(error)


def main():
    task = json.load(sys.stdin)
    loopback_up()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(task["command"], env=task["environment"], stdout=output, stderr=output)
        end = time.monotonic() + PATIENCE_SECONDS
        waiting = [tuple(probe) for probe in task["probes"]]
        while waiting and process.poll() is None and time.monotonic() < end:
            waiting = [probe for probe in waiting if answer(*probe) != 200]
            time.sleep(0.05)
        failed = {f"{port}{path}": answer(port, path) for port, path in waiting}
        process.terminate()
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        output.seek(0)
        if failed:
            sys.exit(f"{failed}\n{output.read()}")


if __name__ == "__main__":
    main()
