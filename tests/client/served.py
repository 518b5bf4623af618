# SPDX-License-Identifier: Apache-2.0
"""What the tests share: a server per set of flags, clients of both kinds, a passage and its question."""

import asyncio
import atexit
import inspect
import unittest
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import openai
import pydantic
from server import Server

TEMPLATES = Path(__file__).parent / "templates"
KV_CACHE_BYTES = 64 << 20  # 32 of the longest sequences; the default takes half a gigabyte, for each server


def client_of(server: Server, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(**({"base_url": f"{server.base_url}/v1", "api_key": "none", "max_retries": 0} | options))


def async_client_of(server: Server, **options: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(**({"base_url": f"{server.base_url}/v1", "api_key": "none", "max_retries": 0} | options))


@cache
def event_loop() -> asyncio.AbstractEventLoop:
    """Where the asynchronous client lives between the calls of a test."""
    loop = asyncio.new_event_loop()
    atexit.register(close, loop)
    return loop


def close(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_until_complete(loop.shutdown_asyncgens())  # of streams that were left
    loop.close()


class Awaited:
    """A part of the asynchronous client, used like its twin of the other one: whatever must be awaited is."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Any:
        return awaited(getattr(self._target, name))

    def __call__(self, *args: Any, **options: Any) -> Any:
        return awaited(self._target(*args, **options))

    def __iter__(self) -> Iterator[Any]:
        events = aiter(self._target)
        while (event := awaited(anext(events, None))) is not None:
            yield event

    def __enter__(self) -> Any:
        return awaited(self._target.__aenter__())

    def __exit__(self, *error: Any) -> None:
        awaited(self._target.__aexit__(*error))


def awaited(value: Any) -> Any:
    if inspect.isawaitable(value):
        value = event_loop().run_until_complete(value)
    is_of_client = type(value).__module__.partition(".")[0] == "openai" and not isinstance(value, pydantic.BaseModel)
    is_part = callable(value) or is_of_client
    return Awaited(value) if is_part else value


def start_server(*flags: str, **options: Any) -> Server:
    return Server("--kv-cache-memory-bytes", str(KV_CACHE_BYTES), *flags, **options)


shared_server = cache(start_server)


PASSAGE = (
    "Tomas lives in Berlin. On Sundays Tomas is busy with chess. The pet of Tomas is a parrot. Tomas is a painter."
)
QUESTION = [{"role": "user", "content": f"{PASSAGE}\n\nWhere does Tomas live?"}]
MODEL = "tiny-llama"


def request_that_fills(num_seqs: int, priority: int) -> dict[str, Any]:
    """A stream of as many sequences as the server runs, far longer than what a test does meanwhile."""
    extra_body = {"ignore_eos": True, "priority": priority}
    options = {"model": MODEL, "prompt": "Once", "n": num_seqs, "max_tokens": 900}
    return {**options, "stream": True, "extra_body": extra_body}


class ClientTest(unittest.TestCase):
    """Greedy by default: what a test does not ask for must not vary."""

    flags: tuple[str, ...] = ()
    http_client = staticmethod(openai.DefaultHttpxClient)

    @staticmethod
    def body_of(parts: Iterator[bytes]) -> Any:
        """A request's body, sent part by part."""
        return parts

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = shared_server(*cls.flags)
        cls.client = cls.connect()

    @classmethod
    def connect(cls, **options: Any) -> Any:
        """A client of the server, closed behind the tests."""
        client = cls.make_client(**options)
        cls.addClassCleanup(client.close)
        return client

    @classmethod
    def make_client(cls, **options: Any) -> Any:
        """Tests run with both kinds of clients, see test_async.py."""
        return client_of(cls.server, **options)

    def chat(self, messages: list[dict[str, Any]] | None = None, **options: Any) -> Any:
        options = {"model": MODEL, "temperature": 0, "max_tokens": 24} | options
        return self.client.chat.completions.create(messages=messages or QUESTION, **options)

    def text(self, prompt: Any, **options: Any) -> Any:
        options = {"model": MODEL, "temperature": 0, "max_tokens": 16} | options
        return self.client.completions.create(prompt=prompt, **options)

    def tokens_of(self, text: str, **options: Any) -> list[int]:
        status, body = self.server.post("/tokenize", {"prompt": text} | options)
        self.assertEqual(status, 200, body)
        return body["tokens"]
