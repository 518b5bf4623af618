# SPDX-License-Identifier: Apache-2.0
"""Structured output and tools through the official client."""

import json
import re
from typing import Any

import openai
import pydantic
from served import QUESTION, TEMPLATES, ClientTest

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Rome", "Oslo"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}
CLOCK: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "clock",
        "parameters": {
            "type": "object",
            "properties": {"zone": {"$ref": "#/$defs/Zone"}},
            "required": ["zone"],
            "additionalProperties": False,
            "$defs": {"Zone": {"enum": ["utc", "local"]}},
        },
    },
}
PERSON = {
    "type": "object",
    "properties": {
        "name": {"enum": ["Tomas", "Berta"]},
        "age": {"type": "integer", "minimum": 0, "maximum": 99},
        "tall": {"type": "boolean"},
    },
    "required": ["name", "age", "tall"],
    "additionalProperties": False,
}


class Person(pydantic.BaseModel):
    tall: bool
    name: str = pydantic.Field(pattern="^[a-z]{1,8}$")


class StructuredOutput(ClientTest):
    def content(self, **options: Any) -> str:
        choice = self.chat(**({"max_tokens": 100} | options)).choices[0]
        self.assertEqual(choice.finish_reason, "stop", choice)
        return choice.message.content

    def check_person(self, text: str) -> None:
        person = json.loads(text)
        self.assertEqual(list(person), ["name", "age", "tall"])
        self.assertIn(person["name"], ["Tomas", "Berta"])
        self.assertIn(person["age"], range(100))
        self.assertIsInstance(person["tall"], bool)

    def test_json_schema(self) -> None:
        schema = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
        for seed in range(4):
            self.check_person(self.content(response_format=schema, temperature=1.5, seed=seed))
        events = self.chat(response_format=schema, stream=True, max_tokens=100)
        self.check_person("".join(event.choices[0].delta.content or "" for event in events))

    def test_pydantic_models_through_parse(self) -> None:
        answer = self.client.chat.completions.parse(
            model="tiny-llama", messages=QUESTION, response_format=Person, temperature=0, max_tokens=100
        )
        self.assertIsInstance(answer.choices[0].message.parsed, Person)

    def test_json_object(self) -> None:
        ways: tuple[dict[str, Any], ...] = (
            {"response_format": {"type": "json_object"}},
            {"extra_body": {"structured_outputs": {"json_object": True}}},
            {"extra_body": {"guided_json_object": True}},
        )
        # Of all tokens the likeliest by far, so that an object ends soon.
        bias = {str(self.tokens_of(text, add_special_tokens=False)[0]): 100 for text in '{}":,a'}
        for seed in range(4):
            texts = {self.content(**way, max_tokens=900, temperature=8, seed=seed, logit_bias=bias) for way in ways}
            self.assertEqual(len(texts), 1)
            self.assertIsInstance(json.loads(texts.pop()), dict)

    def test_choice_regex_and_grammar(self) -> None:
        choices = ["positive", "negative"]
        pattern = r"[A-F]{2}-\d{3}"
        grammar = 'root ::= greeting " " name\ngreeting ::= "hello" | "bye"\nname ::= "Ann" | "Bob"'
        for options, pattern_of in (
            ({"choice": choices}, "positive|negative"),
            ({"regex": pattern}, pattern),
            ({"grammar": grammar}, "(hello|bye) (Ann|Bob)"),
            ({"json": {"type": "boolean"}}, r"\s*(true|false)\s*"),
        ):
            for n in (1, 3):
                answer = self.chat(
                    n=n, temperature=1.5, seed=3, max_tokens=60, extra_body={"structured_outputs": options}
                )
                for choice in answer.choices:
                    self.assertTrue(re.fullmatch(pattern_of, choice.message.content), choice.message.content)
                    self.assertEqual(choice.finish_reason, "stop")

    def test_older_names(self) -> None:
        self.assertIn(self.content(extra_body={"guided_choice": ["yes", "no"]}), ["yes", "no"])
        self.assertRegex(self.content(extra_body={"guided_regex": "[0-9]{4}"}), r"^\d{4}$")
        self.check_person(self.content(extra_body={"guided_json": PERSON}))
        grammar = 'root ::= "left" | "right" [0-9]'
        self.assertRegex(self.content(extra_body={"guided_grammar": grammar}), r"^(left|right\d)$")

    def test_completions_take_them_too(self) -> None:
        answer = self.text(
            "An answer:", max_tokens=20, extra_body={"structured_outputs": {"choice": ["left", "right"]}}
        )
        self.assertIn(answer.choices[0].text, ["left", "right"])
        schema = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
        answer = self.text("A person:", max_tokens=100, extra_body={"response_format": schema})
        self.check_person(answer.choices[0].text)
        events = self.text("Its code:", stream=True, extra_body={"structured_outputs": {"regex": "[A-F]{2}-[0-9]{3}"}})
        self.assertRegex("".join(event.choices[0].text for event in events), "^[A-F]{2}-[0-9]{3}$")

    def likely(self, characters: str) -> dict[str, int]:
        """A bias that makes these the likeliest of all tokens by far, so that texts end soon."""
        return {str(self.tokens_of(character, add_special_tokens=False)[0]): 100 for character in characters}

    def test_bounds_may_be_huge(self) -> None:
        flags = {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 1_000_000_000}
        schema = {"type": "json_schema", "json_schema": {"name": "flags", "schema": flags}}
        text = self.content(response_format=schema, max_tokens=200, logit_bias=self.likely("]"))
        self.assertEqual([type(flag) for flag in json.loads(text)], [bool, bool])

    def test_schemas_may_be_recursive(self) -> None:
        node = {
            "type": "object",
            "properties": {"name": {"enum": ["a", "b"]}, "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
            "required": ["name", "next"],
            "additionalProperties": False,
        }
        schema = {"type": "json_schema", "json_schema": {"name": "chain", "schema": node}}
        depths = set()
        for bias in ("{", "n"):
            choice = self.chat(response_format=schema, max_tokens=200, logit_bias=self.likely(bias)).choices[0]
            depths.add(choice.message.content.count("{"))
            if choice.finish_reason == "stop":
                self.assertEqual(list(json.loads(choice.message.content)), ["name", "next"])
        self.assertEqual(min(depths), 1)
        self.assertGreater(max(depths), 3)

    def test_bad_schemas_are_refused_with_their_path(self) -> None:
        schema = {"type": "object", "properties": {"age": {"type": "integer", "minimum": "low"}}}
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
        self.assertEqual(caught.exception.param, "response_format.json_schema.schema")
        self.assertIn("/properties/age/minimum", caught.exception.message)
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat(extra_body={"structured_outputs": {"regex": "a("}})
        self.assertEqual(caught.exception.param, "structured_outputs.regex")


class Tools(ClientTest):
    def check_weather(self, call: Any) -> None:
        self.assertEqual(call.type, "function")
        self.assertTrue(call.id.startswith("call_"))
        self.assertEqual(call.function.name, "weather")
        arguments = json.loads(call.function.arguments)
        self.assertIn(arguments["city"], ["Rome", "Oslo"])
        self.assertIn(arguments["days"], range(1, 10))

    def test_a_named_tool_is_called(self) -> None:
        choice = {"type": "function", "function": {"name": "weather"}}
        answer = self.chat(tools=[WEATHER, CLOCK], tool_choice=choice, max_tokens=100)
        self.assertEqual(answer.choices[0].finish_reason, "tool_calls")
        self.assertIsNone(answer.choices[0].message.content)
        (call,) = answer.choices[0].message.tool_calls
        self.check_weather(call)

    def test_required_calls_some_tool(self) -> None:
        for seed in range(4):
            answer = self.chat(
                tools=[WEATHER, CLOCK],
                tool_choice="required",
                parallel_tool_calls=False,
                max_tokens=150,
                temperature=1.5,
                seed=seed,
            )
            self.assertEqual(answer.choices[0].finish_reason, "tool_calls")
            (call,) = answer.choices[0].message.tool_calls
            if call.function.name == "weather":
                self.check_weather(call)
            else:
                self.assertEqual(call.function.name, "clock")
                self.assertIn(json.loads(call.function.arguments)["zone"], ["utc", "local"])

    def test_bad_schemas_are_refused_with_their_path(self) -> None:
        name = {"type": "string", "pattern": "a("}
        bad = {"type": "function", "function": {"name": "bad", "parameters": {"properties": {"name": name}}}}
        for tool_choice in ("required", {"type": "function", "function": {"name": "bad"}}):
            with self.assertRaises(openai.BadRequestError) as caught:
                self.chat(tools=[WEATHER, bad], tool_choice=tool_choice)
            self.assertEqual(caught.exception.param, "tools[1].function.parameters")
            self.assertIn('"/properties/name/pattern"', caught.exception.message)

    def test_arguments_are_an_object_whatever_the_schema_says(self) -> None:
        either = {"anyOf": [{"type": "integer"}, {"type": "object", "properties": {"a": {"enum": [1, 2]}}}]}
        digits = {str(self.tokens_of("1", add_special_tokens=False)[0]): 100}
        for parameters in ({}, either, {"$ref": "#/$defs/Either", "$defs": {"Either": either}}):
            tools = [{"type": "function", "function": {"name": "note", "parameters": parameters}}]
            for tool_choice in ("required", {"type": "function", "function": {"name": "note"}}):
                answer = self.chat(tools=tools, tool_choice=tool_choice, max_tokens=40, logit_bias=digits)
                (call, *_) = answer.choices[0].message.tool_calls
                self.assertTrue(call.function.arguments.startswith("{"), call)

    def test_a_call_that_is_cut_off_is_not_made(self) -> None:
        for tool_choice in ("required", {"type": "function", "function": {"name": "weather"}}):
            options: dict[str, Any] = {"tools": [WEATHER], "tool_choice": tool_choice}
            ids = self.chat(**options, max_tokens=100, extra_body={"return_token_ids": True}).choices[0].token_ids
            for cut, reason in (
                ({"stop": ["days"]}, "stop"),
                ({"extra_body": {"stop_token_ids": [ids[2]]}}, "stop"),
                ({"max_tokens": 3}, "length"),
            ):
                for stream in (False, True):
                    answer = self.chat(**({"max_tokens": 100, "stream": stream} | options | cut))
                    last = list(answer)[-1] if stream else answer
                    self.assertEqual(last.choices[0].finish_reason, reason, cut)

    def test_calls_are_streamed_in_pieces_that_join(self) -> None:
        for tool_choice in ("required", {"type": "function", "function": {"name": "weather"}}):
            options: dict[str, Any] = {"tools": [WEATHER], "tool_choice": tool_choice, "max_tokens": 150}
            options["parallel_tool_calls"] = False
            events = list(self.chat(stream=True, **options))
            pieces = [piece for event in events for piece in event.choices[0].delta.tool_calls or []]
            self.assertEqual([piece.function.name for piece in pieces if piece.function.name], ["weather"])
            self.assertGreater(len(pieces), 2)
            joined = "".join(piece.function.arguments or "" for piece in pieces)
            whole = self.chat(**options).choices[0].message.tool_calls[0]
            self.assertEqual(joined, whole.function.arguments)
            self.assertEqual(events[-1].choices[0].finish_reason, "tool_calls")

    def test_the_stream_helper_of_the_client_gathers_calls(self) -> None:
        with self.client.chat.completions.stream(
            model="tiny-llama",
            messages=QUESTION,
            tools=[WEATHER],
            tool_choice="required",
            max_tokens=150,
            temperature=0,
            parallel_tool_calls=False,
        ) as stream:
            final = stream.get_final_completion()
        self.check_weather(final.choices[0].message.tool_calls[0])

    def test_answers_of_tools_go_back_into_the_conversation(self) -> None:
        call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
        messages = [
            *QUESTION,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        ]
        self.assertEqual(self.chat(messages).object, "chat.completion")

    def test_none_gives_text(self) -> None:
        answer = self.chat(tools=[WEATHER], tool_choice="none")
        self.assertIsNone(answer.choices[0].message.tool_calls)
        self.assertIn("Berlin", answer.choices[0].message.content)

    def test_auto_needs_a_template_with_tools(self) -> None:
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat(tools=[WEATHER], tool_choice="auto")
        self.assertEqual(caught.exception.param, "tool_choice")
        self.assertIn("template", caught.exception.message)


class AutomaticTools(ClientTest):
    """With a template in the format of Hermes; what the model writes is fixed by a grammar."""

    flags = ("--chat-template", str(TEMPLATES / "hermes.jinja"))
    LEAD: str | None = "I will look."
    ARGUMENTS = {"city": "Rome", "days": 2}

    def written(self, num_calls: int) -> str:
        call = f'<tool_call>\n{{"name": "weather", "arguments": {json.dumps(self.ARGUMENTS)}}}\n</tool_call>'
        return "\n".join([self.LEAD or "", *[call] * num_calls])

    def say(self, text: str, **options: Any) -> Any:
        options = {
            "tools": [WEATHER],
            "max_tokens": 300,
            "extra_body": {"structured_outputs": {"choice": [text]}},
        } | options
        return self.chat(**options)

    def check_calls(self, choice: Any, num_calls: int) -> None:
        self.assertEqual(choice.finish_reason, "tool_calls")
        self.assertEqual(choice.message.content, self.LEAD)
        calls = choice.message.tool_calls
        self.assertEqual([call.function.name for call in calls], ["weather"] * num_calls)
        self.assertEqual([json.loads(call.function.arguments) for call in calls], [self.ARGUMENTS] * num_calls)
        self.assertEqual(len({call.id for call in calls}), num_calls)

    def check_stream(self, events: list[Any], num_calls: int) -> None:
        text = "".join(event.choices[0].delta.content or "" for event in events)
        self.assertEqual(text, self.LEAD or "")
        calls = [""] * num_calls
        for event in events:
            for piece in event.choices[0].delta.tool_calls or []:
                calls[piece.index] += piece.function.arguments
        self.assertEqual([json.loads(call) for call in calls], [self.ARGUMENTS] * num_calls)
        self.assertEqual(events[-1].choices[0].finish_reason, "tool_calls")

    def test_the_template_shows_the_tools(self) -> None:
        _, with_tools = self.server.post("/tokenize", {"messages": QUESTION, "tools": [WEATHER]})
        _, without = self.server.post("/tokenize", {"messages": QUESTION})
        self.assertGreater(with_tools["count"], without["count"] + 20)

    def test_calls_are_taken_out_of_the_text(self) -> None:
        for num_calls in (1, 2):
            self.check_calls(self.say(self.written(num_calls)).choices[0], num_calls)

    def test_streams_them_too(self) -> None:
        for num_calls in (1, 2):
            self.check_stream(list(self.say(self.written(num_calls), stream=True)), num_calls)

    def test_gives_one_call_where_more_are_not_wanted(self) -> None:
        options = {"parallel_tool_calls": False}
        self.check_calls(self.say(self.written(2), **options).choices[0], 1)
        self.check_stream(list(self.say(self.written(2), stream=True, **options)), 1)

    def test_a_call_that_is_cut_off_is_not_made(self) -> None:
        for options, reason in (({"stop": ["Rome"]}, "stop"), ({"max_tokens": 24}, "length")):
            for parallel in (True, False):
                choice = self.say(self.written(1), parallel_tool_calls=parallel, **options).choices[0]
                self.assertEqual(choice.finish_reason, reason)

    def test_calls_and_answers_go_back_into_the_conversation(self) -> None:
        call = {
            "id": "call_1",
            "type": "function",
            "function": {"name": "weather", "arguments": json.dumps(self.ARGUMENTS)},
        }
        messages = [*QUESTION, {"role": "assistant", "content": self.LEAD or "", "tool_calls": [call]}]
        _, prompt = self.server.post("/tokenize", {"messages": messages, "add_generation_prompt": False})
        _, shown = self.server.post("/detokenize", {"tokens": prompt["tokens"]})
        self.assertIn(json.dumps(self.ARGUMENTS), shown["prompt"])

    def test_text_stays_text(self) -> None:
        choice = self.say("No tool is needed: 1 < 2.").choices[0]
        self.assertEqual(choice.finish_reason, "stop")
        self.assertEqual(choice.message.content, "No tool is needed: 1 < 2.")
        self.assertIsNone(choice.message.tool_calls)


class AutomaticToolsOfMistral(AutomaticTools):
    flags = ("--chat-template", str(TEMPLATES / "mistral.jinja"))

    def written(self, num_calls: int) -> str:
        call = {"name": "weather", "arguments": self.ARGUMENTS}
        return f"{self.LEAD} [TOOL_CALLS] {json.dumps([call] * num_calls)}"


class AutomaticToolsOfLlama3(AutomaticTools):
    """Whose answer is calls or text, never both."""

    flags = ("--chat-template", str(TEMPLATES / "llama3.jinja"))
    LEAD = None

    def written(self, num_calls: int) -> str:
        call = json.dumps({"name": "weather", "parameters": self.ARGUMENTS})
        return "; ".join([call] * num_calls)
