# SPDX-License-Identifier: Apache-2.0
"""POST /v1/chat/completions through the official client."""

import json
from typing import Any

import openai
from served import PASSAGE, QUESTION, TEMPLATES, ClientTest


class Chat(ClientTest):
    def token_ids(self, **options: Any) -> list[int]:
        options["extra_body"] = options.get("extra_body", {}) | {"return_token_ids": True}
        return self.chat(**options).choices[0].token_ids

    def test_answers_a_question(self) -> None:
        answer = self.chat()
        self.assertTrue(answer.id.startswith("chatcmpl-"))
        self.assertEqual(answer.object, "chat.completion")
        self.assertEqual(answer.model, "tiny-llama")
        choice = answer.choices[0]
        self.assertIn("Berlin", choice.message.content)
        self.assertEqual(choice.message.role, "assistant")
        self.assertEqual(choice.finish_reason, "stop")
        self.assertIsNone(choice.message.tool_calls)
        self.assertEqual(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens)

    def test_streams_the_same_text(self) -> None:
        whole = self.chat()
        events = list(self.chat(stream=True, stream_options={"include_usage": True}))
        self.assertEqual(events[0].choices[0].delta.role, "assistant")
        text = "".join(event.choices[0].delta.content or "" for event in events if event.choices)
        self.assertEqual(text, whole.choices[0].message.content)
        reasons = [event.choices[0].finish_reason for event in events if event.choices]
        self.assertEqual(reasons[-1], "stop")
        self.assertEqual(set(reasons[:-1]), {None})
        self.assertEqual(len({event.id for event in events}), 1)
        self.assertEqual(events[-1].choices, [])
        self.assertEqual(events[-1].usage.completion_tokens, whole.usage.completion_tokens)
        self.assertEqual([event.usage for event in events[:-1] if event.usage], [])

    def test_streams_the_usage_so_far(self) -> None:
        options = {"include_usage": True, "continuous_usage_stats": True}
        events = list(self.chat(stream=True, stream_options=options))
        counts = [event.usage.completion_tokens for event in events]
        self.assertEqual(counts, sorted(counts))
        self.assertGreater(counts[-1], 0)

    def test_stream_helper_of_the_client_understands_the_events(self) -> None:
        with self.client.chat.completions.stream(
            model="tiny-llama", messages=QUESTION, temperature=0, max_tokens=24
        ) as stream:
            kinds = {event.type for event in stream}
            final = stream.get_final_completion()
        self.assertIn("content.delta", kinds)
        self.assertEqual(final.choices[0].message.content, self.chat().choices[0].message.content)

    def test_n_choices_are_told_apart_and_differ(self) -> None:
        answer = self.chat(n=4, temperature=1.5, seed=7, max_tokens=12)
        self.assertEqual([choice.index for choice in answer.choices], [0, 1, 2, 3])
        texts = [choice.message.content for choice in answer.choices]
        self.assertGreater(len(set(texts)), 1)
        streamed = [""] * 4
        for event in self.chat(n=4, temperature=1.5, seed=7, max_tokens=12, stream=True):
            for choice in event.choices:
                streamed[choice.index] += choice.delta.content or ""
        self.assertEqual(streamed, texts)

    def test_a_seed_repeats_the_answer(self) -> None:
        first, second, other = (
            self.chat(temperature=1.5, seed=seed, max_tokens=16).choices[0].message.content for seed in (1, 1, 2)
        )
        self.assertEqual(first, second)
        self.assertNotEqual(first, other)

    def test_ends_at_max_tokens(self) -> None:
        for name in ("max_tokens", "max_completion_tokens"):
            options = {"max_tokens": None, name: 2}
            answer = self.chat(**options)
            self.assertEqual(answer.choices[0].finish_reason, "length")
            self.assertEqual(answer.usage.completion_tokens, 2)
        self.assertEqual(self.chat(max_tokens=4, max_completion_tokens=2).usage.completion_tokens, 2)

    def test_ends_before_a_stop_string_and_says_which(self) -> None:
        text = self.chat().choices[0].message.content
        stop = text[3:6]
        for stream in (False, True):
            answer = self.chat(stop=["@@@", stop], stream=stream)
            if stream:
                events = list(answer)
                found = "".join(event.choices[0].delta.content or "" for event in events)
                reason, what = events[-1].choices[0].finish_reason, events[-1].choices[0].stop_reason
            else:
                choice = answer.choices[0]
                found, reason, what = choice.message.content, choice.finish_reason, choice.stop_reason
            self.assertEqual(found, text[: text.index(stop)])
            self.assertEqual((reason, what), ("stop", stop))

    def test_keeps_the_stop_string_where_asked(self) -> None:
        text = self.chat().choices[0].message.content
        stop = text[3:6]
        answer = self.chat(stop=stop, extra_body={"include_stop_str_in_output": True})
        self.assertEqual(answer.choices[0].message.content, text[: text.index(stop) + len(stop)])

    def test_ends_at_a_stop_token(self) -> None:
        ids = self.chat(extra_body={"return_token_ids": True}).choices[0].token_ids
        answer = self.chat(extra_body={"stop_token_ids": [ids[2]], "return_token_ids": True})
        choice = answer.choices[0]
        self.assertEqual(choice.token_ids, ids[: ids.index(ids[2]) + 1])
        self.assertEqual((choice.finish_reason, choice.stop_reason), ("stop", ids[2]))

    def test_ignores_the_end_of_sequence_where_asked(self) -> None:
        natural = self.chat().usage.completion_tokens
        self.assertLess(natural, 24)
        answer = self.chat(max_tokens=24, extra_body={"ignore_eos": True})
        self.assertEqual(answer.usage.completion_tokens, 24)
        answer = self.chat(max_tokens=24, extra_body={"min_tokens": natural + 3})
        self.assertGreaterEqual(answer.usage.completion_tokens, natural + 3)

    def test_gives_logprobs(self) -> None:
        answer = self.chat(logprobs=True, top_logprobs=3)
        choice = answer.choices[0]
        entries = choice.logprobs.content
        self.assertEqual(len(entries), answer.usage.completion_tokens)
        for entry in entries:
            self.assertLessEqual(entry.logprob, 0)
            self.assertEqual(len(entry.top_logprobs), 3)
            # Greedy takes the likeliest.
            self.assertEqual(entry.top_logprobs[0].token, entry.token)
            self.assertEqual(entry.top_logprobs[0].logprob, entry.logprob)
        text = b"".join(bytes(entry.bytes) for entry in entries[:-1]).decode()
        self.assertEqual(text, choice.message.content)
        streamed = [
            entry
            for event in self.chat(logprobs=True, top_logprobs=3, stream=True)
            if event.choices[0].logprobs
            for entry in event.choices[0].logprobs.content
        ]
        self.assertEqual(streamed, entries)

    def test_logit_bias_bans_and_forces_tokens(self) -> None:
        ids = self.chat(extra_body={"return_token_ids": True}).choices[0].token_ids
        banned = self.chat(logit_bias={str(ids[0]): -100}, extra_body={"return_token_ids": True})
        self.assertNotIn(ids[0], banned.choices[0].token_ids)
        forced = self.chat(logit_bias={str(ids[1]): 100}, max_tokens=4, extra_body={"return_token_ids": True})
        self.assertEqual(forced.choices[0].token_ids, [ids[1]] * 4)

    def test_bad_words_do_not_occur(self) -> None:
        answer = self.chat(extra_body={"bad_words": ["Berlin"]})
        self.assertNotIn("Berlin", answer.choices[0].message.content)

    def test_narrow_truncation_is_greedy_at_any_temperature(self) -> None:
        greedy = self.token_ids()
        self.assertEqual(self.token_ids(temperature=2.0, top_p=1e-6), greedy)
        for extra in ({"top_k": 1}, {"min_p": 0.9999}):
            self.assertEqual(self.token_ids(temperature=2.0, extra_body=extra), greedy)

    def test_no_run_of_tokens_comes_twice_where_asked(self) -> None:
        def runs_of_three(ids: list[int]) -> list[tuple[int, ...]]:
            return list(zip(ids, ids[1:], ids[2:], strict=False))

        options = {"ignore_eos": True}
        plain = runs_of_three(self.token_ids(max_tokens=64, extra_body=options))
        self.assertLess(len(set(plain)), len(plain))
        once = runs_of_three(self.token_ids(max_tokens=64, extra_body=options | {"no_repeat_ngram_size": 3}))
        self.assertEqual(len(set(once)), len(once))

    def test_penalties_make_the_answer_repeat_itself_less(self) -> None:
        options = {"max_tokens": 64}
        plain = self.token_ids(**options, extra_body={"ignore_eos": True})
        for penalty in ("presence_penalty", "frequency_penalty", "repetition_penalty"):
            penalized = self.token_ids(**options, extra_body={"ignore_eos": True, penalty: 2.0})
            self.assertGreater(len(set(penalized)), len(set(plain)), penalty)

    def test_a_seed_repeats_an_answer_with_all_of_them(self) -> None:
        options: dict[str, Any] = {
            "temperature": 1.5,
            "top_p": 0.95,
            "presence_penalty": 0.5,
            "frequency_penalty": 0.5,
            "extra_body": {"top_k": 50, "min_p": 0.01, "repetition_penalty": 1.1, "no_repeat_ngram_size": 3},
        }
        first, second, other = (self.token_ids(seed=seed, **options) for seed in (3, 3, 4))
        self.assertEqual(first, second)
        self.assertNotEqual(first, other)

    def test_beam_search_gives_n_choices_best_first(self) -> None:
        answer = self.chat(n=3, temperature=None, extra_body={"use_beam_search": True, "length_penalty": 1.0})
        self.assertEqual(len(answer.choices), 3)
        self.assertIn("Berlin", answer.choices[0].message.content)
        self.assertEqual(len({choice.message.content for choice in answer.choices}), 3)
        events = list(self.chat(n=3, temperature=None, stream=True, extra_body={"use_beam_search": True}))
        streamed = [""] * 3
        for event in events:
            streamed[event.choices[0].index] += event.choices[0].delta.content or ""
        self.assertEqual(streamed, [choice.message.content for choice in answer.choices])

    def beams(self, **options: Any) -> list[list[int]]:
        extra = {"use_beam_search": True, "return_token_ids": True} | options
        return [choice.token_ids for choice in self.chat(n=4, temperature=None, extra_body=extra).choices]

    def test_the_length_penalty_of_beams_favours_long_or_short_ones(self) -> None:
        short, long = (self.beams(length_penalty=penalty) for penalty in (-10, 10))
        self.assertLess(len(short[0]), len(long[0]))

    def test_early_stopping_ends_a_beam_search_once_it_has_enough(self) -> None:
        thorough = self.beams(length_penalty=2, early_stopping="never")
        self.assertNotEqual(self.beams(length_penalty=2, early_stopping=True), thorough)

    def test_counts_cached_tokens(self) -> None:
        messages = [{"role": "user", "content": f"{PASSAGE * 6}\n\nWhere does Tomas live?"}]
        fresh = {"cache_salt": type(self).__name__}
        first = self.chat(messages, extra_body=fresh)
        again = self.chat(messages, extra_body=fresh)
        other = self.chat(messages, extra_body={"cache_salt": fresh["cache_salt"] + "2"})
        self.assertEqual(first.usage.prompt_tokens_details.cached_tokens, 0)
        self.assertGreaterEqual(again.usage.prompt_tokens_details.cached_tokens, 64)
        self.assertEqual(other.usage.prompt_tokens_details.cached_tokens, 0)
        self.assertEqual(first.choices[0].message.content, again.choices[0].message.content)

    def test_takes_text_in_parts_and_every_role(self) -> None:
        parts = [{"type": "text", "text": QUESTION[0]["content"]}]
        plain = self.chat().choices[0].message.content
        self.assertEqual(self.chat([{"role": "user", "content": parts}]).choices[0].message.content, plain)
        conversation = [
            {"role": "developer", "content": "Answer briefly."},
            *QUESTION,
            {"role": "assistant", "content": plain},
            {"role": "user", "content": "And what is his pet?"},
        ]
        self.assertEqual(self.chat(conversation).object, "chat.completion")

    def test_continues_the_last_message(self) -> None:
        plain = self.chat().choices[0].message.content
        start = plain[:4]
        messages = [*QUESTION, {"role": "assistant", "content": start}]
        extra = {"continue_final_message": True, "add_generation_prompt": False}
        rest = self.chat(messages, extra_body=extra).choices[0].message.content
        self.assertFalse(rest.startswith(start))
        echoed = self.chat(messages, extra_body=extra | {"echo": True}).choices[0].message.content
        self.assertEqual(echoed, start + rest)

    def test_gives_token_ids_and_prompt_logprobs_where_asked(self) -> None:
        answer = self.chat(extra_body={"return_token_ids": True, "prompt_logprobs": 2})
        self.assertEqual(len(answer.prompt_token_ids), answer.usage.prompt_tokens)
        self.assertEqual(len(answer.choices[0].token_ids), answer.usage.completion_tokens)
        logprobs = answer.prompt_logprobs
        self.assertEqual(len(logprobs), answer.usage.prompt_tokens)
        self.assertIsNone(logprobs[0])
        for token, entry in zip(answer.prompt_token_ids[1:], logprobs[1:], strict=True):
            self.assertIn(str(token), entry)
            self.assertGreaterEqual(len(entry), 2)

    def test_streams_token_ids_where_asked(self) -> None:
        whole = self.chat(extra_body={"return_token_ids": True})
        events = list(self.chat(stream=True, extra_body={"return_token_ids": True}))
        ids = [token for event in events for token in getattr(event.choices[0], "token_ids", None) or []]
        self.assertEqual(ids, whole.choices[0].token_ids)
        (prompt_ids,) = (event.prompt_token_ids for event in events if hasattr(event, "prompt_token_ids"))
        self.assertEqual(prompt_ids, whole.prompt_token_ids)

    def test_adds_special_tokens_where_asked(self) -> None:
        with_them, without = (
            self.chat(extra_body={"add_special_tokens": adds, "return_token_ids": True}).prompt_token_ids
            for adds in (True, False)
        )
        self.assertEqual(with_them, [without[0], *without])  # the template has written a first one
        self.assertEqual(self.chat(extra_body={"return_token_ids": True}).prompt_token_ids, without)

    def test_special_tokens_show_where_asked(self) -> None:
        shown = self.chat(extra_body={"skip_special_tokens": False, "stop_token_ids": [1]}).choices[0].message.content
        self.assertEqual(shown, self.chat().choices[0].message.content)  # what ended it is no text
        shown = self.chat(extra_body={"skip_special_tokens": False, "include_stop_str_in_output": True})
        self.assertTrue(shown.choices[0].message.content.endswith("|>"))

    def test_echoes_request_ids_and_tells_times(self) -> None:
        raw = self.client.chat.completions.with_raw_response.create(
            model="tiny-llama", messages=QUESTION, max_tokens=4, extra_headers={"x-request-id": "my-id-7"}
        )
        self.assertEqual(raw.headers["x-request-id"], "my-id-7")
        self.assertEqual(raw.parse().id, "chatcmpl-my-id-7")
        self.assertGreater(float(raw.headers["x-veloz-ttft-ms"]), 0)
        self.assertEqual(self.chat(extra_body={"request_id": "other"}).id, "chatcmpl-other")

    def test_priority_and_unknown_fields_are_taken(self) -> None:
        answer = self.chat(user="me", store=False, extra_body={"priority": -5, "a_new_field": {"x": 1}})
        self.assertEqual(answer.object, "chat.completion")

    def test_gives_all_that_fits_without_max_tokens(self) -> None:
        answer = self.chat(max_tokens=None)
        self.assertEqual(answer.choices[0].finish_reason, "stop")

    def test_events_are_server_sent_events(self) -> None:
        body = json.dumps({"messages": QUESTION, "stream": True, "max_tokens": 4, "temperature": 0})
        status, headers, stream = self.server.request(
            "POST", "/v1/chat/completions", body, {"Content-Type": "application/json"}
        )
        self.assertEqual(status, 200)
        self.assertTrue(headers["content-type"].startswith("text/event-stream"))
        events = stream.decode().split("\n\n")
        self.assertEqual(events[-1], "")
        self.assertEqual(events[-2], "data: [DONE]")
        for event in events[:-2]:
            self.assertEqual(json.loads(event.removeprefix("data: "))["object"], "chat.completion.chunk")


