# SPDX-License-Identifier: Apache-2.0
"""What the tests share: a server per set of flags, clients, a passage and its question."""

import unittest
from functools import cache
from pathlib import Path
from typing import Any

import openai
from server import Server

TEMPLATES = Path(__file__).parent / "templates"


def client_of(server: Server, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(**({"base_url": f"{server.base_url}/v1", "api_key": "none", "max_retries": 0} | options))


def async_client_of(server: Server, **options: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(**({"base_url": f"{server.base_url}/v1", "api_key": "none", "max_retries": 0} | options))


@cache
def shared_server(*flags: str) -> Server:
    return Server(*flags)


PASSAGE = (
    "Tomas lives in Berlin. On Sundays Tomas is busy with chess. The pet of Tomas is a parrot. Tomas is a painter."
)
QUESTION = [{"role": "user", "content": f"{PASSAGE}\n\nWhere does Tomas live?"}]
MODEL = "tiny-llama"


class ClientTest(unittest.TestCase):
    """Greedy by default: what a test does not ask for must not vary."""

    flags: tuple[str, ...] = ()

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = shared_server(*cls.flags)
        cls.client = client_of(cls.server)

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
