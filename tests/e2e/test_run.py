# SPDX-License-Identifier: Apache-2.0
"""`veloz run`: prompts from arguments, stdin and JSONL, and the ways to sample."""

import json
import unittest
from itertools import pairwise
from typing import Any

from veloz_cli import MODELS, CliTest, bundled_models, read_jsonl

PROMPT = "The team"
GREEDY = ["--num-beams", "1", "--temperature", "0", "--ignore-eos", "--max-tokens", "24"]
SAMPLED = ["--num-beams", "1", "--temperature", "1", "--ignore-eos", "--max-tokens", "24"]


class RunTest(CliTest):
    def setUp(self) -> None:
        super().setUp()
        self.engine = self.gptj_engine()

    def test_every_bundled_model_continues_a_prompt(self) -> None:
        for model in bundled_models():
            with self.subTest(model=model.name):
                engine = self.build(model, model.name)
                result = self.succeed("run", engine, PROMPT, *GREEDY, "--stats")
                self.assertTrue(result.out.endswith("\n"))
                self.assertGreater(len(result.out), 10)
                for part in ("load ", "TTFT ", "24 tokens at ", "tokens/s", str(engine)):
                    self.assertIn(part, result.err)

    def test_trained_model_writes_the_summaries_it_was_trained_to_write(self) -> None:
        lines = read_jsonl((MODELS / "tiny-gptj" / "eval.jsonl").read_text())[:8]
        source = self.write_jsonl("in.jsonl", lines)
        answers = read_jsonl(self.succeed("run", self.engine, "--input", source).out)
        hits = sum(answer["text"].strip() == line["reference"] for answer, line in zip(answers, lines, strict=True))
        self.assertGreaterEqual(hits, 6)

    def test_json_has_stable_keys(self) -> None:
        answer = self.succeed("run", self.engine, PROMPT, *GREEDY, "--json").json()
        self.assertEqual(
            set(answer), {"text", "token_ids", "finish_reason", "usage", "timing", "seed"}, "keys of one completion"
        )
        self.assertEqual(set(answer["timing"]), {"ttft_s", "total_s", "decode_tokens_per_s"})
        self.assertEqual(answer["finish_reason"], "length")
        self.assertEqual(len(answer["token_ids"]), 24)
        self.assertEqual(answer["usage"]["completion_tokens"], 24)
        self.assertEqual(
            answer["usage"]["total_tokens"], answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"]
        )

    def test_penalties_keep_from_repeating(self) -> None:
        def tokens(*flags: str) -> list[int]:
            answer = self.succeed("run", self.engine, PROMPT, *GREEDY, "--json", *flags).json()
            return list(answer["token_ids"])

        def num_repeats(items: list[Any]) -> int:
            return len(items) - len(set(items))

        plain = tokens()
        self.assertLess(num_repeats(tokens("--frequency-penalty", "2")), num_repeats(plain))
        self.assertGreater(num_repeats(list(pairwise(plain))), 0)
        self.assertEqual(num_repeats(list(pairwise(tokens("--no-repeat-ngram-size", "2")))), 0)

    def test_text_and_json_and_any_number_of_threads_agree(self) -> None:
        text = self.succeed("run", self.engine, PROMPT, *GREEDY).out
        for threads in ("1", "3"):
            answer = self.succeed("run", self.engine, PROMPT, *GREEDY, "--json", "--threads", threads).json()
            self.assertEqual(answer["text"] + "\n", text)

    def test_prompt_as_flag_is_the_same(self) -> None:
        self.assertEqual(
            self.succeed("run", self.engine, "--prompt", PROMPT, *GREEDY).out,
            self.succeed("run", self.engine, PROMPT, *GREEDY).out,
        )

    def test_each_line_of_stdin_is_a_prompt(self) -> None:
        result = self.succeed("run", self.engine, *GREEDY, "--json", stdin="The team\nIn May\n")
        answers = read_jsonl(result.out)
        self.assertEqual(len(answers), 2)
        for prompt, answer in zip(("The team", "In May"), answers, strict=True):
            alone = self.succeed("run", self.engine, prompt, *GREEDY, "--json").json()
            self.assertEqual(answer["token_ids"], alone["token_ids"])

    def test_jsonl_keeps_the_order_and_heeds_each_line(self) -> None:
        lines = [
            {"prompt": PROMPT, "max_tokens": 40, "reference": "ignored"},
            {"prompt": PROMPT, "max_tokens": 1},
            {"prompt": "In May", "temperature": 1.0, "seed": 5, "max_tokens": 12},
            {"prompt_token_ids": [257, 277, 560], "max_tokens": 3, "stop": None},
            {"prompt": PROMPT, "num_beams": 3, "n": 2, "max_tokens": 8, "early_stopping": "never"},
            {"prompt": PROMPT, "max_tokens": 9, "logprobs": 1},
        ]
        source = self.write_jsonl("in.jsonl", lines)
        target = self.dir / "out.jsonl"
        flags = ["--num-beams", "1", "--temperature", "0", "--ignore-eos"]
        result = self.succeed("run", self.engine, "--input", source, "--output", target, *flags)
        self.assertEqual(result.out, "")
        answers = read_jsonl(target.read_text())
        self.assertEqual([len(answer["token_ids"]) for answer in answers], [40, 1, 12, 3, 8, 9])
        self.assertEqual(len(answers[4]["choices"]), 2)
        self.assertEqual(len(answers[5]["logprobs"]), 9)
        self.assertEqual(answers[3]["usage"]["prompt_tokens"], 3)
        self.assertEqual(answers[2]["seed"], 5)
        # Neighbours change nothing, and to stdout the same lines go.
        alone = self.succeed("run", self.engine, "In May", *SAMPLED, "--seed", "5", "--json").json()
        self.assertEqual(answers[2]["token_ids"], alone["token_ids"][:12])
        on_stdout = read_jsonl(self.succeed("run", self.engine, "--input", source, *flags).out)
        self.assertEqual([a["token_ids"] for a in on_stdout], [a["token_ids"] for a in answers])

    def test_jsonl_file_without_lines(self) -> None:
        source = self.dir / "empty.jsonl"
        source.write_text("\n  \n")
        self.assertEqual(self.succeed("run", self.engine, "--input", source).out, "")

    def test_stop_strings_end_the_text_before_them(self) -> None:
        whole = self.succeed("run", self.engine, PROMPT, *GREEDY, "--json").json()["text"]
        stop = whole[11:14]
        answer = self.succeed(
            "run", self.engine, PROMPT, *GREEDY, "--json", "--stop", "never so", "--stop", stop
        ).json()
        self.assertEqual(answer["text"], whole[: whole.index(stop)])
        self.assertEqual(answer["finish_reason"], "stop")
        self.assertEqual(answer["stop_reason"], stop)
        streamed = self.succeed("run", self.engine, "--stop", stop, PROMPT, *GREEDY).out
        self.assertEqual(streamed, whole[: whole.index(stop)] + "\n")

    def test_stop_token_ids_end_the_text(self) -> None:
        ids = self.succeed("run", self.engine, PROMPT, *GREEDY, "--json").json()["token_ids"]
        answer = self.succeed("run", self.engine, PROMPT, *GREEDY, "--json", "--stop-token-ids", str(ids[5])).json()
        self.assertEqual(answer["token_ids"], ids[: ids.index(ids[5]) + 1])
        self.assertEqual(answer["finish_reason"], "stop")

    def test_seeds_make_samples_reproducible(self) -> None:
        def sample(*flags: str) -> dict[str, object]:
            answer = self.succeed("run", self.engine, PROMPT, *SAMPLED, "--json", *flags).json()
            assert isinstance(answer, dict)
            return answer

        first = sample("--seed", "7")
        self.assertEqual(sample("--seed", "7")["token_ids"], first["token_ids"])
        self.assertNotEqual(sample("--seed", "8")["token_ids"], first["token_ids"])
        # Without one a seed is drawn and reported, and gives the same again.
        drawn = sample()
        self.assertEqual(sample("--seed", str(drawn["seed"]))["token_ids"], drawn["token_ids"])

    def test_several_completions_of_one_prompt(self) -> None:
        answer = self.succeed("run", self.engine, PROMPT, *SAMPLED, "--n", "3", "--seed", "1", "--json").json()
        texts = [choice["text"] for choice in answer["choices"]]
        self.assertEqual(len(set(texts)), 3)
        text = self.succeed("run", self.engine, PROMPT, *SAMPLED, "--n", "3", "--seed", "1").out
        for index in range(3):
            self.assertIn(f"[{index}] {texts[index]}", text)

    def test_logprobs_name_the_chosen_token_and_the_likeliest(self) -> None:
        answer = self.succeed("run", self.engine, PROMPT, *GREEDY, "--logprobs", "2", "--json").json()
        self.assertEqual(len(answer["logprobs"]), len(answer["token_ids"]))
        for token, entries in zip(answer["token_ids"], answer["logprobs"], strict=True):
            chosen, best, second = entries
            self.assertEqual(chosen["token_id"], token)
            self.assertEqual(best, chosen)  # greedy takes the best
            self.assertLessEqual(second["logprob"], best["logprob"])
            self.assertLessEqual(best["logprob"], 0)

    def test_beam_search_gives_its_best_sequences_in_order(self) -> None:
        flags = ["--num-beams", "4", "--n", "4", "--max-tokens", "16", "--json"]
        answer = self.succeed("run", self.engine, PROMPT, *flags).json()
        scores = [choice["score"] for choice in answer["choices"]]
        self.assertEqual(scores, sorted(scores, reverse=True))
        self.assertEqual(len({tuple(choice["token_ids"]) for choice in answer["choices"]}), 4)

    def test_prompt_logprobs_stand_beside_the_answer(self) -> None:
        answer = self.succeed("run", self.engine, PROMPT, *GREEDY, "--prompt-logprobs", "1", "--json").json()
        self.assertEqual(len(answer["prompt_logprobs"]), answer["usage"]["prompt_tokens"] - 1)
        for given, best in answer["prompt_logprobs"]:
            self.assertLessEqual(given["logprob"], best["logprob"])

    def test_bad_words_do_not_come(self) -> None:
        word = self.succeed("run", self.engine, PROMPT, *GREEDY, "--json").json()["text"].split()[1]
        answer = self.succeed("run", self.engine, PROMPT, *GREEDY, "--json", "--bad-words", word).json()
        self.assertNotIn(word, answer["text"].split())
        source = self.write_jsonl("bad.jsonl", [{"prompt": PROMPT, "bad_words": [word]}])
        line = read_jsonl(self.succeed("run", self.engine, "--input", source, *GREEDY).out)[0]
        self.assertEqual(line["token_ids"], answer["token_ids"])

    def test_logit_bias_bans_and_forces(self) -> None:
        ids = self.succeed("run", self.engine, PROMPT, *GREEDY, "--json").json()["token_ids"]
        banned = self.succeed("run", self.engine, PROMPT, *GREEDY, "--json", "--logit-bias", f"{ids[0]}:-100").json()
        self.assertNotIn(ids[0], banned["token_ids"])
        forced = self.succeed("run", self.engine, "--logit-bias", "42:100", PROMPT, *GREEDY, "--json").json()
        self.assertEqual(set(forced["token_ids"]), {42})

    def test_instruction_sets_can_be_forced(self) -> None:
        for isa in ("portable", json.loads(self.succeed("doctor", "--quick", "--json").out)["isa"]):
            result = self.succeed("run", self.engine, PROMPT, *GREEDY, env={"VELOZ_ISA": isa})
            self.assertGreater(len(result.out), 10)


if __name__ == "__main__":
    unittest.main()
