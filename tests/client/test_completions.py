# SPDX-License-Identifier: Apache-2.0
"""POST /v1/completions, /tokenize, /detokenize and /v1/models through the official client."""

import json
from typing import Any

import openai
from api_tables import tables_of
from served import PASSAGE, ClientTest
from server import MODELS

PROMPT = f"{PASSAGE} Tomas lives in"
BEGIN = 1019  # the tokenizer begins a text with it


class Completions(ClientTest):
    def test_takes_text_and_token_ids_alone_and_in_lists(self) -> None:
        ids = self.tokens_of(PROMPT)
        single = self.text(PROMPT)
        self.assertTrue(single.id.startswith("cmpl-"))
        self.assertEqual(single.object, "text_completion")
        self.assertEqual(single.usage.prompt_tokens, len(ids))
        self.assertEqual(self.text(ids).choices[0].text, single.choices[0].text)
        other = self.text("Once upon a time").choices[0].text
        for prompts in ([PROMPT, "Once upon a time"], [ids, self.tokens_of("Once upon a time")]):
            answer = self.text(prompts)
            self.assertEqual([choice.index for choice in answer.choices], [0, 1])
            self.assertEqual([choice.text for choice in answer.choices], [single.choices[0].text, other])

    def test_gives_sixteen_tokens_by_default(self) -> None:
        answer = self.text(PROMPT, max_tokens=None, extra_body={"ignore_eos": True})
        self.assertEqual(answer.usage.completion_tokens, 16)
        self.assertEqual(answer.choices[0].finish_reason, "length")

    def test_streams_every_prompt_and_choice(self) -> None:
        options = {"n": 2, "temperature": 1.2, "seed": 5, "max_tokens": 8}
        whole = self.text([PROMPT, "Once"], **options)
        streamed = [""] * 4
        for event in self.text([PROMPT, "Once"], stream=True, **options):
            streamed[event.choices[0].index] += event.choices[0].text
        self.assertEqual(streamed, [choice.text for choice in whole.choices])

    def test_streams_the_usage_where_asked(self) -> None:
        usage = self.text([PROMPT, "Once"]).usage
        *events, last = self.text([PROMPT, "Once"], stream=True, stream_options={"include_usage": True})
        self.assertEqual({event.usage for event in events}, {None})
        self.assertEqual(last.choices, [])
        for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
            self.assertEqual(getattr(last.usage, name), getattr(usage, name))

    def test_echoes_the_prompt(self) -> None:
        plain = self.text(PROMPT).choices[0].text
        self.assertEqual(self.text(PROMPT, echo=True).choices[0].text, PROMPT + plain)
        events = self.text(PROMPT, echo=True, stream=True)
        self.assertEqual("".join(event.choices[0].text for event in events), PROMPT + plain)
        only = self.text(PROMPT, echo=True, max_tokens=0)
        self.assertEqual(only.choices[0].text, PROMPT)
        self.assertEqual(only.usage.completion_tokens, 0)

    def test_gives_logprobs_in_the_older_form(self) -> None:
        answer = self.text(PROMPT, logprobs=2, max_tokens=6, extra_body={"ignore_eos": True})
        logprobs = answer.choices[0].logprobs
        self.assertEqual(
            [len(part) for part in (logprobs.tokens, logprobs.token_logprobs, logprobs.text_offset)], [6] * 3
        )
        for token, logprob, top in zip(logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs, strict=True):
            self.assertEqual(max(top.values()), logprob)
            self.assertIn(token, top)
        self.assertEqual(logprobs.text_offset[0], 0)

    def test_streams_logprobs(self) -> None:
        options = {"logprobs": 2, "max_tokens": 6, "extra_body": {"ignore_eos": True}}
        whole = self.text(PROMPT, **options).choices[0].logprobs
        streamed = [event.choices[0].logprobs for event in self.text(PROMPT, stream=True, **options)]
        for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
            parts = [getattr(logprobs, name) for logprobs in streamed if logprobs]
            self.assertEqual([entry for part in parts for entry in part], getattr(whole, name))

    def test_tells_where_in_the_text_each_token_begins(self) -> None:
        choice = self.text(PROMPT, logprobs=0, echo=True, extra_body={"ignore_eos": True}).choices[0]
        logprobs = choice.logprobs
        self.assertEqual((logprobs.tokens[0], logprobs.text_offset[0]), ("<|begin_of_text|>", 0))  # has no text
        offset = 0
        for token, found in zip(logprobs.tokens[1:], logprobs.text_offset[1:], strict=True):
            self.assertEqual(found, offset)
            self.assertEqual(choice.text[offset : offset + len(token)], token)
            offset += len(token)

    def test_scores_an_echoed_prompt(self) -> None:
        scored = self.text(PROMPT, logprobs=1, echo=True, max_tokens=0).choices[0].logprobs
        self.assertEqual(len(scored.tokens), len(self.tokens_of(PROMPT)))
        self.assertIsNone(scored.token_logprobs[0])
        self.assertTrue(all(logprob <= 0 for logprob in scored.token_logprobs[1:]))
        # What was generated greedily scores as it did when it was generated.
        answer = self.text(PROMPT, logprobs=0, max_tokens=4, extra_body={"return_token_ids": True}).choices[0]
        longer = self.tokens_of(PROMPT) + answer.token_ids
        again = self.text(longer, logprobs=0, echo=True, max_tokens=0).choices[0].logprobs
        for found, expected in zip(
            again.token_logprobs[-len(answer.token_ids) :], answer.logprobs.token_logprobs, strict=True
        ):
            self.assertAlmostEqual(found, expected, places=4)

    def test_gives_the_best_of_several(self) -> None:
        answer = self.text(PROMPT, n=2, best_of=4, temperature=1.5, seed=1, logprobs=0, max_tokens=8)
        means = [sum(c.logprobs.token_logprobs) / len(c.logprobs.token_logprobs) for c in answer.choices]
        self.assertEqual(len(means), 2)
        self.assertGreaterEqual(means[0], means[1])
        everyone = self.text(PROMPT, n=4, temperature=1.5, seed=1, logprobs=0, max_tokens=8)
        best = max(sum(c.logprobs.token_logprobs) / len(c.logprobs.token_logprobs) for c in everyone.choices)
        self.assertAlmostEqual(means[0], best, places=5)

    def test_beams_may_be_more_than_choices(self) -> None:
        def beams(**options: Any) -> list[str]:
            answer = self.text(PROMPT, temperature=None, **options, extra_body={"use_beam_search": True})
            return [choice.text for choice in answer.choices]

        self.assertEqual(beams(n=1, best_of=4), beams(n=4)[:1])
        self.assertEqual(beams(n=2, best_of=4), beams(n=4)[:2])

    def test_names_tokens_by_id_where_asked(self) -> None:
        extra = {"return_tokens_as_token_ids": True, "return_token_ids": True}
        choice = self.text(PROMPT, logprobs=0, max_tokens=3, extra_body=extra).choices[0]
        self.assertEqual(choice.logprobs.tokens, [f"token_id:{token}" for token in choice.token_ids])

    def test_keeps_the_end_of_the_prompt_where_asked(self) -> None:
        def kept(prompt: str, size: int) -> list[int]:
            extra = {"truncate_prompt_tokens": size, "return_token_ids": True}
            return self.text(prompt, extra_body=extra).choices[0].prompt_token_ids

        self.assertEqual(kept(PROMPT, 5), self.tokens_of(PROMPT)[-5:])
        very_long = "word " * 20000
        ids = kept(very_long, -1)
        self.assertGreater(len(ids), 100)
        self.assertEqual(ids, self.tokens_of(very_long)[-len(ids) :])

    def test_scores_the_prompt_where_asked(self) -> None:
        extra = {"prompt_logprobs": 2, "return_token_ids": True}
        for choice in self.text([PROMPT, "Once"], extra_body=extra).choices:
            first, *others = choice.prompt_logprobs
            self.assertIsNone(first)
            for token, entry in zip(choice.prompt_token_ids[1:], others, strict=True):
                self.assertIn(str(token), entry)
                ranked = sorted(entry.values(), key=lambda logprob: logprob["logprob"], reverse=True)
                self.assertEqual([logprob["rank"] for logprob in ranked[:2]], [1, 2])

    def test_ranks_tokens_of_the_prompt_in_the_whole_vocabulary(self) -> None:
        def own_ranks(num_others: int) -> list[int]:
            extra = {"prompt_logprobs": num_others, "return_token_ids": True}
            choice = self.text(PASSAGE, max_tokens=1, extra_body=extra).choices[0]
            pairs = zip(choice.prompt_token_ids[1:], choice.prompt_logprobs[1:], strict=True)
            return [entry[str(token)]["rank"] for token, entry in pairs]

        ranks = own_ranks(20)
        self.assertEqual(own_ranks(0), ranks)
        self.assertLess(min(ranks), 2)
        self.assertGreater(max(ranks), 20)


