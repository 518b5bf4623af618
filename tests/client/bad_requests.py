# SPDX-License-Identifier: Apache-2.0
"""The corpus of bad requests. An entry's request is `body` (JSON), or `raw` text, or `base64` bytes, or `prefix`,
`repeat` (a text, how often) and `suffix`; `wire` is all that is sent, the request line included."""

import base64
import json
from pathlib import Path
from typing import Any

CORPUS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("bad_requests.json").read_text())


def payload(entry: dict[str, Any]) -> bytes | None:
    if "body" in entry:
        return json.dumps(entry["body"]).encode()
    if "base64" in entry:
        return base64.b64decode(entry["base64"])
    if "repeat" in entry:
        text, count = entry["repeat"]
        return (entry.get("prefix", "") + text * count + entry.get("suffix", "")).encode()
    return entry["raw"].encode() if "raw" in entry else None
