#!/usr/bin/env python3
"""Talks to the simulated LLM server through a proxy with the official SDKs.

Each exchange is checked as an application sees it: the text, the reason it
ended, the usage. On standard output: the token totals by model that a proxy has
to have recorded, as JSON. Any difference ends with exit code 1 and one line
that names the exchange.

The simulator counts words: a prompt has as many tokens as words, and the header
x-simulate-output-tokens says how many words the answer has.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable

PROMPT = "Tell me in a few words what flows through the wire."
SYSTEM = "Be brief."
EMBEDDED = ["one two three", "four five"]

CHAT_MODEL = "gpt-4.1-mini"
NO_USAGE_MODEL = "llama-3.3-70b"
EMBEDDING_MODEL = "nomic-embed-text"
ANTHROPIC_MODEL = "claude-simulated"
RESPONSES_MODEL = "gpt-oss-20b"


def words(*texts: str) -> int:
    return sum(len(text.split()) for text in texts)


def expect(what: str, actual: object, expected: object) -> None:
    if actual != expected:
        raise AssertionError(f"{what} is {actual!r}, not {expected!r}")


def steer(output_tokens: int, **more: int) -> dict[str, str]:
    """Headers that tell the simulator what to answer."""
    wishes = {"output-tokens": output_tokens}
    wishes.update({name.replace("_", "-"): value for name, value in more.items()})
    return {f"x-simulate-{name}": str(value) for name, value in wishes.items()}


class Totals:
    """What a proxy has to have recorded."""

    def __init__(self) -> None:
        self.models: dict[str, dict[str, int]] = {}

    def add(
        self, model: str, prompt: int = 0, completion: int = 0, cached: int = 0, reasoning: int = 0
    ) -> None:
        """Adds an exchange whose answer told its usage."""
        counts = {
            "requests": 1,
            "prompt_tokens": prompt,
            "cached_prompt_tokens": cached,
            "completion_tokens": completion,
            "reasoning_tokens": reasoning,
            "total_tokens": prompt + completion,
        }
        self._add(model, counts)

    def add_without_usage(self, model: str, content_events: int) -> None:
        """Adds an exchange whose answer told no usage."""
        counts = {"requests": 1, "requests_without_usage": 1, "content_events": content_events}
        self._add(model, counts)

    def _add(self, model: str, counts: dict[str, int]) -> None:
        row = self.models.setdefault(
            model,
            {
                "requests": 0,
                "requests_without_usage": 0,
                "content_events": 0,
                "prompt_tokens": 0,
                "cached_prompt_tokens": 0,
                "completion_tokens": 0,
                "reasoning_tokens": 0,
                "total_tokens": 0,
            },
        )
        for name, count in counts.items():
            row[name] += count

    def json(self) -> str:
        requests = sum(row["requests"] for row in self.models.values())
        return json.dumps({"requests": requests, "models": self.models}, indent=2)


class OpenAi:
    """Exchanges of the openai package."""

    def __init__(self, proxy: str, suffix: str, totals: Totals) -> None:
        import openai

        self.client = openai.OpenAI(
            base_url=f"{proxy}/v1", api_key="sk-test-not-a-key", max_retries=0, timeout=30
        )
        self.suffix = suffix
        self.totals = totals
        self.messages = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": PROMPT},
        ]
        self.prompt = words(SYSTEM, PROMPT)

    def chat(self) -> None:
        model = CHAT_MODEL + self.suffix
        answer = self.client.chat.completions.create(
            model=model, messages=self.messages, extra_headers=steer(17, cached_tokens=5)
        )
        expect("model", answer.model, model)
        expect("words", words(answer.choices[0].message.content), 17)
        expect("finish_reason", answer.choices[0].finish_reason, "stop")
        self.check(answer.usage, 17, cached=5)
        self.totals.add(model, self.prompt, 17, cached=5)

    def chat_stream(self) -> None:
        model = NO_USAGE_MODEL + self.suffix
        text, usage, events = self.read_stream(model, 23)
        expect("words", words(text), 23)
        expect("content events", events, 23)
        expect("usage", usage, None)
        self.totals.add_without_usage(model, events)

    def chat_stream_with_usage(self) -> None:
        model = CHAT_MODEL + self.suffix
        text, usage, _ = self.read_stream(model, 29, stream_options={"include_usage": True})
        expect("words", words(text), 29)
        self.check(usage, 29)
        self.totals.add(model, self.prompt, 29)

    def embeddings(self) -> None:
        model = EMBEDDING_MODEL + self.suffix
        answer = self.client.embeddings.create(model=model, input=EMBEDDED)
        expect("vectors", len(answer.data), len(EMBEDDED))
        expect("vector is numbers", isinstance(answer.data[0].embedding[0], float), True)
        expect("prompt_tokens", answer.usage.prompt_tokens, words(*EMBEDDED))
        self.totals.add(model, words(*EMBEDDED))

    def responses(self) -> None:
        model = RESPONSES_MODEL + self.suffix
        answer = self.client.responses.create(
            model=model, input=PROMPT, extra_headers=steer(12, reasoning_tokens=4)
        )
        expect("words", words(answer.output_text), 8)
        expect("output_tokens", answer.usage.output_tokens, 12)
        self.totals.add(model, words(PROMPT), 12, reasoning=4)
        last = None
        text = ""
        for event in self.client.responses.create(
            model=model, input=PROMPT, stream=True, extra_headers=steer(9)
        ):
            last = event
            if event.type == "response.output_text.delta":
                text += event.delta
        expect("last event", last.type, "response.completed")
        expect("words of the stream", words(text), 9)
        expect("input_tokens", last.response.usage.input_tokens, words(PROMPT))
        self.totals.add(model, words(PROMPT), 9)

    def read_stream(self, model: str, output_tokens: int, **more: object):
        """The text, the usage if any came, and the number of events with text."""
        text, usage, events, finish = "", None, 0, None
        stream = self.client.chat.completions.create(
            model=model,
            messages=self.messages,
            stream=True,
            extra_headers=steer(output_tokens),
            **more,
        )
        for chunk in stream:
            usage = chunk.usage or usage
            for choice in chunk.choices:
                finish = choice.finish_reason or finish
                if choice.delta.content:
                    text += choice.delta.content
                    events += 1
        expect("finish_reason", finish, "stop")
        return text, usage, events

    def check(self, usage: object, completion: int, cached: int = 0) -> None:
        expect("prompt_tokens", usage.prompt_tokens, self.prompt)
        expect("completion_tokens", usage.completion_tokens, completion)
        expect("total_tokens", usage.total_tokens, self.prompt + completion)
        expect("cached_tokens", usage.prompt_tokens_details.cached_tokens, cached)


class Anthropic:
    """Exchanges of the anthropic package."""

    def __init__(self, proxy: str, suffix: str, totals: Totals) -> None:
        import anthropic

        self.client = anthropic.Anthropic(
            base_url=proxy, api_key="sk-ant-test-not-a-key", max_retries=0, timeout=30
        )
        self.totals = totals
        self.model = ANTHROPIC_MODEL + suffix
        self.request = {
            "model": self.model,
            "max_tokens": 1000,
            "system": SYSTEM,
            "messages": [{"role": "user", "content": PROMPT}],
        }
        self.prompt = words(SYSTEM, PROMPT)

    def messages(self) -> None:
        answer = self.client.messages.create(**self.request, extra_headers=steer(19))
        expect("model", answer.model, self.model)
        expect("words", words(answer.content[0].text), 19)
        expect("stop_reason", answer.stop_reason, "end_turn")
        self.check(answer.usage, 19)
        self.totals.add(self.model, self.prompt, 19)

    def messages_stream(self) -> None:
        headers = steer(31, cached_tokens=3, cache_write_tokens=2, reasoning_tokens=6)
        with self.client.messages.stream(**self.request, extra_headers=headers) as stream:
            text = "".join(stream.text_stream)
            answer = stream.get_final_message()
        expect("words", words(text), 31 - 6)
        expect("blocks", [block.type for block in answer.content], ["thinking", "text"])
        self.check(answer.usage, 31, cached=3, written=2)
        self.totals.add(self.model, self.prompt, 31, cached=3, reasoning=6)

    def check(self, usage: object, output: int, cached: int = 0, written: int = 0) -> None:
        expect("input_tokens", usage.input_tokens, self.prompt - cached - written)
        expect("cache_read_input_tokens", usage.cache_read_input_tokens, cached)
        expect("cache_creation_input_tokens", usage.cache_creation_input_tokens, written)
        expect("output_tokens", usage.output_tokens, output)


def exchanges(arguments: argparse.Namespace, totals: Totals) -> list[Callable[[], None]]:
    proxy = arguments.proxy.rstrip("/")
    openai = OpenAi(proxy, arguments.model_suffix, totals)
    anthropic = Anthropic(proxy, arguments.model_suffix, totals)
    chosen = [
        openai.chat,
        openai.chat_stream,
        openai.chat_stream_with_usage,
        openai.embeddings,
        anthropic.messages,
        anthropic.messages_stream,
    ]
    if arguments.responses:
        chosen.append(openai.responses)
    return chosen


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--proxy", required=True, help="base URL, such as http://127.0.0.1:4005")
    parser.add_argument(
        "--model-suffix", default="", help="added to the model names, to tell runs apart"
    )
    parser.add_argument("--rounds", type=int, default=1, help="how often to do it all")
    parser.add_argument(
        "--responses", action="store_true", help="also OpenAI's responses API"
    )
    arguments = parser.parse_args()
    # The proxy under test is reached directly, whatever the environment says.
    os.environ["NO_PROXY"] = "*"
    totals = Totals()
    try:
        chosen = exchanges(arguments, totals)
    except ImportError as error:
        print(f"sdk_clients: {error}; install requirements.txt", file=sys.stderr)
        return 1
    for _ in range(arguments.rounds):
        for exchange in chosen:
            try:
                exchange()
            except Exception as error:
                name = f"{type(exchange.__self__).__name__}.{exchange.__name__}"
                text = f"{type(error).__name__}: {error}"
                print(f"sdk_clients: {name}: {text}", file=sys.stderr)
                return 1
    print(totals.json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