class Tokenizing(ClientTest):
    def test_gives_tokens_and_their_text_back(self) -> None:
        text = "Hello, Berlin!"
        status, body = self.server.post("/tokenize", {"prompt": text, "return_token_strs": True})
        self.assertEqual(status, 200)
        self.assertEqual(body["count"], len(body["tokens"]))
        self.assertEqual(body["max_model_len"], 1024)
        plain = self.tokens_of(text, add_special_tokens=False)
        self.assertEqual(body["tokens"], [BEGIN, *plain])
        vocabulary = json.loads((MODELS / "tiny-llama" / "tokenizer.json").read_text())
        spellings = {id_: token for token, id_ in vocabulary["model"]["vocab"].items()}
        spellings |= {token["id"]: token["content"] for token in vocabulary["added_tokens"]}
        self.assertEqual(body["token_strs"], [spellings[token] for token in body["tokens"]])
        self.assertIn("Ġ", "".join(body["token_strs"]))  # a space, as byte-level vocabularies spell it
        self.assertEqual(self.server.post("/detokenize", {"tokens": plain}), (200, {"prompt": text}))

    def test_gives_the_tokens_of_a_conversation(self) -> None:
        messages = [{"role": "user", "content": "Hi"}]
        status, body = self.server.post("/tokenize", {"messages": messages})
        self.assertEqual(status, 200)
        self.assertIsNone(body["token_strs"])
        _, begun = self.server.post("/tokenize", {"messages": messages, "add_special_tokens": True})
        self.assertEqual(begun["tokens"], [BEGIN, *body["tokens"]])
        answer = self.chat(messages, extra_body={"return_token_ids": True})
        self.assertEqual(answer.prompt_token_ids, body["tokens"])
        _, closed = self.server.post("/tokenize", {"messages": messages, "add_generation_prompt": False})
        self.assertLess(closed["count"], body["count"])


