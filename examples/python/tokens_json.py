#!/usr/bin/env python3
"""Yesterday's tokens by model, then requests as they happen, over plain JSON.

Needs requests. MODASH_URL is the gateway; MODASH_TOKEN_FILE or MODASH_TOKEN has a token,
if needed.
"""

import datetime
import json
import os
import pathlib

import requests

URL = os.environ.get("MODASH_URL", "http://127.0.0.1:4006").rstrip("/")


def session():
    session = requests.Session()
    token = os.environ.get("MODASH_TOKEN")
    if file := os.environ.get("MODASH_TOKEN_FILE"):
        token = pathlib.Path(file).read_text().strip()
    if token:
        session.headers["authorization"] = f"Bearer {token}"
    return session


def call(modash, method, **arguments):
    answer = modash.post(f"{URL}/rpc/{method}", json=arguments, timeout=15)
    if not answer.ok:
        # Names every argument that is wrong.
        raise SystemExit(f"{method}: {answer.json()['message']}")
    return answer.json()


def events(modash):
    """Server-sent events as pairs of name and data."""
    with modash.get(f"{URL}/events", stream=True, timeout=(5, 60)) as answer:
        answer.raise_for_status()
        name = None
        for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield name, json.loads(line.removeprefix("data: "))


def main():
    modash = session()
    today = datetime.datetime.now(datetime.UTC).date()
    yesterday = today - datetime.timedelta(days=1)
    day = {"start": f"{yesterday}T00:00:00Z", "end": f"{today}T00:00:00Z"}
    print("tokens of yesterday (UTC) by model", flush=True)
    answer = call(modash, "ModelBreakdown", range=day, order="MODEL_ORDER_TOTAL_TOKENS")
    for row in answer["rows"]:
        # Counts of 64 bits are strings in proto3 JSON.
        print(f"{int(row['totalTokens']):12}  {row['model']}", flush=True)

    print("requests as they happen", flush=True)
    for name, data in events(modash):
        if name not in ("connected", "request-state-updated"):
            continue
        for request in data["requests"]:
            phase = request["phase"].removeprefix("REQUEST_PHASE_").lower()
            print(f"{phase:>12}  {request['model'] or '-'}  {request['eventId']}", flush=True)


if __name__ == "__main__":
    main()
