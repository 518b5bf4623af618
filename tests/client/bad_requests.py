# SPDX-License-Identifier: Apache-2.0
"""The corpus of bad requests. An entry's request is `body` (JSON), or `raw` text, or `base64` bytes, or `prefix`,
`repeat` (a text, how often) and `suffix`; `wire` is all that is sent, the request line included."""

import base64
import json
from pathlib import Path
from typing import Any

CORPUS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("bad_requests.json").read_text())
MANY = 1_000_000


def huge_requests() -> list[dict[str, Any]]:
    """Bodies just below the server's limit of 16 MiB, flat: what they hold is too much, not too deep."""
    ids = ",".join(["1             "] * MANY)
    keys = ",".join(f'"{key:07}":100' for key in range(MANY))
    text = "x" * (15 * MANY)
    bodies = [
        ("a million token ids", f'{{"max_tokens":1,"prompt":[{ids}]}}', "prompt"),
        ("a million keys", f'{{"max_tokens":1,"prompt":"x","logit_bias":{{{keys}}}}}', "logit_bias"),
        ("a string of 15 MB", f'{{"max_tokens":1,"prompt":"{text}"}}', "prompt"),
        ("a stop string of 15 MB", f'{{"max_tokens":1,"prompt":"x","stop":"{text}"}}', "stop"),
    ]
    return [
        {"name": name, "path": "/v1/completions", "raw": body, "status": 400, "param": param}
        for name, body, param in bodies
    ]


def payload(entry: dict[str, Any]) -> bytes | None:
    if "body" in entry:
        return json.dumps(entry["body"]).encode()
    if "base64" in entry:
        return base64.b64decode(entry["base64"])
    if "repeat" in entry:
        text, count = entry["repeat"]
        return (entry.get("prefix", "") + text * count + entry.get("suffix", "")).encode()
    return entry["raw"].encode() if "raw" in entry else None
