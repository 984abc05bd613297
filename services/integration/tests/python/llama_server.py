#!/usr/bin/env python3
"""Runs llama.cpp's own HTTP server with a tiny model on a free port of 127.0.0.1.

Writes "LISTEN http://127.0.0.1:PORT" once the model is loaded. With a large --context loading
takes seconds, in which the server answers 503. Ends when it is killed or its parent has ended.
"""

import argparse
import os
import sys
import time


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--directory", required=True, help="where the model is written")
    parser.add_argument("--context", type=int, default=8192, help="tokens, of two slots together")
    parser.add_argument("--embeddings", action="store_true", help="serve embeddings, not text")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    arguments = parser.parse_args()
    try:
        import xllamacpp
        from tiny_model import write_model
    except ImportError as error:
        sys.exit(f"llama_server: {error}; install requirements.txt")

    model = os.path.join(arguments.directory, "tiny.gguf")
    write_model(model)
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.model_alias = ["tiny-random"]
    params.port = arguments.port
    params.n_ctx, params.n_parallel = arguments.context, 2
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.endpoint_metrics = params.endpoint_slots = True
    params.use_jinja = True
    if arguments.embeddings:
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    parent = os.getppid()
    server = xllamacpp.Server(params)
    print("LISTEN", server.listening_address, flush=True)
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


if __name__ == "__main__":
    main()
