# SPDX-License-Identifier: Apache-2.0
"""Scores a model on its evaluation set with Veloz: ROUGE for tiny-gptj (beam 4), exact answers for tiny-llama (greedy).

    python3 models/train/evaluate_veloz.py build/release/veloz models/tiny-gptj
    python3 models/train/evaluate_veloz.py build/release/veloz /tmp/int4-copy --set models/tiny-llama/eval.jsonl

An exact answer is equal to the expected one in every character. Needs Python alone.
"""

import argparse
import json
import subprocess
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import rouge

BEAM = {"num_beams": 4, "early_stopping": True}
GREEDY = {"temperature": 0}


def read_items(path: Path, limit: int | None = None) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()[:limit]]


def request(item: dict[str, Any]) -> dict[str, Any]:
    """A line of `veloz run --input`."""
    if "messages" in item:
        return {"messages": item["messages"], "max_tokens": 96, **GREEDY}
    return {"prompt": item["prompt"], "max_tokens": 96, **BEAM}


def generate(veloz: Path, model: Path, items: list[dict[str, Any]]) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        prompts, results = Path(folder) / "in.jsonl", Path(folder) / "out.jsonl"
        prompts.write_text("".join(json.dumps(request(item)) + "\n" for item in items))
        command = [veloz, "run", model, "--cache-dir", Path(folder) / "cache", "--input", prompts, "--output", results]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        return [json.loads(line)["text"].strip() for line in results.read_text().splitlines()]


def evaluate(veloz: Path, model: Path, items: list[dict[str, Any]], show: int = 0) -> dict[str, float]:
    """Shares in percent: exact answers, and the means of ROUGE-1, ROUGE-2 and ROUGE-L."""
    expected = [item.get("answer", item.get("reference")) for item in items]
    pairs = list(zip(generate(veloz, model, items), expected, strict=True))
    wrong = [pair for pair in pairs if pair[0] != pair[1]]
    for got, want in wrong[:show]:
        print(f"  got      {got}\n  expected {want}")
    mean = rouge.mean([rouge.score(got, want) for got, want in pairs])
    scores = {name: round(100 * value, 2) for name, value in asdict(mean).items()}
    return {"items": len(items), "exact": round(100 * (1 - len(wrong) / len(items)), 2), **scores}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("veloz", type=Path, help="the program")
    parser.add_argument("model", type=Path, help="model or engine directory")
    parser.add_argument("--set", type=Path, help="default: eval.jsonl of the model's folder")
    parser.add_argument("--limit", type=int, help="read this many items at most")
    parser.add_argument("--show", type=int, default=0, help="print this many wrong answers")
    arguments = parser.parse_args()
    items = read_items(arguments.set or arguments.model / "eval.jsonl", arguments.limit)
    print(json.dumps(evaluate(arguments.veloz, arguments.model, items, arguments.show)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
