# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 on a raw socket: strict about framing, and cheap enough for a thousand connections at once."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any


def encode(path: str, body: dict[str, Any]) -> bytes:
    """A request as it goes over the wire."""
    data = json.dumps(body).encode()
    return b"POST %s HTTP/1.1\r\nHost: load\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        path.encode(),
        len(data),
        data,
    )


@dataclass
class Choice:
    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    finish_reason: str | None = None


@dataclass
class Answer:
    """What a generation gave; equal for a streamed and a whole answer with the same content."""

    choices: dict[int, Choice]
    usage: dict[str, Any]


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int) -> "Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def close(self) -> None:
        self.writer.close()

    async def read_head(self) -> tuple[int, dict[str, str]]:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:-2])
        return int(lines[0].split(" ")[1]), headers

    async def read_chunk(self) -> bytes:
        """One chunk of a chunked body; the last one is empty."""
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        data = await self.reader.readexactly(size + 2)
        if data[-2:] != b"\r\n":
            raise ValueError(f"a chunk ends with {data[-2:]!r}")
        return data[:-2]

    async def read_body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return await self.reader.readexactly(int(headers["content-length"]))
        body = b""
        while chunk := await self.read_chunk():
            body += chunk
        return body

    async def read_answer(self) -> Answer:
        return await self.read_rest(*await self.read_head())

    async def read_rest(self, status: int, headers: dict[str, str]) -> Answer:
        """What follows the head."""
        return self.answer_of(status, headers, await self.read_body(headers))

    @staticmethod
    def answer_of(status: int, headers: dict[str, str], body: bytes) -> Answer:
        if status != 200:
            raise ValueError(f"status {status}: {body!r}")
        if headers["content-type"].startswith("text/event-stream"):
            return answer_of_events(body)
        return answer_of_json(json.loads(body))

    async def generate(self, path: str, body: dict[str, Any]) -> Answer:
        self.writer.write(encode(path, body))
        return await self.read_answer()


def answer_of_json(body: dict[str, Any]) -> Answer:
    choices = {
        each["index"]: Choice(
            each["text"] if "text" in each else each["message"]["content"], each["token_ids"], each["finish_reason"]
        )
        for each in body["choices"]
    }
    return Answer(choices, body["usage"])


def answer_of_events(body: bytes) -> Answer:
    """Joins a stream, which must end once, with its usage just before the end."""
    *events, rest = body.split(b"\n\n")
    if rest or any(not event.startswith(b"data: ") for event in events):
        raise ValueError(f"not a stream of events: {body!r}")
    if events.count(b"data: [DONE]") != 1 or events.pop() != b"data: [DONE]":
        raise ValueError(f"[DONE] must be once, at the end: {body!r}")
    chunks = [json.loads(event[len(b"data: ") :]) for event in events]
    if any("error" in chunk for chunk in chunks) or len({chunk["id"] for chunk in chunks}) != 1:
        raise ValueError(f"a stream has one id and no error: {body!r}")
    if chunks[-1]["choices"] or any(chunk["usage"] for chunk in chunks[:-1]):
        raise ValueError(f"usage must be in the last chunk, and only there: {body!r}")
    choices: dict[int, Choice] = {}
    for piece in (each for chunk in chunks[:-1] for each in chunk["choices"]):
        choice = choices.setdefault(piece["index"], Choice())
        if choice.finish_reason is not None:
            raise ValueError(f"choice {piece['index']} goes on after its end: {body!r}")
        choice.text += piece["text"] if "text" in piece else piece["delta"].get("content", "")
        choice.token_ids += piece.get("token_ids", [])
        choice.finish_reason = piece["finish_reason"]
    return Answer(choices, chunks[-1]["usage"])
