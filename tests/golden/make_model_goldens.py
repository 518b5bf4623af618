# SPDX-License-Identifier: Apache-2.0
"""Writes what transformers computes with small checkpoints: models/<name>/ (random) and trained/<name>.json.

    python tests/golden/make_model_goldens.py random tests/golden/models
    python tests/golden/make_model_goldens.py trained models tests/golden/trained

golden.json of a random checkpoint holds
    prompts    token ids
    logits     base64 of little-endian fp32: of every position of prompts[1], of the last position of each prompt
    greedy     per prompt the 64 tokens after it (no end token)
    beam       each: the prompt's index, the exact arguments of generate(), the returned new tokens, sequences_scores
    margin     the smallest gap between the best and the second logit over all greedy steps

Seeds are tried in order until no choice hangs on rounding: greedy steps keep a margin, greedy texts are not loops, and
every search finds the same sequences with weights that are off by a few units in the last place of fp32. All eight
take half a minute.
"""

from __future__ import annotations

import argparse
import base64
import json
import math
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers
from model_specs import SPECS, Spec

CONFIGS = {"gptj": transformers.GPTJConfig, "llama": transformers.LlamaConfig, "qwen2": transformers.Qwen2Config}
PROMPT_LENGTHS = (1, 7, 40)
NUM_GREEDY = 64
MIN_MARGIN = 2e-3
MIN_DISTINCT = 16  # of the 64 greedy tokens
JITTER = 1e-6  # relative error of the weights in the stability check; fp32 rounds at 6e-8
NUM_TRAINED_ITEMS = 8
Golden = dict[str, Any]


# ---- random checkpoints

def make_config(spec: Spec) -> Any:
    if spec.family == "gptj":
        dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        return transformers.GPTJConfig(**spec.config, **dropout, bos_token_id=None, eos_token_id=None)
    return CONFIGS[spec.family](**spec.config, bos_token_id=None, eos_token_id=None, pad_token_id=None)


def set_weights(model: Any, generator: torch.Generator) -> None:
    """Weights so large that logits differ clearly and attention looks at few places."""
    layers = model.config.num_hidden_layers
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() == 1:  # norms are near 1, biases near 0
            is_gain = "norm" in name or ("ln_" in name and name.endswith("weight"))
            parameter.data = 1 + 0.2 * noise if is_gain else 0.3 * noise
        elif "embed" in name or "wte" in name:
            parameter.data = 0.5 * noise
        elif "lm_head" in name:
            parameter.data = 3 * noise / math.sqrt(parameter.shape[1])
        else:
            into_residual = name.endswith(("o_proj.weight", "out_proj.weight", "down_proj.weight", "fc_out.weight"))
            gain = 3 / math.sqrt(layers) if into_residual else 2
            parameter.data = gain * noise / math.sqrt(parameter.shape[1])


def make_model(spec: Spec, seed: int) -> Any:
    model = transformers.AutoModelForCausalLM.from_config(make_config(spec), attn_implementation="eager")
    set_weights(model, torch.Generator().manual_seed(seed))
    model.tie_weights()
    for parameter in model.parameters():  # only what is stored: tables of angles stay in fp32
        parameter.data = parameter.data.to(getattr(torch, spec.dtype)).float()
    return model.eval()


def jittered(model: Any, spec: Spec) -> Any:
    """The same model with its weights off by a few units in the last place."""
    other = make_model(spec, 0)
    other.load_state_dict(model.state_dict())
    generator = torch.Generator().manual_seed(1)
    for parameter in other.parameters():
        parameter.data *= 1 + JITTER * torch.randn(parameter.shape, generator=generator)
    return other


# ---- what a model computes

def encode(values: torch.Tensor) -> str:
    return base64.b64encode(values.detach().float().contiguous().numpy().astype("<f4").tobytes()).decode()


def run_generate(model: Any, prompt: list[int], arguments: Golden) -> tuple[list[list[int]], list[float]]:
    """New tokens per returned sequence, without what pads them after their end; scores where beams are searched."""
    pad = -1 if arguments.get("num_beams", 1) == 1 else model.config.vocab_size
    ids = torch.tensor([prompt])
    config = transformers.GenerationConfig(**arguments, do_sample=False, pad_token_id=pad, return_dict_in_generate=True,
                                           output_scores=arguments.get("num_beams", 1) > 1)
    with torch.no_grad():
        out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config)
    sequences = [[t for t in row[len(prompt) :] if t != pad] for row in out.sequences.tolist()]
    scores = out.sequences_scores.tolist() if out.get("sequences_scores") is not None else []
    return sequences, scores


