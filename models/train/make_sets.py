# SPDX-License-Identifier: Apache-2.0
"""Writes eval.jsonl (held-out names and templates) and calib.jsonl (as in training) beside both models.

    python models/train/make_sets.py models
"""

import argparse
import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from news import make_article, make_prompt
from qa import Task, make_conversation

NUM_EVAL = 200
NUM_CALIB = 128
SEEDS = {"eval": 90001, "train": 90002}  # neither is a seed of training


def summary_items(split: str, count: int) -> list[dict[str, Any]]:
    rng = random.Random(SEEDS[split])
    items = []
    for _ in range(count):
        article, summary = make_article(rng, split)
        items.append({"prompt": make_prompt(article), "reference": summary})
    return items


def answer_items(split: str, count: int) -> list[dict[str, Any]]:
    rng = random.Random(SEEDS[split])
    items = []
    for _ in range(count):
        messages = make_conversation(rng, split, Task(max_turns=rng.choice((1, 1, 2))))
        items.append({"messages": messages[:-1], "answer": messages[-1]["content"]})
    return items


def write(path: Path, items: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, help="the folder that holds tiny-gptj and tiny-llama")
    folder: Path = parser.parse_args().models
    for name in ("tiny-gptj", "tiny-llama"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    write(folder / "tiny-gptj" / "eval.jsonl", summary_items("eval", NUM_EVAL))
    write(folder / "tiny-gptj" / "calib.jsonl", summary_items("train", NUM_CALIB))
    write(folder / "tiny-llama" / "eval.jsonl", answer_items("eval", NUM_EVAL))
    write(folder / "tiny-llama" / "calib.jsonl", answer_items("train", NUM_CALIB))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
