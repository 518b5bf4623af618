# SPDX-License-Identifier: Apache-2.0
"""The bundled models do their jobs, as far as people would notice, on items that training never showed; and `veloz eval`
finds what a few lines of Python find in the same answers."""

import sys

from veloz_cli import BINARY, MODELS, CliTest

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
