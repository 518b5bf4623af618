# SPDX-License-Identifier: Apache-2.0
"""Writes beam.json: beam searches of Hugging Face transformers over a made-up language model.

The model's logits are a hash of the whole sequence, computed with 32-bit integers, so that any language can
compute the same ones (tests/serving/hash_model.h does). Run: python make_beam_golden.py [OUT]
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import GenerationConfig, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

SEED = 20240
NUM_CASES = 240
MASK = 0xFFFFFFFF


def mix(word: torch.Tensor) -> torch.Tensor:
    """The finaliser of MurmurHash3 on words held in int64."""
    word = ((word ^ (word >> 16)) * 0x85EBCA6B) & MASK
    word = ((word ^ (word >> 13)) * 0xC2B2AE35) & MASK
    return word ^ (word >> 16)


def hash_logits(tokens: torch.Tensor, case: dict[str, Any]) -> torch.Tensor:
    """Logits [B, V] fp32 after the sequences tokens [B, L]: uniform in [0, scale), plus a boost of the ends."""
    state = torch.full((tokens.shape[0],), int(case["model_seed"]), dtype=torch.int64)
    for column in tokens.unbind(dim=1):
        state = mix((state * 31 + column + 1) & MASK)
    ids = torch.arange(int(case["vocab_size"]), dtype=torch.int64)
    words = mix((state[:, None] + ids[None, :] * 0x9E3779B1) & MASK)
    logits = (words >> 8).to(torch.float32) * (float(case["scale"]) * 2.0**-24)
    logits[:, case["eos_token_ids"]] += float(case["eos_boost"])
    return logits


class HashConfig(PretrainedConfig):
    model_type = "veloz_hash"


class HashModel(PreTrainedModel, GenerationMixin):
    config_class = HashConfig

    def __init__(self, config: HashConfig, case: dict[str, Any]) -> None:
        super().__init__(config)
        self.case = case
        self.anchor = torch.nn.Parameter(torch.zeros(1))

    def forward(self, input_ids: torch.Tensor, **_: Any) -> CausalLMOutput:
        return CausalLMOutput(logits=hash_logits(input_ids, self.case)[:, None, :])

    def prepare_inputs_for_generation(self, input_ids: torch.Tensor, **_: Any) -> dict[str, Any]:
        return {"input_ids": input_ids}


def random_case(rng: random.Random) -> dict[str, Any]:
    num_beams = rng.randint(2, 8)
    num_eos = rng.choice([0, 1, 1, 1, 2, 3])
    vocab_size = rng.choice([37, 50, 101])
    max_tokens = rng.choice([1, 2, 5, 12, 20, 30])
    return {
        "model_seed": rng.randrange(1 << 31),
        "vocab_size": vocab_size,
        "scale": rng.choice([2.0, 4.0, 8.0]),
        "eos_boost": rng.choice([0.0, 1.0, 2.0, 3.0]),
        "eos_token_ids": sorted(rng.sample(range(vocab_size), num_eos)),
        "prompt": [rng.randrange(vocab_size) for _ in range(rng.randint(1, 12))],
        "num_beams": num_beams,
        "n": rng.randint(1, num_beams),
        "max_tokens": max_tokens,
        "min_tokens": rng.choice([0, 0, min(3, max_tokens), min(8, max_tokens)]),
        "length_penalty": rng.choice([1.0, 1.0, 0.0, 0.6, 2.0, -1.0]),
        "early_stopping": rng.choice(["no", "yes", "never"]),
        "no_repeat_ngram_size": rng.choice([0, 0, 1, 2, 3]),
        "repetition_penalty": rng.choice([1.0, 1.0, 1.3, 0.8]),
        "logit_bias": [[rng.randrange(vocab_size), rng.choice([-4.0, 2.0])]] if rng.random() < 0.2 else [],
    }


def search(case: dict[str, Any]) -> list[dict[str, Any]]:
    model = HashModel(HashConfig(), case)
    prompt = torch.tensor([case["prompt"]])
    config = GenerationConfig(
        num_beams=case["num_beams"],
        num_return_sequences=case["n"],
        do_sample=False,
        max_new_tokens=case["max_tokens"],
        min_new_tokens=case["min_tokens"] or None,
        length_penalty=case["length_penalty"],
        early_stopping={"no": False, "yes": True, "never": "never"}[case["early_stopping"]],
        no_repeat_ngram_size=case["no_repeat_ngram_size"] or None,
        repetition_penalty=case["repetition_penalty"],
        sequence_bias={(token,): bias for token, bias in case["logit_bias"]} or None,
        eos_token_id=case["eos_token_ids"] or None,
        pad_token_id=0,
        use_cache=False,
        return_dict_in_generate=True,
        output_scores=True,
    )
    output = model.generate(prompt, generation_config=config)
    results = []
    for tokens, score, parents in zip(output.sequences, output.sequences_scores, output.beam_indices, strict=True):
        length = int((parents >= 0).sum())
        begin = prompt.shape[1]
        results.append({"tokens": tokens[begin : begin + length].tolist(), "score": float(score)})
    return results


def main() -> int:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("beam.json")
    rng = random.Random(SEED)
    cases = []
    while len(cases) < NUM_CASES:
        case = random_case(rng)
        if case["no_repeat_ngram_size"] == 1 and len(case["prompt"]) + case["max_tokens"] > 20:
            continue  # too few tokens would be left: transformers then goes on with banned ones
        cases.append(case | {"outputs": search(case)})
    text = {
        "made_by": f"make_beam_golden.py, transformers {transformers.__version__}, torch {torch.__version__}",
        "seed": SEED,
        "cases": cases,
    }
    lines = json.dumps(text["cases"], separators=(",", ":")).replace('},{"model_seed"', '},\n{"model_seed"')
    head = json.dumps({k: v for k, v in text.items() if k != "cases"})[:-1]
    out.write_text(f'{head}, "cases":\n{lines}}}\n')
    print(f"{len(cases)} cases, {out.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
