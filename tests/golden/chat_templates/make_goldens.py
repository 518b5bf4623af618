# SPDX-License-Identifier: Apache-2.0
"""Renders the templates and expressions beside this file as transformers does, into JSON goldens.

    python make_goldens.py

Reads templates/*.jinja and expressions.txt; writes rendered.json and expressions.json. No randomness.
"""

from __future__ import annotations

import datetime as datetime_module
import json
from pathlib import Path
from typing import Any

import jinja2
import transformers
from transformers.utils import chat_template_utils

HERE = Path(__file__).parent
SPECIAL_TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}

VARIABLES: dict[str, Any] = {
    "user": {"name": "Ann Ö", "age": 31, "tags": ["x1", "y2"], "nested": {"deep": [1, 2.5, None]}},
    "users": [
        {"name": "Ann", "age": 31, "team": "red", "active": True, "tags": ["p"]},
        {"name": "bob", "age": 27, "team": "Blue", "active": False, "tags": ["q"]},
        {"name": "Cid", "age": 45, "team": "red", "active": True, "tags": ["r", "s"]},
    ],
    "nums": [1, 2, 3, 4, 5],
    "text": "hello",
    "tree": [
        {"name": "a", "children": [{"name": "b"}, {"name": "c", "children": [{"name": "d"}]}]},
        {"name": "e"},
    ],
}


class FixedDatetime(datetime_module.datetime):
    """The clock of the goldens."""

    @classmethod
    def now(cls, tz: datetime_module.tzinfo | None = None) -> FixedDatetime:
        return cls(2024, 7, 6, 9, 5, 3)


def message(role: str, content: Any = None, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def call(name: str, arguments: Any, call_id: str = "abcde1234") -> dict[str, Any]:
    return {"type": "function", "id": call_id, "function": {"name": name, "arguments": arguments}}


def conversations() -> list[dict[str, Any]]:
    weather = {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather of a place <now> & later",
            "parameters": {
                "type": "object",
                "properties": {
                    "place": {"type": "string", "description": " Città o \"città\" "},
                    "days": {"type": "integer", "minimum": 0, "default": 1},
                    "units": {"type": ["string", "null"], "enum": ["C", "F", None]},
                    "points": {"type": "array", "items": {"type": "number"}},
                    "extra": {"type": "object", "additionalProperties": {"type": "boolean"}},
                },
                "required": ["place"],
            },
            "return": {"type": "object"},
        },
    }
    clock = {
        "type": "function",
        "function": {
            "name": "clock",
            "description": "Time",
            "parameters": {"type": "object", "properties": {}},
        },
    }
    hi, hello = message("user", "Hi there"), message("assistant", "Hello! How can I help?")
    asks = message("user", "Weather in Zürich? 😀")
    calls = message("assistant", None, tool_calls=[call("get_weather", {"place": "Zürich", "days": 2})])
    result = message("tool", '{"temp": 21.5}', tool_call_id="abcde1234", name="get_weather")
    system = message("system", "Be brief.")
    cases = [
        ("one_user", [hi], {}),
        ("one_user_no_prompt", [hi], {"add_generation_prompt": False}),
        ("two_turns", [hi, hello, message("user", " and \n now? ")], {}),
        ("system", [system, hi, hello, message("user", "More")], {}),
        ("ends_with_assistant", [system, hi, hello], {"add_generation_prompt": False}),
        ("unicode", [message("user", "\u00a0日本語 ünïcödé 👩‍👩‍👧 \u2028end\t"), message("assistant", "ok\r\n"), hi], {}),
        ("template_like_text", [message("user", "{{ 7 * 7 }} {% if %} <|im_end|> </s>")], {}),
        ("wrong_order", [hi, message("user", "again")], {}),
        ("assistant_first", [hello, hi], {}),
        ("tools_offered", [system, asks], {"tools": [weather, clock]}),
        ("tool_round", [asks, calls, result], {"tools": [weather]}),
        ("tool_round_answered", [asks, calls, result, message("assistant", "21.5 °C"), message("user", "Thanks")], {"tools": [weather]}),
        (
            "two_tool_calls",
            [
                asks,
                message("assistant", "Let me look.", tool_calls=[call("get_weather", {}), call("clock", {"a": [1, None, True], "b": 1.0}, "xyzxyz789")]),
                result,
                message("tool", "12:00", tool_call_id="xyzxyz789"),
            ],
            {"tools": [weather, clock]},
        ),
        ("bad_tool_id", [asks, message("assistant", None, tool_calls=[call("clock", {}, "x")])], {"tools": [clock]}),
        ("parts", [message("user", [{"type": "image"}, {"type": "text", "text": " What is it? "}])], {}),
        ("thinking", [hi, message("assistant", "<think>\nhm\n</think>\n\nYes"), message("user", "Sure?"), message("assistant", "Yes.", reasoning="I am\n")], {"add_generation_prompt": False}),
        ("thinking_off", [hi], {"enable_thinking": False}),
        ("unknown_role", [message("critic", "No"), hi], {}),
        ("null_content", [hi, message("assistant", None), hi], {}),
        ("number_content", [message("user", 5)], {}),
        ("dated", [system, hi], {"date_string": "1 Jan 2001", "tools": None}),
        ("builtin_tool", [asks, message("assistant", None, tool_calls=[call("search", {"q": "x", "n": "2"})])], {"builtin_tools": ["search"], "tools": [clock]}),
        ("many_turns", [system] + [hi, hello] * 6 + [message("user", "Bye")], {}),
    ]
    return [
        {"name": name, "messages": messages, "tools": more.pop("tools", None), "add_generation_prompt": more.pop("add_generation_prompt", True), "extra": more}
        for name, messages, more in cases
    ]


def outcome(error: Exception) -> dict[str, str]:
    """What raise_exception was told, or that it failed in another way."""
    if type(error) is jinja2.exceptions.TemplateError:
        return {"raised": str(error.message)}
    return {"error": f"{type(error).__name__}: {error}"}


def render_conversation(source: str, case: dict[str, Any]) -> dict[str, str]:
    messages = [{k: v for k, v in m.items() if v is not None} for m in case["messages"]]
    try:
        rendered, _ = chat_template_utils.render_jinja_template(
            conversations=[messages],
            tools=case["tools"],
            chat_template=source,
            add_generation_prompt=case["add_generation_prompt"],
            **{**SPECIAL_TOKENS, **case["extra"]},
        )
    except Exception as error:
        return outcome(error)
    return {"text": rendered[0]}


def render_expression(source: str) -> dict[str, str]:
    try:
        return {"text": chat_template_utils._compile_jinja_template(source).render(**VARIABLES)}
    except Exception as error:
        return outcome(error)


def write(path: Path, content: dict[str, Any]) -> None:
    versions = {"transformers": transformers.__version__, "jinja2": jinja2.__version__}
    text = json.dumps({"versions": versions, **content}, ensure_ascii=False, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def main() -> int:
    chat_template_utils.datetime = FixedDatetime  # type: ignore[attr-defined]
    cases = conversations()
    templates = []
    for path in sorted((HERE / "templates").glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        outcomes = [render_conversation(source, case) for case in cases]
        templates.append({"name": path.name, "outcomes": outcomes})
    write(HERE / "rendered.json", {"conversations": cases, "templates": templates})
    lines = (HERE / "expressions.txt").read_text(encoding="utf-8").splitlines()
    sources = [line for line in lines if line and not line.startswith("# ")]
    expressions = [{"source": source, **render_expression(source)} for source in sources]
    write(HERE / "expressions.json", {"variables": VARIABLES, "expressions": expressions})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
