# SPDX-License-Identifier: Apache-2.0
"""`veloz eval`: the bundled models pass beside themselves, and nonsense is refused."""

import unittest
from pathlib import Path
from typing import Any

from tiny_checkpoint import TinyCheckpoint, tokenizer_json
from veloz_cli import MODELS, CliTest, bundled_models, read_jsonl

GPTJ = MODELS / "tiny-gptj"
LLAMA = MODELS / "tiny-llama"


class EvalTest(CliTest):
    def evaluate(self, code: int, *args: str | Path) -> Any:
        result = self.veloz("eval", *args, "--json")
        self.assertEqual(result.code, code, result.err)
        return result.json()

    def test_a_model_stands_for_itself(self) -> None:
        for model in bundled_models():
            with self.subTest(model.name):
                report = self.evaluate(0, model, "--reference", model, "--limit", "25", "--gate", "99.9")
                self.assertEqual(report["verdict"], "PASS-99.9")
                self.assertEqual(report["answers"], report["reference_answers"])
                self.assertEqual(report["text"], report["reference_text"])
                agreement = report["agreement"]
                self.assertEqual((agreement["mean_kl"], agreement["max_kl"], agreement["top1"]), (0, 0, 1))
                self.assertEqual(report["answers"]["num_items"], 25)
                self.assertGreater(report["text"]["num_tokens"], 25)

    def test_measures_an_engine_without_an_original(self) -> None:
        engine = self.build(LLAMA)
        report = self.evaluate(0, engine, "--dataset", LLAMA / "eval.jsonl", "--limit", "20")
        self.assertEqual((report["verdict"], report["task"], report["checks"]), ("UNGATED", "chat", []))
        self.assertGreater(report["answers"]["exact"], 0.8)
        self.assertNotIn("agreement", report)

    def test_texts_alone_are_judged_by_perplexity(self) -> None:
        text = self.dir / "text.txt"
        text.write_text("\n".join(item["prompt"] for item in read_jsonl((GPTJ / "eval.jsonl").read_text())[:20]))
        report = self.evaluate(0, GPTJ, "--reference", GPTJ, "--text", text)
        self.assertEqual([check["name"] for check in report["checks"]], ["perplexity"])
        self.assertEqual(report["verdict"], "PASS-99.9")
        self.assertNotIn("answers", report)

    def test_greedy_answers_and_a_table_for_people(self) -> None:
        result = self.succeed("eval", GPTJ, "--limit", "3", "--num-beams", "1", "--max-tokens", "4")
        for part in ("3 answers", "ROUGE-1", "perplexity", "UNGATED: "):
            self.assertIn(part, result.out)
        self.assertRegex(result.out, r"tokens per answer +4\.00 +- +-")

    def test_help_teaches(self) -> None:
        text = self.succeed("eval", "--help").out
        for part in ("--reference", "--dataset", "PASS-99.9", "90 % to 110 %", "veloz eval models/tiny-gptj"):
            self.assertIn(part, text)


class BadEvalTest(CliTest):
    def refuse(self, parts: list[str], *args: str | Path) -> None:
        result = self.fail_with(2, parts, "eval", *args)
        self.assertEqual(result.out, "")

    def dataset(self, *lines: dict[str, Any]) -> Path:
        return self.write_jsonl("data.jsonl", list(lines))

    def test_models_that_were_not_made_from_each_other(self) -> None:
        data = self.dataset({"prompt": "Some words here", "reference": "Other words"})
        self.refuse(["tokenizers", "differently", "made from"], GPTJ, "--reference", LLAMA, "--dataset", data)

    def test_no_data(self) -> None:
        model = TinyCheckpoint().write(self.dir / "model")
        (model / "tokenizer.json").write_text(tokenizer_json())
        self.refuse(["nothing to evaluate", "--dataset or --text"], model)
        self.refuse(['"nowhere.jsonl" does not exist'], model, "--dataset", "nowhere.jsonl")
        empty = self.dir / "empty"
        empty.write_text("")
        self.refuse(["holds no items"], model, "--dataset", empty)
        self.refuse(["nothing that could be predicted"], model, "--text", empty)

    def test_data_that_mean_nothing(self) -> None:
        self.refuse(["line 1", 'no "reference" and no "answer"'], GPTJ, "--dataset", self.dataset({"prompt": "x"}))
        item = {"messages": [{"role": "user", "content": "x"}], "answer": "y"}
        self.refuse(["line 1", "no chat template"], GPTJ, "--dataset", self.dataset(item))
        self.refuse(
            ["line 1", "the model takes"], GPTJ, "--dataset", self.dataset({"prompt": "x " * 5000, "answer": "y"})
        )

    def test_flags_that_cannot_be(self) -> None:
        self.refuse(['no task "translate"', "summarize"], GPTJ, "--task", "translate")
        self.refuse(['no gate "98"', "99 and 99.9"], GPTJ, "--gate", "98")
        self.refuse(["a limit of 0"], GPTJ, "--limit", "0")
        self.refuse(["--limit", "x"], GPTJ, "--limit", "x")
        self.refuse(["max_tokens"], GPTJ, "--max-tokens", "0")
        self.refuse(["item 1"], GPTJ, "--max-tokens", "100000")
        self.refuse(["nowhere"], GPTJ, "--reference", "nowhere")

    def test_a_place_that_cannot_be_written_is_said_first(self) -> None:
        result = self.veloz("eval", GPTJ, "-o", self.dir / "no" / "such" / "place.md")
        self.assertEqual(result.code, 1)
        self.assertIn("place.md", result.err)


if __name__ == "__main__":
    unittest.main()
