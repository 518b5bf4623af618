# SPDX-License-Identifier: Apache-2.0
"""The bundled models do their jobs, as far as people would notice, on items that training never showed."""

import sys

from veloz_cli import BINARY, MODELS, CliTest

sys.path.insert(0, str(MODELS / "train"))
import evaluate_veloz  # noqa: E402

MIN_ROUGE1 = 97.0
MIN_EXACT = 95.0


class Accuracy(CliTest):
    def score(self, name: str) -> dict[str, float]:
        items = evaluate_veloz.read_items(MODELS / name / "eval.jsonl")
        return evaluate_veloz.evaluate(BINARY, MODELS / name, items)

    def test_tiny_gptj_summarises(self) -> None:
        self.assertGreaterEqual(self.score("tiny-gptj")["rouge1"], MIN_ROUGE1)

    def test_tiny_llama_answers_questions(self) -> None:
        self.assertGreaterEqual(self.score("tiny-llama")["exact"], MIN_EXACT)
