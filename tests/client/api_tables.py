# SPDX-License-Identifier: Apache-2.0
"""The tables of docs/api.md, from a server's OpenAPI document: `python tests/client/api_tables.py URL`."""

import json
import sys
import urllib.request
from typing import Any


def type_of(schema: dict[str, Any]) -> str:
    """A short name: "integer, 1 to 8", "string or list"."""
    for key in ("anyOf", "allOf", "oneOf"):
        if key in schema:
            names = [type_of(option) for option in schema[key]]
            return " or ".join(dict.fromkeys(name for name in names if name != "null")) or "null"
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " or ".join(f"`{json.dumps(value)}`" for value in values)
    types = schema.get("type", "anything")
    name = " or ".join(one for one in ([types] if isinstance(types, str) else types) if one != "null") or "null"
    low, high = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        name += f", above {schema['exclusiveMinimum']}"
    if low is not None and high is not None:
        name += f", {low} to {high}"
    elif low is not None:
        name += f", {low} or more"
    elif high is not None:
        name += f", {high} or less"
    if "exclusiveMaximum" in schema:
        name += f", below {schema['exclusiveMaximum']}"
    return name


def rows_of(schema: dict[str, Any]) -> list[str]:
    rows = []
    for name, field in schema["properties"].items():
        required = name in schema.get("required", [])
        default = "required" if required else json.dumps(field["default"]) if "default" in field else ""
        rows.append(f"| `{name}` | {type_of(field)} | {default} | {field['description']} |".replace("|  |", "| |"))
    return rows


def table(title: str, rows: list[str]) -> str:
    rows = [row for row in rows if "Not supported" not in row]  # there is a section on those
    return f"## {title}\n\n| field | type | default | |\n|---|---|---|---|\n" + "\n".join(rows) + "\n\n"


def tables_of(document: dict[str, Any]) -> str:
    schemas = document["components"]["schemas"]
    text, conversation = schemas["TokenizeRequest"]["oneOf"]
    chat, completion = rows_of(schemas["ChatRequest"]), rows_of(schemas["CompletionRequest"])
    return (
        table("Fields of /v1/chat/completions", [row for row in chat if row not in completion])
        + table("Fields of /v1/completions", [row for row in completion if row not in chat])
        + table("Fields of both", [row for row in chat if row in completion])
        + table("Fields of /tokenize, of a text", rows_of(text))
        + table("Fields of /tokenize, of a conversation", rows_of(conversation))
        + table("Fields of /detokenize", rows_of(schemas["DetokenizeRequest"]))
    )


if __name__ == "__main__":
    with urllib.request.urlopen(f"{sys.argv[1]}/openapi.json") as answer:
        print(tables_of(json.load(answer)), end="")
