#!/usr/bin/env python3
"""An independent WebSocket client (the websockets package) against an echo: python3 client.py ws://HOST:PORT/"""
import asyncio
import os
import sys

try:
    import websockets
except ImportError:
    print("no Python package websockets (Debian: python3-websockets)")
    sys.exit(77)

LONG = "héllo " * 50_000  # 350 KB in UTF-8


async def talk(uri, compression):
    async with websockets.connect(uri, compression=compression, max_size=2**20, close_timeout=10) as socket:
        agreed = [extension.name for extension in socket.extensions]
        assert ("permessage-deflate" in agreed) == (compression is not None), agreed
        for message in ["", "one", "grüße", LONG, b"", b"\0\xff", os.urandom(300_000)]:
            await socket.send(message)
            answer = await asyncio.wait_for(socket.recv(), 20)
            assert answer == message, f"{len(message)} sent, {len(answer)} came back"
        await socket.send(["in ", "three ", "fragments"])
        assert await asyncio.wait_for(socket.recv(), 20) == "in three fragments"
        await asyncio.wait_for(await socket.ping(b"are you there"), 20)
        for number in range(100):
            await socket.send(str(number))
        for number in range(100):
            assert await asyncio.wait_for(socket.recv(), 20) == str(number)
        await socket.close(1000, "bye")
        assert socket.close_code == 1000, socket.close_code


async def main(uri):
    await talk(uri, None)
    await talk(uri, "deflate")
    await asyncio.gather(*(talk(uri, "deflate") for _ in range(5)))


asyncio.run(asyncio.wait_for(main(sys.argv[1]), 90))
