# SPDX-License-Identifier: Apache-2.0
"""Requests with the lengths of MLPerf's data sets, which are not at hand: random tokens, lengths drawn so that their
means are those published. Results are unofficial."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mix:
    """Prompt lengths are log-normal, output lengths exponential, both cut at their limits with the means kept."""

    mean_in: float
    most_in: int
    mean_out: float
    least_out: int
    most_out: int
    sigma_in: float = 0.6


# OpenOrca for Llama-2-70B: answers of 294.45 tokens on average, at most 1024; prompts about as long, at most 1024.
LLAMA2_70B = Mix(mean_in=294, most_in=1024, mean_out=294.45, least_out=3, most_out=1024)
# CNN-DailyMail for GPT-J: articles of about 800 tokens, at most 1919; summaries of 69 tokens, 30 to 128.
GPT_J = Mix(mean_in=800, most_in=1919, mean_out=69, least_out=30, most_out=128, sigma_in=0.45)


def with_mean(draws: list[float], mean: float, least: int, most: int) -> list[int]:
    """Scaled so that the mean is right after they were cut."""
    scale = mean / (sum(draws) / len(draws))
    for _ in range(40):
        cut = [min(max(draw * scale, least), most) for draw in draws]
        scale *= mean / (sum(cut) / len(cut))
    return [round(length) for length in cut]


def lengths(mix: Mix, count: int, seed: int = 0) -> list[tuple[int, int]]:
    source = random.Random(seed)
    prompts = with_mean([math.exp(source.gauss(0, mix.sigma_in)) for _ in range(count)], mix.mean_in, 8, mix.most_in)
    outputs = with_mean([source.expovariate(1) for _ in range(count)], mix.mean_out, mix.least_out, mix.most_out)
    return list(zip(prompts, outputs, strict=True))


def fixed(prompt: int, output: int, count: int) -> list[tuple[int, int]]:
    return [(prompt, output)] * count


def staggered(pairs: list[tuple[int, int]], at_once: int, *, is_aged: bool) -> Iterator[tuple[int, int]]:
    """The first `at_once` are in the middle of their answers, evenly spread, so that requests end one after the other
    from the start. `is_aged`: what they have answered is in their prompts."""
    for i, (prompt, output) in enumerate(pairs):
        age = output * i // at_once if i < at_once else 0
        yield (prompt + age if is_aged else prompt), output - age


def write_requests(path: Path, pairs: Iterator[tuple[int, int]], vocab_size: int, seed: int = 0) -> None:
    """Each prompt begins with a token of its own, so that none finds another's cache; vocab_size is above their number."""
    drawn = [str(token) for token in random.Random(seed).choices(range(3, vocab_size), k=1 << 14)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        for i, (prompt, output) in enumerate(pairs):
            ids = [str(3 + i), *(drawn[(i + j) % len(drawn)] for j in range(prompt - 1))]
            file.write(f'{{"prompt": [{",".join(ids)}], "output_len": {output}}}\n')
