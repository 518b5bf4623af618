# SPDX-License-Identifier: Apache-2.0
"""Clients that behave badly. Each takes the port and a source of chance, and is done within a few seconds."""

import asyncio
import random
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from connection import encode
from loaded_server import greedy

from bad_requests import CORPUS, payload  # isort: skip  (on the path since loaded_server)

LIMIT_S = 2  # the server's timeouts for headers and bodies
MAX_BODY_BYTES = 64 * 1024
FLAGS = (
    *("--header-timeout", str(LIMIT_S), "--body-timeout", str(LIMIT_S), "--write-timeout", str(LIMIT_S)),
    *("--max-body-bytes", str(MAX_BODY_BYTES), "--max-stream-buffer-bytes", "16384"),
)
CLOSE_TIMEOUT_S = 20


class Rude:
    """A raw socket that may read as little as it likes and go away with a reset."""

    def __init__(self, random_source: random.Random, receive_bytes: int | None = None) -> None:
        self.random = random_source
        self.socket = socket.socket()
        self.socket.setblocking(False)
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)

    async def connect(self, port: int) -> None:
        await asyncio.get_running_loop().sock_connect(self.socket, ("127.0.0.1", port))

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.socket, max_bytes)

    async def pause(self, max_s: float) -> None:
        await asyncio.sleep(self.random.uniform(0, max_s))

    async def read_to_end(self) -> bytes:
        """All until the server closes, which it must."""

        async def pieces() -> bytes:
            data = b""
            while piece := await self.receive():
                data += piece
            return data

        return await asyncio.wait_for(pieces(), CLOSE_TIMEOUT_S)

    def leave(self) -> None:
        if self.random.random() < 0.5:  # a reset instead of a goodbye
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def stream_request(random_source: random.Random, max_tokens: int = 400, **fields) -> bytes:
    return encode("/v1/completions", greedy(random_source.randrange(1000), max_tokens, **fields))


async def leave_before_the_request_is_sent(rude: Rude) -> None:
    data = stream_request(rude.random)
    await rude.send(data[: rude.random.randrange(len(data))])
    await rude.pause(0.2)


async def leave_while_it_streams(rude: Rude) -> None:
    await rude.send(stream_request(rude.random))
    for _ in range(rude.random.randrange(5)):
        await rude.receive(rude.random.randrange(1, 4000))


async def leave_before_an_answer_in_one_piece(rude: Rude) -> None:
    await rude.send(stream_request(rude.random, n=4, temperature=1, stream=False, stream_options=None))
    await rude.pause(0.3)


async def send_several_and_leave(rude: Rude) -> None:
    await rude.send(b"".join(stream_request(rude.random, 40) for _ in range(5)))
    await rude.receive()
    await rude.pause(0.3)


async def ask_for_megabytes(rude: Rude) -> None:
    """Kilobytes a token: more than the system's own buffers take."""
    await rude.send(stream_request(rude.random, 900, logprobs=20, n=8, temperature=1))


async def read_slowly(rude: Rude) -> None:
    """Takes hardly any of what it asked for: the server must cancel it."""
    await ask_for_megabytes(rude)
    await rude.pause(2 * LIMIT_S)
    await rude.receive(100)
    await rude.pause(1)


async def drip_a_header(rude: Rude) -> None:
    """Must end by itself, whatever the server thinks of it."""

    async def drip() -> None:
        while True:
            await rude.send(b"X-Slow: yes\r\n")
            await asyncio.sleep(0.1)

    await rude.send(b"GET /health HTTP/1.1\r\nHost: load\r\n")
    dripping = asyncio.ensure_future(drip())
    try:
        await rude.read_to_end()
    finally:
        dripping.cancel()
        await asyncio.wait([dripping])
        dripping.cancelled() or dripping.exception()


async def stop_within_a_body(rude: Rude) -> None:
    await rude.send(stream_request(rude.random)[:-1])
    expect(await rude.read_to_end(), {408})


async def announce_a_huge_body(rude: Rude) -> None:
    size = rude.random.choice((MAX_BODY_BYTES + 1, 10**9, 2**63 - 1))
    await rude.send(b"POST /v1/completions HTTP/1.1\r\nHost: load\r\nContent-Length: %d\r\n\r\n{" % size)
    expect(await rude.read_to_end(), {413})


async def send_chunks_without_end(rude: Rude) -> None:
    """Until the server has enough, and closes."""

    async def chunks() -> None:
        while True:
            await rude.send(b"1000\r\n" + b" " * 0x1000 + b"\r\n")
            await asyncio.sleep(0)

    await rude.send(b"POST /v1/completions HTTP/1.1\r\nHost: load\r\nTransfer-Encoding: chunked\r\n\r\n")
    await asyncio.wait_for(chunks(), CLOSE_TIMEOUT_S)


async def send_a_huge_header(rude: Rude) -> None:
    await rude.send(b"GET /health HTTP/1.1\r\nHost: load\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n")
    expect(await rude.read_to_end(), {431})


async def send_noise(rude: Rude) -> None:
    await rude.send(rude.random.randbytes(rude.random.randrange(1, 3000)) + b"\r\n\r\n")
    expect(await rude.read_to_end(), {400, 408, 431})


async def send_a_damaged_request(rude: Rude) -> None:
    data = bytearray(stream_request(rude.random, 20))
    for _ in range(rude.random.randint(1, 4)):
        data[rude.random.randrange(len(data))] = rude.random.randrange(256)
    await rude.send(bytes(data))
    await rude.receive()


async def send_a_bad_request(rude: Rude) -> None:
    await send_entry(rude, rude.random.choice(CORPUS))


async def send_entry(rude: Rude, entry: dict[str, Any]) -> None:
    if "wire" in entry:
        data = entry["wire"].encode()
    else:
        body = payload(entry) or b""
        line = f"{entry.get('method', 'POST')} {entry['path']} HTTP/1.1\r\nHost: load\r\nConnection: close\r\n"
        kind = entry.get("content_type", "application/json")
        data = f"{line}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    await rude.send(data)
    expect(await rude.read_to_end(), {entry["status"], 413})


async def say_no_more_and_read(rude: Rude) -> None:
    """Closes its own direction after the request, as `nc -N` does."""
    await rude.send(stream_request(rude.random, 20))
    rude.socket.shutdown(socket.SHUT_WR)
    await rude.read_to_end()


Client = Callable[[Rude], Awaitable[None]]
CLIENTS: tuple[Client, ...] = (
    leave_before_the_request_is_sent,
    leave_while_it_streams,
    leave_before_an_answer_in_one_piece,
    send_several_and_leave,
    read_slowly,
    drip_a_header,
    stop_within_a_body,
    announce_a_huge_body,
    send_chunks_without_end,
    send_a_huge_header,
    send_noise,
    send_a_damaged_request,
    send_a_bad_request,
    say_no_more_and_read,
)


def expect(answer: bytes, statuses: set[int]) -> None:
    if not answer.startswith(b"HTTP/1.1 ") or int(answer[9:12]) not in statuses:
        raise AssertionError(f"expected {statuses}, got {answer[:300]!r}")


async def behave_badly(port: int, random_source: random.Random, client: Client) -> None:
    """That the server hangs up on it is no error."""
    rude = Rude(random_source, 1 if client is read_slowly else None)
    try:
        await rude.connect(port)
        await client(rude)
    except ConnectionError:
        pass
    except (AssertionError, asyncio.TimeoutError) as error:
        raise AssertionError(f"{client}: {error!r}") from error
    finally:
        rude.leave()