def greedy_tokens(model: Any, prompt: list[int], count: int) -> list[int]:
    return run_generate(model, prompt, {"max_new_tokens": count})[0][0]


def greedy_margin(model: Any, prompt: list[int], tokens: list[int]) -> float:
    with torch.no_grad():
        logits = model(torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1]
    best = logits.topk(2).values
    return float((best[:, 0] - best[:, 1]).min())


def beam_cases(rng: random.Random, ends: list[int], kind: str) -> list[Golden]:
    """Arguments of generate(): every number of beams with every stopping rule, the rest mixed in."""
    cases: list[Golden] = []
    penalties = [-0.7, 0.0, 0.8, 1.0, 2.0] * 5
    rng.shuffle(penalties)
    for num_beams in range(2, 9):
        for early_stopping in (True, False, "never"):
            cases.append({"num_beams": num_beams, "num_return_sequences": num_beams, "max_new_tokens": 24,
                          "length_penalty": penalties.pop(), "early_stopping": early_stopping,
                          "eos_token_id": rng.sample(ends, 2)})
    if kind == "short":
        cases = rng.sample(cases, 5)
    base = {"num_beams": 4, "num_return_sequences": 4, "max_new_tokens": 24, "length_penalty": 1.0, "early_stopping": True}
    one = [ends[0]]
    cases.append({**base, "eos_token_id": one, "min_new_tokens": 9})
    cases.append({**base, "eos_token_id": one, "no_repeat_ngram_size": 2})
    cases.append({**base, "eos_token_id": one, "repetition_penalty": 1.3})
    cases.append({**base, "eos_token_id": ends, "early_stopping": False, "length_penalty": 2.0, "min_new_tokens": 5,
                  "no_repeat_ngram_size": 3, "repetition_penalty": 1.1})
    return cases


def likely_ends(model: Any, prompts: list[list[int]]) -> list[int]:
    """Four tokens that good continuations hold not too early, so that beams end at different times."""
    counts: dict[int, int] = {}
    for prompt in prompts:
        rows, _ = run_generate(model, prompt, {"num_beams": 8, "num_return_sequences": 8, "max_new_tokens": 24})
        for row in rows:
            for token in row[4:]:
                counts[token] = counts.get(token, 0) + 1
    return sorted(counts, key=lambda t: (-counts[t], t))[2:6]


def make_golden(spec: Spec, seed: int) -> tuple[Any, Golden] | None:
    """The model and its golden, or None where the seed gives a loop or a close call."""
    model = make_model(spec, seed)
    rng = random.Random(seed)
    prompts = [[rng.randrange(spec.config["vocab_size"]) for _ in range(n)] for n in PROMPT_LENGTHS]
    greedy = [greedy_tokens(model, p, NUM_GREEDY) for p in prompts]
    margin = min(greedy_margin(model, p, g) for p, g in zip(prompts, greedy, strict=True))
    if margin < MIN_MARGIN or min(len(set(g)) for g in greedy) < MIN_DISTINCT:
        return None
    ends = likely_ends(model, prompts)
    other = jittered(model, spec)
    beams: list[Golden] = []
    for index, arguments in enumerate(beam_cases(rng, ends, spec.beam_cases)):
        prompt = index % len(prompts)
        sequences, scores = run_generate(model, prompts[prompt], arguments)
        if run_generate(other, prompts[prompt], arguments)[0] != sequences:
            return None
        beams.append({"prompt": prompt, "arguments": arguments, "sequences": sequences,
                      "sequences_scores": [round(s, 6) for s in scores]})
    with torch.no_grad():
        every = model(torch.tensor([prompts[1]])).logits[0]
        last = torch.stack([model(torch.tensor([p])).logits[0, -1] for p in prompts])
    return model, {"prompts": prompts, "logits": {"all_positions_of_prompt_1": encode(every), "last_positions": encode(last)},
                   "margin": margin, "greedy": greedy, "beam": beams}


def old_config(config: Golden) -> Golden:
    """config.json as transformers 4 writes it."""
    old = dict(config)
    old["torch_dtype"] = old.pop("dtype")
    old["transformers_version"] = "4.46.0"
    rope = old.pop("rope_parameters", None)
    if rope is not None:
        old["rope_theta"] = rope["rope_theta"]
        scaling = {key: value for key, value in rope.items() if key != "rope_theta"}
        old["rope_scaling"] = None if rope["rope_type"] == "default" else scaling
    return old


