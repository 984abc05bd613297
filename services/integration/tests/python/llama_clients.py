#!/usr/bin/env python3
"""Streams answers of a llama.cpp server through a proxy with the openai package.

No request asks for usage, so every chunk must have a choice, and no chunk of a chat may report
usage (completions report it unasked). The text must be that of the answer without streaming.
Any difference ends with exit code 1 and one line.
"""

import argparse
import sys


OPTIONS = {"model": "tiny-random", "max_tokens": 8, "temperature": 0}
MESSAGES = [{"role": "user", "content": "one two"}]


def chat(client) -> None:
    create = client.chat.completions.create
    text = ""
    for chunk in create(messages=MESSAGES, stream=True, **OPTIONS):
        if not chunk.choices or chunk.usage is not None:
            raise AssertionError(f"not asked for: {chunk}")
        text += chunk.choices[0].delta.content or ""
    whole = create(messages=MESSAGES, **OPTIONS).choices[0].message.content
    if text != whole:
        raise AssertionError(f"the stream has {text!r}, the document {whole!r}")


def completion(client) -> None:
    create = client.completions.create
    text = ""
    for chunk in create(prompt="one two", stream=True, **OPTIONS):
        if not chunk.choices:
            raise AssertionError(f"not asked for: {chunk}")
        text += chunk.choices[0].text
    whole = create(prompt="one two", **OPTIONS).choices[0].text
    if text != whole:
        raise AssertionError(f"the stream has {text!r}, the document {whole!r}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--proxy", required=True, metavar="URL")
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    try:
        from openai import OpenAI
    except ImportError as error:
        print(f"llama_clients: {error}; install requirements.txt", file=sys.stderr)
        return 1
    client = OpenAI(base_url=f"{arguments.proxy}/v1", api_key="k", max_retries=0, timeout=60)
    for _ in range(arguments.rounds):
        for call in (chat, completion):
            try:
                call(client)
            except Exception as error:
                text = f"{type(error).__name__}: {error}"
                print(f"llama_clients: {call.__name__}: {text}", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
