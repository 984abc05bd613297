#!/usr/bin/env python3
"""Yesterday's tokens by model, then requests as they happen, over gRPC.

Needs grpcio, grpcio-reflection and protobuf; the contract comes by server reflection.
MODASH_URL is analytics; MODASH_TOKEN_FILE or MODASH_TOKEN has a token, if needed.
"""

import datetime
import os
import pathlib

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

SERVICE = "modash.v1.AnalyticsService"


def token():
    if file := os.environ.get("MODASH_TOKEN_FILE"):
        return pathlib.Path(file).read_text().strip()
    return os.environ.get("MODASH_TOKEN")


class WithToken(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor,
                grpc.StreamStreamClientInterceptor):
    """Adds the token to every call, those of reflection included."""

    def __init__(self, token):
        self.metadata = (("authorization", f"Bearer {token}"),)

    def add(self, call, details, request):
        metadata = (*(details.metadata or ()), *self.metadata)
        return call(details._replace(metadata=metadata), request)

    intercept_unary_unary = intercept_unary_stream = intercept_stream_stream = add


def open_channel(url):
    scheme, address = url.rstrip("/").split("://")
    if scheme == "https":
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials())
    else:
        channel = grpc.insecure_channel(address)
    return grpc.intercept_channel(channel, WithToken(token())) if token() else channel


def main():
    channel = open_channel(os.environ.get("MODASH_URL", "http://127.0.0.1:4007"))
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    methods = pool.FindServiceByName(SERVICE).methods_by_name

    def call(name, **arguments):
        method = methods[name]
        kind = channel.unary_stream if method.server_streaming else channel.unary_unary
        answer = message_factory.GetMessageClass(method.output_type)
        invoke = kind(f"/{SERVICE}/{name}", lambda message: message.SerializeToString(), answer.FromString)
        return invoke(message_factory.GetMessageClass(method.input_type)(**arguments))

    today = datetime.datetime.now(datetime.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    yesterday = {"start": today - datetime.timedelta(days=1), "end": today}
    print("tokens of yesterday (UTC) by model", flush=True)
    for row in call("ModelBreakdown", range=yesterday, order="MODEL_ORDER_TOTAL_TOKENS").rows:
        print(f"{row.total_tokens:12}  {row.model}", flush=True)

    print("requests as they happen", flush=True)
    phases = pool.FindEnumTypeByName("modash.v1.RequestPhase").values_by_number
    for message in call("Subscribe", topics=["TOPIC_REQUEST_STATE"]):
        for request in message.connected.requests or message.request_state_updated.requests:
            phase = phases[request.phase].name.removeprefix("REQUEST_PHASE_").lower()
            print(f"{phase:>12}  {request.model or '-'}  {request.event_id}", flush=True)


if __name__ == "__main__":
    main()
