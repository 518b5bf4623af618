# SPDX-License-Identifier: Apache-2.0
"""The asynchronous client: every test of the other one, many requests at once, and clients that go away."""

import asyncio
import time
import unittest
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any

import openai
import test_chat
import test_completions
import test_errors
import test_operations
import test_structured
from served import PASSAGE, QUESTION, Awaited, ClientTest, async_client_of, client_of, request_that_fills, shared_server

PROMPTS = [f"{PASSAGE * (1 + i % 3)}\n\nQuestion {i}: where does Tomas live?" for i in range(12)]


class Asynchronous(ClientTest):
    http_client = staticmethod(openai.DefaultAsyncHttpxClient)

    @staticmethod
    async def body_of(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    @classmethod
    def make_client(cls, **options: Any) -> Any:
        return Awaited(async_client_of(cls.server, **options))


def asynchronous_tests(*modules: ModuleType) -> dict[str, type[ClientTest]]:
    """The tests of the modules once more, with the asynchronous client."""
    return {
        f"Async{name}": type(f"Async{name}", (Asynchronous, case), {"__module__": __name__})
        for module in modules
        for name, case in vars(module).items()
        if isinstance(case, type) and issubclass(case, ClientTest) and case.__module__ == module.__name__
    }


globals().update(asynchronous_tests(test_chat, test_completions, test_errors, test_operations, test_structured))


def options(index: int) -> dict[str, Any]:
    return {
        "model": "tiny-llama",
        "messages": [{"role": "user", "content": PROMPTS[index]}],
        "temperature": 0 if index % 2 else 1.2,
        "seed": index,
        "max_tokens": 8 + index,
    }


class Concurrency(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.server = shared_server()

    async def asyncSetUp(self) -> None:
        asyncio.get_running_loop().set_debug(False)  # it warns of every slow answer

    async def streamed(self, client: openai.AsyncOpenAI, index: int) -> str:
        stream = await client.chat.completions.create(stream=True, **options(index))
        return "".join([event.choices[0].delta.content or "" async for event in stream])

    async def test_streams_at_once_give_what_each_gives_alone(self) -> None:
        alone = [
            client_of(self.server).chat.completions.create(**options(i)).choices[0].message.content
            for i in range(len(PROMPTS))
        ]
        async with async_client_of(self.server) as client:
            together = await asyncio.gather(*(self.streamed(client, i) for i in range(len(PROMPTS))))
        self.assertEqual(together, alone)

    async def test_a_client_that_goes_away_cancels_its_request(self) -> None:
        num_choices, max_tokens = 16, 900  # long enough that none of them has ended by itself
        before = self.server.metric("generation_tokens_total")
        async with async_client_of(self.server) as client:
            stream = await client.chat.completions.create(
                model="tiny-llama",
                messages=QUESTION,
                stream=True,
                n=num_choices,
                max_tokens=max_tokens,
                extra_body={"ignore_eos": True},
            )
            async for event in stream:
                if event.choices[0].delta.content:
                    break
            await stream.close()
        deadline = time.monotonic() + 5
        while self.server.metric("num_requests_running") > 0:
            self.assertLess(time.monotonic(), deadline, "the request goes on without its client")
            await asyncio.sleep(0.02)
        num_generated = self.server.metric("generation_tokens_total") - before
        self.assertGreater(num_generated, 0)
        self.assertLess(num_generated, num_choices * max_tokens)


class Priorities(unittest.IsolatedAsyncioTestCase):
    """Requests that fill the server one at a time, each far longer than what the test does meanwhile."""

    NUM_SEQS = 32

    @classmethod
    def setUpClass(cls) -> None:
        # The streams are not read any further.
        cls.server = shared_server("--max-num-seqs", str(cls.NUM_SEQS), "--max-stream-buffer-bytes", str(1 << 28))

    async def asyncSetUp(self) -> None:
        asyncio.get_running_loop().set_debug(False)

    async def start(self, client: openai.AsyncOpenAI, priority: int) -> Any:
        """A stream of which the first event has come."""
        stream = await client.completions.create(**request_that_fills(self.NUM_SEQS, priority))
        await anext(aiter(stream))
        return stream

    async def wait_until_waiting(self, num_requests: int) -> None:
        deadline = time.monotonic() + 30
        while self.server.metric("num_requests_waiting") != num_requests:
            self.assertLess(time.monotonic(), deadline)
            await asyncio.sleep(0.005)

    async def test_the_urgent_one_of_two_that_wait_is_first(self) -> None:
        async with async_client_of(self.server) as client:
            first = await self.start(client, priority=0)
            ordinary = asyncio.create_task(self.start(client, priority=0))
            await self.wait_until_waiting(1)
            urgent = asyncio.create_task(self.start(client, priority=-1000000))
            await self.wait_until_waiting(2)
            await first.close()
            started = await urgent
            self.assertFalse(ordinary.done())
            await started.close()
            await (await ordinary).close()
