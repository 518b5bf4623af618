# SPDX-License-Identifier: Apache-2.0
"""Trains one of the bundled models on one thread and writes it in Hugging Face layout.

    python models/train/train.py gptj /tmp/one
    python models/train/train.py gptj models/tiny-gptj --start /tmp/one --seed 8 --batch 8 --rate 1e-3

README.md of each model has the commands that made it.
Data is made on the fly from the seed; only wall time depends on the machine. A checkpoint is written every few minutes.
A second run of many small steps is what teaches a model to copy invented names letter by letter.
"""

import argparse
import json
import math
import platform
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tokenizers
import torch
import transformers
from news import make_article, make_prompt
from qa import Task, make_conversation
from tokenizers import Tokenizer
from vocabulary import CHAT_TEMPLATE, LLAMA3_SPECIALS, VOCAB_SIZE, train_gptj, train_llama

READ_WEIGHT = 0.1  # of the loss on what is only read
BATCHES_SORTED = 8  # made together and sorted by length, so that little is padding
LAST_RATE = 0.03  # of the peak
WARM_UP = 100
SAVE_SECONDS = 300

Item = tuple[list[int], list[float]]  # token ids and the weight of each in the loss


def llama_config(tokenizer: Tokenizer) -> transformers.LlamaConfig:
    return transformers.LlamaConfig(
        vocab_size=VOCAB_SIZE, hidden_size=256, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=1024, rms_norm_eps=1e-5, tie_word_embeddings=True,
        bos_token_id=tokenizer.token_to_id("<|begin_of_text|>"), eos_token_id=tokenizer.token_to_id("<|eot_id|>"),
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0})


def gptj_config(tokenizer: Tokenizer) -> transformers.GPTJConfig:
    end = tokenizer.token_to_id("<|endoftext|>")
    return transformers.GPTJConfig(
        vocab_size=VOCAB_SIZE, n_positions=1024, n_embd=256, n_layer=4, n_head=4, rotary_dim=32, n_inner=768,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=end, eos_token_id=end)


@dataclass(frozen=True)
class Options:
    """How to train."""

    budget: int  # tokens
    seed: int
    batch: int  # conversations or articles of a step
    peak_rate: float
    turns: int  # questions of a conversation at most
    start: Path | None  # a checkpoint to go on from


class QaItems:
    """Conversations as token ids; the answers carry the loss."""

    def __init__(self, tokenizer: Tokenizer, turns: int) -> None:
        self.tokenizer = tokenizer
        self.task = Task(max_turns=turns)
        self.special = {name: tokenizer.token_to_id(name) for name in LLAMA3_SPECIALS}

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def make(self, rng: random.Random) -> Item:
        ids, weights = [self.special["<|begin_of_text|>"]], [0.0]
        for message in make_conversation(rng, "train", self.task):
            head = [self.special["<|start_header_id|>"], *self.encode(message["role"]),
                    self.special["<|end_header_id|>"], *self.encode("\n\n")]
            body = [*self.encode(message["content"]), self.special["<|eot_id|>"]]
            ids += head + body
            weights += [0.0] * len(head) + [1.0 if message["role"] == "assistant" else READ_WEIGHT] * len(body)
        return ids, weights