def save_checkpoint(model: Any, spec: Spec, out: Path) -> None:
    stored = make_model(spec, 0).to(getattr(torch, spec.dtype))
    stored.load_state_dict(model.state_dict())
    stored.config.dtype = getattr(torch, spec.dtype)
    num_bytes = sum(p.numel() * p.element_size() for p in stored.parameters())
    with tempfile.TemporaryDirectory() as folder:
        stored.save_pretrained(folder, max_shard_size=num_bytes if spec.num_shards == 1 else num_bytes // spec.num_shards)
        for file in sorted(Path(folder).glob("model*.safetensors*")):
            shutil.copyfile(file, out / file.name)
        config = json.loads((Path(folder) / "config.json").read_text())
    config = {key: value for key, value in config.items() if key != "layer_types"}
    (out / "config.json").write_text(json.dumps(old_config(config) if spec.config_style == 4 else config, indent=2) + "\n")


def check_loads(spec: Spec, out: Path, golden: Golden) -> None:
    """What was written is what was run."""
    model = transformers.AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        logits = model(torch.tensor([golden["prompts"][1]])).logits[0]
    if encode(logits) != golden["logits"]["all_positions_of_prompt_1"]:
        raise SystemExit(f"{spec.name}: the written checkpoint computes other logits")


def write_random(out: Path, names: list[str]) -> None:
    for spec in SPECS:
        if names and spec.name not in names:
            continue
        seed = 1
        while (made := make_golden(spec, seed)) is None:
            seed += 1
        model, golden = made
        folder = out / spec.name
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.iterdir():
            stale.unlink()
        save_checkpoint(model, spec, folder)
        check_loads(spec, folder, golden)
        write_json(folder / "golden.json", {"notes": spec.notes, **versions(), "seed": seed, **golden})
        used = {len(row) for case in golden["beam"] for row in case["sequences"]}
        print(f"{spec.name}: seed {seed}, margin {golden['margin']:.4f}, {len(golden['beam'])} searches, "
              f"lengths {sorted(used)}, {sum(f.stat().st_size for f in folder.iterdir())} bytes", flush=True)


# ---- trained models

def trained_prompt(tokenizer: Any, item: Golden) -> list[int]:
    if "messages" not in item:
        return list(tokenizer(item["prompt"])["input_ids"])
    text = tokenizer.apply_chat_template(item["messages"], tokenize=False, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def write_trained(models: Path, out: Path) -> None:
    """Prompts from the evaluation set; greedy and beam search in fp32, whose sequences must be equal."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("tiny-gptj", "tiny-llama"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(models / name)
        lines = (models / name / "eval.jsonl").read_text().splitlines()[:NUM_TRAINED_ITEMS]
        items = [json.loads(line) for line in lines]
        prompts = [trained_prompt(tokenizer, item) for item in items]
        model = transformers.AutoModelForCausalLM.from_pretrained(
            models / name, dtype=torch.float32, attn_implementation="eager").eval()
        ends = model.generation_config.eos_token_id
        model.generation_config = transformers.GenerationConfig()
        arguments: Golden = {"max_new_tokens": 64, "eos_token_id": ends if isinstance(ends, list) else [ends]}
        search = {**arguments, "num_beams": 4, "num_return_sequences": 4, "length_penalty": 1.0, "early_stopping": True}
        beams = [run_generate(model, ids, search) for ids in prompts]
        write_json(out / f"{name}.json", {
            **versions(), "items": items, "prompts": prompts,
            "greedy": [run_generate(model, ids, arguments)[0][0] for ids in prompts],
            "beam": [rows for rows, _ in beams],
            "beam_scores": [[round(score, 6) for score in scores] for _, scores in beams]})


# ---- files

def versions() -> Golden:
    return {"torch": torch.__version__, "transformers": transformers.__version__}


def write_json(path: Path, value: Golden) -> None:
    """One line for each member, and for each element of a list of objects, so that changes can be read."""
    lines = []
    for key, member in value.items():
        if isinstance(member, list) and member and isinstance(member[0], dict):
            text = "[\n  " + ",\n  ".join(json.dumps(element) for element in member) + "]"
        else:
            text = json.dumps(member)
        lines.append(f"{json.dumps(key)}: {text}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("random", help="the tiny random checkpoints")
    verb.add_argument("out", type=Path)
    verb.add_argument("names", nargs="*", help="only these")
    verb = verbs.add_parser("trained", help="goldens of the two trained models")
    verb.add_argument("models", type=Path)
    verb.add_argument("out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if arguments.verb == "random":
        write_random(arguments.out, arguments.names)
    else:
        write_trained(arguments.models, arguments.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