class TemplateVariables(ClientTest):
    flags = ("--chat-template", str(TEMPLATES / "persona.jinja"))

    def test_reach_the_template(self) -> None:
        for kwargs, is_there in (({"persona": "a pirate"}, True), ({"persona": None}, False), ({"other": 1}, False)):
            extra = {"chat_template_kwargs": kwargs, "return_token_ids": True}
            ids = self.chat(max_tokens=1, extra_body=extra).prompt_token_ids
            _, shown = self.server.post("/detokenize", {"tokens": ids})
            self.assertEqual("You are a pirate" in shown["prompt"], is_there, kwargs)


class ManyLogprobs(ClientTest):
    flags = ("--max-logprobs", "100")

    def test_are_given_up_to_the_limit(self) -> None:
        answer = self.chat(logprobs=True, top_logprobs=100, max_tokens=2)
        for entry in answer.choices[0].logprobs.content:
            logprobs = [top.logprob for top in entry.top_logprobs]
            self.assertEqual(len(logprobs), 100)
            self.assertEqual(logprobs, sorted(logprobs, reverse=True))
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat(logprobs=True, top_logprobs=101)
        self.assertEqual(caught.exception.param, "top_logprobs")
        answer = self.text("a", logprobs=50, max_tokens=1)
        self.assertEqual(len(answer.choices[0].logprobs.top_logprobs[0]), 50)
