#!/usr/bin/env python3
"""A WebSocket server that gives back what it gets, and a client that tries
everything on it: `serve` prints its port; `talk URL` ends with exit code 1 at the
first difference."""

import asyncio
import os
import random
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

MEGABYTE = 1 << 20


async def echo(socket) -> None:
    try:
        async for message in socket:
            if message == "close me":
                await socket.close(4001, "as you wish")
            elif message == "ping me":
                await (await socket.ping(b"from the server"))
                await socket.send("you are there")
            else:
                await socket.send(message)
    except ConnectionClosed:
        pass
    code, reason = socket.close_code, socket.close_reason
    print(f"closed by the client with {code} {reason}", flush=True)


async def run_server() -> None:
    async with serve(echo, "127.0.0.1", 0, max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        print(f"listening on {port}", flush=True)
        await asyncio.Future()


def expect(what: str, actual: object, expected: object) -> None:
    if actual != expected:
        raise AssertionError(f"{what} is {actual!r:.200}, not {expected!r:.200}")


async def exchange(socket, what: str, message: str | bytes) -> None:
    await socket.send(message)
    answer = await socket.recv()
    expect(f"kind of {what}", type(answer), type(message))
    if answer != message:
        raise AssertionError(f"{what} came back different")


async def talk(url: str, compression: str | None) -> None:
    async with connect(url, max_size=None, compression=compression, proxy=None) as socket:
        await exchange(socket, "a short text", "hello")
        await exchange(socket, "an empty text", "")
        await exchange(socket, "an empty message", b"")
        for size in (125, 126, 65535, 65536, MEGABYTE, 5 * MEGABYTE):
            await exchange(socket, f"{size} bytes", os.urandom(size))
        await exchange(socket, "a long text", "é🦀x" * (MEGABYTE // 7))

        # One message in many frames, each in a write of its own.
        pieces = [os.urandom(random.randrange(1, 3000)) for _ in range(300)]
        await socket.send(pieces)
        expect("fragments", await socket.recv(), b"".join(pieces))
        words = ["frag", "", "ments ", "of a text"]
        await socket.send(words)
        expect("fragments of a text", await socket.recv(), "".join(words))

        # Many messages before the first answer is read.
        for number in range(500):
            await socket.send(f"message {number}")
        for number in range(500):
            expect("the next message", await socket.recv(), f"message {number}")

        await asyncio.wait_for(await socket.ping(b"from the client"), 30)
        await exchange(socket, "after a ping", "still there")
        await socket.send("ping me")
        expect("after the server's ping", await socket.recv(), "you are there")
        await socket.close(3001, "good bye")
        expect("close code", socket.close_code, 3001)

    async with connect(url, compression=compression, proxy=None) as socket:
        await socket.send("close me")
        try:
            await socket.recv()
        except ConnectionClosed:
            pass
        expect("close code of the server", socket.close_code, 4001)
        expect("its reason", socket.close_reason, "as you wish")
    print(f"all is well with compression {compression}")


async def run_client(url: str) -> None:
    for compression in (None, "deflate"):
        await asyncio.wait_for(talk(url, compression), 60)


if __name__ == "__main__":
    asyncio.run(run_server() if sys.argv[1] == "serve" else run_client(sys.argv[2]))
