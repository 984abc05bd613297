#!/usr/bin/env python3
"""Calls a gRPC method knowing nothing but the address of the server.

The contract is learnt by server reflection; no generated code, no .proto file.
MODASH_TOKEN is the token to show, if there is one. Prints the response as JSON with the names of the contract. Exit code 1 and one
line on standard error if anything is missing.
"""

import argparse
import json
import os
import pathlib
import sys


def with_token(channel, token: str):
    """The channel, which adds the token to every call, those of reflection included."""
    import grpc

    class WithToken(grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):
        def add(self, call, details, request):
            metadata = (*(details.metadata or ()), ("authorization", f"Bearer {token}"))
            return call(details._replace(metadata=metadata), request)

        intercept_unary_unary = intercept_stream_stream = add

    return grpc.intercept_channel(channel, WithToken())


def open_channel(address: str, authority: pathlib.Path | None):
    """Over TLS, if there is a file of an authority."""
    import grpc

    if authority is None:
        return grpc.insecure_channel(address)
    credentials = grpc.ssl_channel_credentials(root_certificates=authority.read_bytes())
    return grpc.secure_channel(address, credentials)


def call(
    address: str,
    authority: pathlib.Path | None,
    service: str,
    method: str,
    request: dict,
    timeout: float,
) -> str:
    import grpc
    from google.protobuf import descriptor_pool, json_format, message_factory
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
        ProtoReflectionDescriptorDatabase,
    )

    with open_channel(address, authority) as opened:
        try:
            grpc.channel_ready_future(opened).result(timeout=timeout)
        except grpc.FutureTimeoutError:
            raise TimeoutError(f"nobody answers within {timeout:g} s") from None
        token = os.environ.get("MODASH_TOKEN")
        channel = with_token(opened, token) if token else opened
        database = ProtoReflectionDescriptorDatabase(channel)
        services = list(database.get_services())
        if service not in services:
            raise LookupError(f"no service {service}; there are {', '.join(sorted(services))}")
        pool = descriptor_pool.DescriptorPool(database)
        methods = pool.FindServiceByName(service).methods_by_name
        if method not in methods:
            raise LookupError(f"{service} has no {method}, only {', '.join(sorted(methods))}")
        types = methods[method]
        request_class = message_factory.GetMessageClass(types.input_type)
        response_class = message_factory.GetMessageClass(types.output_type)
        invoke = channel.unary_unary(
            f"/{service}/{method}",
            request_serializer=request_class.SerializeToString,
            response_deserializer=response_class.FromString,
        )
        message = json_format.ParseDict(request, request_class())
        response = invoke(message, timeout=timeout)
        return json_format.MessageToJson(
            response,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )


def explain(error: Exception) -> str:
    """One line for any error; those of gRPC are long."""
    code = getattr(error, "code", None)
    if callable(code):
        return f"{code().name}: {error.details()}"
    return f"{type(error).__name__}: {error}".rstrip(": ")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--analytics", required=True, metavar="HOST:PORT")
    parser.add_argument("--authority", type=pathlib.Path, help="file of it (PEM), for TLS")
    parser.add_argument("--service", default="modash.v1.AnalyticsService")
    parser.add_argument("--method", default="UsageSummary")
    parser.add_argument("--request", default="{}", type=json.loads, help="the request as JSON")
    parser.add_argument("--timeout-seconds", default=10.0, type=float)
    arguments = parser.parse_args()
    # The server under test is reached directly, whatever the environment says.
    os.environ["no_grpc_proxy"] = "*"
    os.environ["NO_PROXY"] = "*"
    try:
        text = call(
            arguments.analytics,
            arguments.authority,
            arguments.service,
            arguments.method,
            arguments.request,
            arguments.timeout_seconds,
        )
    except ImportError as error:
        print(f"reflect: {error}; install requirements.txt", file=sys.stderr)
        return 1
    except Exception as error:
        print(f"reflect: {arguments.analytics}: {explain(error)}", file=sys.stderr)
        return 1
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