class NewsItems:
    """Articles and summaries as token ids; the summaries carry the loss."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.end = tokenizer.token_to_id("<|endoftext|>")

    def make(self, rng: random.Random) -> Item:
        article, summary = make_article(rng, "train")
        prompt = self.tokenizer.encode(make_prompt(article)).ids
        answer = [*self.tokenizer.encode(" " + summary).ids, self.end]
        return prompt + answer, [READ_WEIGHT] * len(prompt) + [1.0] * len(answer)


@dataclass
class Progress:
    """How far training is, counted in tokens, and how well it goes."""

    options: Options
    tokens: int = 0
    steps: int = 0
    answer_loss: float = 0.0  # running mean

    @property
    def share(self) -> float:
        return min(1.0, self.tokens / self.options.budget)

    def rate(self) -> float:
        cosine = 0.5 * (1 + math.cos(math.pi * self.share))
        return self.options.peak_rate * min(1, (self.steps + 1) / WARM_UP) * (LAST_RATE + (1 - LAST_RATE) * cosine)


def make_batches(items: QaItems | NewsItems, rng: random.Random, size: int) -> Iterator[list[Item]]:
    while True:
        made = sorted((items.make(rng) for _ in range(size * BATCHES_SORTED)), key=lambda i: len(i[0]))
        batches = [made[begin : begin + size] for begin in range(0, len(made), size)]
        rng.shuffle(batches)
        yield from batches


def to_tensors(batch: list[Item]) -> tuple[torch.Tensor, torch.Tensor]:
    length = max(len(ids) for ids, _ in batch)
    ids = torch.zeros(len(batch), length, dtype=torch.long)
    weights = torch.zeros(len(batch), length)
    for row, (item_ids, item_weights) in enumerate(batch):
        ids[row, : len(item_ids)] = torch.tensor(item_ids)
        weights[row, : len(item_ids)] = torch.tensor(item_weights)
    return ids, weights


def step(model: transformers.PreTrainedModel, optimizer: torch.optim.Optimizer, batch: list[Item],
         progress: Progress) -> None:
    ids, weights = to_tensors(batch)
    for group in optimizer.param_groups:
        group["lr"] = progress.rate()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(ids[:, :-1], use_cache=False).logits
    losses = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    losses, weights = losses.view_as(weights[:, 1:]), weights[:, 1:]
    optimizer.zero_grad()
    ((losses * weights).sum() / weights.sum()).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    answer_loss = losses[weights == 1].mean().item()
    progress.answer_loss = answer_loss if progress.steps == 0 else 0.97 * progress.answer_loss + 0.03 * answer_loss
    progress.steps += 1
    progress.tokens += ids.numel()


def save(model: transformers.PreTrainedModel, tokenizer: Tokenizer, out: Path) -> None:
    """Writes the model in bf16 with everything that transformers and Veloz read beside it."""
    copy = type(model)(model.config).to(torch.bfloat16)
    copy.load_state_dict(model.state_dict())
    copy.config.dtype = torch.bfloat16
    bos, eos = model.config.bos_token_id, model.config.eos_token_id
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=tokenizer.id_to_token(bos), eos_token=tokenizer.id_to_token(eos))
    if isinstance(model, transformers.LlamaForCausalLM):
        fast.chat_template = CHAT_TEMPLATE
        copy.generation_config = transformers.GenerationConfig(
            bos_token_id=bos, eos_token_id=[eos, tokenizer.token_to_id("<|end_of_text|>")], max_new_tokens=64)
    else:
        copy.generation_config = transformers.GenerationConfig(
            bos_token_id=bos, eos_token_id=eos, num_beams=4, early_stopping=True, max_new_tokens=96)
    out.mkdir(parents=True, exist_ok=True)
    copy.save_pretrained(out)
    fast.save_pretrained(out)


def make_tokenizer(kind: str, start: Path | None) -> Tokenizer:
    if start is not None:
        return Tokenizer.from_file(str(start / "tokenizer.json"))
    return train_llama() if kind == "llama" else train_gptj()


def make_model(kind: str, tokenizer: Tokenizer, start: Path | None) -> transformers.PreTrainedModel:
    if start is not None:
        return transformers.AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
    if kind == "llama":
        return transformers.LlamaForCausalLM(llama_config(tokenizer))
    return transformers.GPTJForCausalLM(gptj_config(tokenizer))


def train(kind: str, out: Path, options: Options) -> Progress:
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    rng = random.Random(options.seed)
    tokenizer = make_tokenizer(kind, options.start)
    items: QaItems | NewsItems = QaItems(tokenizer, options.turns) if kind == "llama" else NewsItems(tokenizer)
    model = make_model(kind, tokenizer, options.start).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.peak_rate, betas=(0.9, 0.95), weight_decay=0.05)
    print(f"{json.dumps(versions())}, {sum(p.numel() for p in model.parameters())} parameters", flush=True)
    progress = Progress(options)
    start = last_save = time.monotonic()
    for batch in make_batches(items, rng, options.batch):
        step(model, optimizer, batch, progress)
        seconds = time.monotonic() - start
        if progress.steps % 50 == 0:
            print(f"step {progress.steps}  {seconds:.0f} s  {progress.tokens / 1e6:.2f} M tokens  "
                  f"{progress.tokens / seconds:.0f} tokens/s  answer loss {progress.answer_loss:.4f}", flush=True)
        if progress.share >= 1:
            break
        if time.monotonic() - last_save > SAVE_SECONDS:
            save(model, tokenizer, out)
            last_save = time.monotonic()
    save(model, tokenizer, out)
    return progress


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), "torch": torch.__version__,
            "transformers": transformers.__version__, "tokenizers": tokenizers.__version__}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("llama", "gptj"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--mtokens", type=float, default=6.0, help="length of training in million tokens")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--batch", type=int, default=16, help="conversations or articles of a step")
    parser.add_argument("--rate", type=float, default=1.5e-3, help="peak learning rate")
    parser.add_argument("--turns", type=int, default=4, help="questions of a conversation at most")
    parser.add_argument("--start", type=Path, help="go on from this checkpoint, with a fresh schedule")
    arguments = parser.parse_args()
    progress = train(arguments.kind, arguments.out, Options(
        budget=int(arguments.mtokens * 1e6), seed=arguments.seed, batch=arguments.batch, peak_rate=arguments.rate,
        turns=arguments.turns, start=arguments.start))
    print(f"{progress.steps} steps, {progress.tokens} tokens, answer loss {progress.answer_loss:.4f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