class Models(ClientTest):
    def test_lists_and_shows_the_model(self) -> None:
        models = self.client.models.list().data
        self.assertEqual([model.id for model in models], ["tiny-llama"])
        self.assertEqual(self.client.models.retrieve("tiny-llama").object, "model")
        self.assertGreater(models[0].max_model_len, 100)

    def test_unknown_models_are_not_found(self) -> None:
        with self.assertRaises(openai.NotFoundError) as caught:
            self.client.models.retrieve("gpt-nine")
        self.assertEqual(caught.exception.code, "model_not_found")
        with self.assertRaises(openai.NotFoundError) as caught:
            self.chat(model="gpt-nine")
        self.assertEqual(caught.exception.param, "model")


class ServedModelNames(ClientTest):
    flags = ("--served-model-name", "first", "--served-model-name", "second/with-slash")

    def test_answers_to_each_name(self) -> None:
        self.assertEqual([model.id for model in self.client.models.list().data], ["first", "second/with-slash"])
        self.assertEqual(self.client.models.retrieve("second/with-slash").id, "second/with-slash")
        self.assertEqual(self.chat(model="second/with-slash").model, "second/with-slash")
        with self.assertRaises(openai.NotFoundError):
            self.chat(model="tiny-llama")
        status, body = self.server.post("/v1/completions", {"prompt": "a", "max_tokens": 1})
        self.assertEqual((status, body["model"]), (200, "first"))


class Documents(ClientTest):
    def test_the_tables_of_the_docs_are_those_of_the_openapi_document(self) -> None:
        status, _, body = self.server.request("GET", "/openapi.json")
        self.assertEqual(status, 200)
        docs = (MODELS.parent / "docs" / "api.md").read_text()
        for table in tables_of(json.loads(body)).split("\n\n## "):
            self.assertIn(table.strip(), docs)

    def test_what_the_openapi_document_has_to_get_is_served(self) -> None:
        document = json.loads(self.server.request("GET", "/openapi.json")[2])
        for path, item in document["paths"].items():
            if "get" not in item:
                continue
            status, headers, _ = self.server.request("GET", path.replace("{model}", "tiny-llama"))
            self.assertEqual(status, 200, path)
            content_type = headers["content-type"].partition(";")[0]
            self.assertIn(content_type, item["get"]["responses"]["200"]["content"], path)

    def test_the_version_is_that_of_the_openapi_document(self) -> None:
        status, _, body = self.server.request("GET", "/version")
        document = json.loads(self.server.request("GET", "/openapi.json")[2])
        self.assertEqual((status, json.loads(body)), (200, {"version": document["info"]["version"]}))
        self.assertRegex(document["info"]["version"], r"^\d+\.\d+\.\d+")
