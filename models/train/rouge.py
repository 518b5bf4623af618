# SPDX-License-Identifier: Apache-2.0
"""ROUGE-1, ROUGE-2 and ROUGE-L as F1 over lower-cased words and numbers, without stemming."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Rouge:
    """Shares from 0 to 1."""

    rouge1: float
    rouge2: float
    rouge_l: float


def split_words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def f1(matched: int, num_predicted: int, num_expected: int) -> float:
    if matched == 0:
        return 0.0
    precision, recall = matched / num_predicted, matched / num_expected
    return 2 * precision * recall / (precision + recall)


def ngram_f1(predicted: Sequence[str], expected: Sequence[str], n: int) -> float:
    left = Counter(zip(*(predicted[i:] for i in range(n)), strict=False))
    right = Counter(zip(*(expected[i:] for i in range(n)), strict=False))
    return f1((left & right).total(), left.total(), right.total())


def common_subsequence(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence, a row of the usual table at a time."""
    row = [0] * (len(right) + 1)
    for word in left:
        diagonal = 0
        for j, other in enumerate(right):
            above = row[j + 1]
            row[j + 1] = diagonal + 1 if word == other else max(above, row[j])
            diagonal = above
    return row[-1]


def score(predicted: str, expected: str) -> Rouge:
    left, right = split_words(predicted), split_words(expected)
    return Rouge(ngram_f1(left, right, 1), ngram_f1(left, right, 2),
                 f1(common_subsequence(left, right), len(left), len(right)))


def mean(scores: Sequence[Rouge]) -> Rouge:
    count = len(scores)
    return Rouge(sum(s.rouge1 for s in scores) / count, sum(s.rouge2 for s in scores) / count,
                 sum(s.rouge_l for s in scores) / count)
