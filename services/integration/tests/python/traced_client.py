"""Asks a model within a span of OpenTelemetry's SDK, whose context goes along as
`traceparent`. Prints the ids of the span as JSON."""

import argparse
import json

import httpx2 as httpx
from opentelemetry import propagate, trace
from opentelemetry.sdk.trace import TracerProvider

arguments = argparse.ArgumentParser()
arguments.add_argument("--proxy", required=True)
proxy = arguments.parse_args().proxy

trace.set_tracer_provider(TracerProvider())
tracer = trace.get_tracer("client")
with tracer.start_as_current_span("ask") as span:
    headers = {}
    propagate.inject(headers)
    question = {"role": "user", "content": "words of somebody"}
    body = {"model": "m", "max_tokens": 4, "messages": [question], "stream": True}
    answer = httpx.post(f"{proxy}/v1/chat/completions", headers=headers, json=body)
    answer.raise_for_status()
context = span.get_span_context()
print(json.dumps({"trace": f"{context.trace_id:032x}", "span": f"{context.span_id:016x}"}))
