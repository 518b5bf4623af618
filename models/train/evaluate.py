# SPDX-License-Identifier: Apache-2.0
"""Scores a model on its evaluation set with transformers: ROUGE for tiny-gptj, exact answers for tiny-llama.

    python models/train/evaluate.py models/tiny-gptj
    python models/train/evaluate.py /tmp/tiny-llama-int4 --set models/tiny-llama/eval.jsonl

An exact answer is equal to the expected one in every character.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import rouge
import torch
import transformers

BATCH = 20
NUM_BEAMS = 4
MAX_NEW_TOKENS = 96


def read_items(path: Path, limit: int) -> list[dict[str, Any]]:
    items = [json.loads(line) for line in path.read_text().splitlines()]
    return items[:limit]


def prompt_ids(tokenizer: Any, item: dict[str, Any]) -> list[int]:
    if "messages" not in item:
        ids: list[int] = tokenizer(item["prompt"])["input_ids"]
        return ids
    text = tokenizer.apply_chat_template(item["messages"], tokenize=False, add_generation_prompt=True)
    chat: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return chat


def generate(model: Any, prompts: list[list[int]], num_beams: int) -> list[list[int]]:
    """The new tokens of each prompt; prompts are padded on the left, which the mask hides."""
    length = max(map(len, prompts))
    pad = model.generation_config.bos_token_id
    ids = torch.tensor([[pad] * (length - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (length - len(p)) + [1] * len(p) for p in prompts])
    with torch.no_grad():
        out = model.generate(input_ids=ids, attention_mask=mask, num_beams=num_beams, do_sample=False,
                             early_stopping=num_beams > 1, max_new_tokens=MAX_NEW_TOKENS, pad_token_id=pad)
    new: list[list[int]] = out[:, length:].tolist()
    return new


def evaluate(folder: Path, items: list[dict[str, Any]], dtype: torch.dtype, show: int) -> dict[str, float]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    answers = [item.get("answer", item.get("reference")) for item in items]
    predicted: list[str] = []
    for begin in range(0, len(items), BATCH):
        prompts = [prompt_ids(tokenizer, item) for item in items[begin : begin + BATCH]]
        new = generate(model, prompts, 1 if "messages" in items[0] else NUM_BEAMS)
        predicted += [tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in new]
    wrong = [(got, want) for got, want in zip(predicted, answers, strict=True) if got != want]
    for got, want in wrong[:show]:
        print(f"  got      {got}\n  expected {want}")
    mean = rouge.mean([rouge.score(got, want) for got, want in zip(predicted, answers, strict=True)])
    scores = {name: round(100 * value, 2) for name, value in asdict(mean).items()}
    return {"items": len(items), "exact": round(100 * (1 - len(wrong) / len(items)), 2), **scores}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--set", type=Path, help="default: eval.jsonl of the model's folder")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--limit", type=int, default=1000, help="read this many items at most")
    parser.add_argument("--show", type=int, default=0, help="print this many wrong answers")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    items = read_items(arguments.set or arguments.model / "eval.jsonl", arguments.limit)
    scores = evaluate(arguments.model, items, getattr(torch, arguments.dtype), arguments.show)
    print(json.dumps({"torch": torch.__version__, "transformers": transformers.__version__, "dtype": arguments.dtype,
                      **scores}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
