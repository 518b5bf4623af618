# SPDX-License-Identifier: Apache-2.0
"""Random short requests of every kind, from a seed. Each body's answer is determined: sampling is seeded, too."""

import random
from dataclasses import dataclass
from typing import Any

from loaded_server import prompt

NUM_PROMPTS = 12
# Far from done when a client that read a few events goes away.
CANCELLED_MAX_TOKENS = 900


@dataclass
class SoakRequest:
    kind: str
    path: str
    body: dict[str, Any]
    num_events_read: int | None = None  # then the client goes away


def completion(idx: int, **fields: Any) -> dict[str, Any]:
    return {"prompt": prompt(idx), "max_tokens": 8, "temperature": 0, "return_token_ids": True} | fields


def schema_request(idx: int, name: str) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {name: {"enum": ["chess", "music"]}, "busy": {"type": "boolean"}},
        "required": [name],
        "additionalProperties": False,
    }
    return {
        "messages": [{"role": "user", "content": prompt(idx)}],
        "max_tokens": 24,
        "temperature": 0,
        "return_token_ids": True,
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}},
    }


def draw(random_source: random.Random) -> SoakRequest:
    idx = random_source.randrange(NUM_PROMPTS)
    kind = random_source.choices(
        ("greedy", "sampled", "several", "stop", "schema", "new_schema", "cancelled"), (40, 16, 12, 12, 8, 2, 10)
    )[0]
    if kind == "cancelled":
        fields = {"max_tokens": CANCELLED_MAX_TOKENS, "ignore_eos": True, "stream": True}
        return SoakRequest(kind, "/v1/completions", completion(idx, **fields), random_source.randint(0, 5))
    path = "/v1/completions"
    if kind == "greedy":
        body = completion(idx, max_tokens=1 + idx % 8)
    elif kind == "sampled":
        body = completion(idx, temperature=0.9, top_p=0.9, seed=idx)
    elif kind == "several":
        body = completion(idx, temperature=0.9, seed=idx, n=2 + idx % 3)
    elif kind == "stop":
        body = completion(idx, max_tokens=32, stop=[".", " is"], seed=idx)
    else:
        path = "/v1/chat/completions"
        body = schema_request(idx, "hobby" if kind == "schema" else f"hobby_{random_source.getrandbits(40):x}")
    if random_source.random() < 0.5:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return SoakRequest(kind, path, body)
