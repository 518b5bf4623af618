# SPDX-License-Identifier: Apache-2.0
"""The bundled models do their jobs, as far as people would notice, on items that training never showed; `veloz eval`
finds what a few lines of Python find in the same answers, and fails a damaged model."""

import sys

from damaged_model import write_naive_int4
from veloz_cli import BINARY, MODELS, CliTest, bundled_models

sys.path.insert(0, str(MODELS / "train"))
import evaluate_veloz  # noqa: E402

MIN_ROUGE1 = 97.0
MIN_EXACT = 95.0
STEMMING = 0.5  # points of ROUGE that `veloz eval`, which stems words, may find more or less


class Accuracy(CliTest):
    def score(self, name: str) -> dict[str, float]:
        items = evaluate_veloz.read_items(MODELS / name / "eval.jsonl")
        scores = evaluate_veloz.evaluate(BINARY, MODELS / name, items)
        native = self.succeed("eval", MODELS / name, "--max-tokens", "96", "--json").json()["answers"]
        self.assertEqual(native["num_items"], scores["items"])
        self.assertAlmostEqual(100 * native["exact"], scores["exact"])
        for metric in "rouge1", "rouge2", "rouge_l":
            self.assertAlmostEqual(100 * native[metric], scores[metric], delta=STEMMING)
        return scores

    def test_tiny_gptj_summarises(self) -> None:
        self.assertGreaterEqual(self.score("tiny-gptj")["rouge1"], MIN_ROUGE1)

    def test_tiny_llama_answers_questions(self) -> None:
        self.assertGreaterEqual(self.score("tiny-llama")["exact"], MIN_EXACT)

    def test_a_damaged_model_fails(self) -> None:
        for model in bundled_models():
            with self.subTest(model.name):
                damaged = write_naive_int4(model, self.dir / f"{model.name}-int4")
                page = self.dir / "report.md"
                result = self.veloz("eval", damaged, "--reference", model, "-o", page, "--json")
                self.assertEqual(result.code, 1, result.err)
                report = result.json()
                self.assertEqual(report["verdict"], "FAIL")
                self.assertIn("is asked for", report["reason"])
                self.assertGreater(report["agreement"]["mean_kl"], 0.01)
                self.assertLess(report["agreement"]["top1"], 0.99)
                self.assertGreater(report["text"]["perplexity"], report["reference_text"]["perplexity"])
                self.assertTrue(page.read_text().startswith(f"# {damaged}: FAIL"))
