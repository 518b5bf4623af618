# SPDX-License-Identifier: Apache-2.0
"""Invented names. Training and evaluation draw from disjoint sets, so nothing can be learned by heart."""

import random
import zlib

ONSETS = "b c d f g h j k l m n p r s t v w z br cr dr gr kr pr tr st sl".split()
VOWELS = "a e i o u".split()
CODAS = "l n r s t k m x nd rt lm rn".split()
# A wider grammar, so that names which people really have ("Sofia", "Oslo", "Thomas") can be copied too.
WIDE_ONSETS = [*ONSETS, *"bl ch cl fl fr gl ph pl qu sc sh sk sm sn sp sw th y".split(), ""]
WIDE_VOWELS = [*VOWELS, *"a e i o y ai ea ee ia ie oa oo ou".split()]
WIDE_CODAS = [*CODAS, *"a o ia b ck d g ll ng p sh ss th ton vic y".split(), "", "", ""]
WIDE_SHARE = 0.4
EVAL_SHARE = 5  # one name in five is kept for evaluation


def is_eval_name(name: str) -> bool:
    return zlib.crc32(name.encode()) % EVAL_SHARE == 0


def spell(rng: random.Random, syllables: int) -> str:
    wide = rng.random() < WIDE_SHARE
    onsets, vowels, codas = (WIDE_ONSETS, WIDE_VOWELS, WIDE_CODAS) if wide else (ONSETS, VOWELS, CODAS)
    body = "".join(rng.choice(onsets) + rng.choice(vowels) for _ in range(syllables))
    return (body + rng.choice(codas)).capitalize()


def make_name(rng: random.Random, split: str, syllables: int = 2) -> str:
    """A name such as "Bradon", of the set that belongs to `split` ("train" or "eval")."""
    while True:
        name = spell(rng, syllables)
        if len(name) >= 3 and is_eval_name(name) == (split == "eval"):
            return name


def distinct_names(rng: random.Random, split: str, count: int, syllables: int = 2) -> list[str]:
    names: list[str] = []
    while len(names) < count:
        name = make_name(rng, split, syllables)
        if name not in names:
            names.append(name)
    return names
