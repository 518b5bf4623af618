# SPDX-License-Identifier: Apache-2.0
"""Texts for the tokenizer goldens: a corpus to train on, and strings that tokenizers get wrong.

Code points are those of Unicode 3.2, and a few newer ones by name: the libraries at work (Oniguruma, PCRE2, utf8proc,
Rust's regex) hold different versions of the database, and differ only on what came later.
"""

from __future__ import annotations

import random
import unicodedata

WORDS = (
    "the a of and to in is that it was for on are with as his they at be this from have or by one had not but what "
    "all were when we there can an your which their said if do will each about how up out them then she many some so "
    "these would other into has more her two like him see time could no make than first been its who now people my "
    "made over did down only way find use may water long little very after words called just where most know "
    "don't I'm you're we've they'll it's he'd can't won't isn't wouldn't Let's O'Reilly's London Monday quickly"
).split()
FOREIGN = (
    "größe straße für über naïve café déjà résumé señor mañana ação coração łódź žluťoučký İstanbul ığdır "
    "Привет мир как дела сегодня Україна їжак Ελληνικά γλώσσα άνθρωπος שלום עולם مرحبا بالعالم كتاب فارسی می‌خواهم "
    "नमस्ते दुनिया हिन्दी क्षत्रिय ভাষা தமிழ் ไทย ภาษาไทย 你好 世界 中文 模型 語言 日本語 こんにちは カタカナ テスト 東京 "
    "한국어 안녕하세요 세계 Tiếng Việt đường Ất ሰላም ქართული Հայերեն ᏣᎳᎩ ᠮᠣᠩᠭᠣᠯ"
).split()
EMOJI = "😀 🎉 👍🏽 👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇫🇷 ❤️ ☃ 👨🏿‍🚀 1️⃣ 🧑‍💻 🫠".split()
CODE = (
    "for (int i = 0; i < n; ++i) {\n\tsum += a[i] * b[i];\n}\n",
    "def main() -> int:\n    return 0\n\n\nif __name__ == '__main__':\n    main()\n",
    '{"key": [1, 2.5e-3, null, true], "url": "https://example.org/a?b=c&d=%20#e"}\n',
    "SELECT * FROM t WHERE x >= 10 AND y != 'z';\r\n",
    '<div class="a">&nbsp;</div>\n\t\t// ---- ==== **** ////\n',
    "$ ls -la | grep foo > /dev/null 2>&1 && echo $?\n",
)
SPACES = "\t\n\v\f\r \x85\xa0\u1680\u180e\u2000\u2003\u2009\u200a\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
CONTRACTIONS = (
    "don't DON'T Don'T he'll HE'LL we've WE'VE you're YOU'RE I'm I'M it's IT'S she'd SHE'D 's 'S 't 'T 're 'RE 'll 'LL "
    "'ſ it'ſ rock'n'roll o'clock ''s 's's 'ss 'lll 'vE 'Ve 'rE d'l 'd' ''' 'tis 'mm it’s ‘quoted’ don´t "
    "x's9 9's 's 've\n'd\t'm"
).split(" ")
MARKS = (
    "é",
    "e\u0301",
    "e\u0301\u0323",
    "e\u0323\u0301",
    "q\u0307\u0323",
    "\u1e9b\u0323",
    "Å\u212b\u00c5A\u030a",
    "\u0344",
    "\u0958",
    "\u09cb\u09c7\u09be",
    "ﬁ ﬀ ﬃ ſt",
    "\u0300abc",
    "a\u0315\u0300\u05ae\u0062",
    "\ufb1d\ufb2c",
    "Ω\u2126 K\u212a",
    "각",
    "각",
    "가\u11a8",
    "\u1100\u1161\u11a8",
    "한국어",
    "\u1112\u1161\u11ab\u1100\u116e\u11a8",
    "\u3131\u314f",
    "が",
    "か\u3099",
    "ﾊﾟ ﾊ\uff9f",
    "ｆｕｌｌ　ｗｉｄｔｈ１２３",
    "²³¹ ½ ⅷ Ⅷ ① ㈱ ﷺ",
    "\u0130i\u0307Iı ẞß ΣΑΣ ς",
    "z" + "\u0301" * 40,
    "a" + "\u0323\u0301" * 20,
    "\u2adc\u0f73\u0f71\u0f72",
)


def corpus(rng: random.Random) -> list[str]:
    """Lines to train on: prose, other scripts, numbers, code."""
    lines: list[str] = []
    for i in range(1500):
        words = rng.choices(WORDS, k=rng.randint(4, 14))
        if i % 3 == 0:
            words[rng.randrange(len(words))] = rng.choice(FOREIGN)
        if i % 5 == 0:
            words.append(str(rng.choice([rng.randrange(10), rng.randrange(3000), rng.randrange(10**7)])))
        if i % 11 == 0:
            words.append(rng.choice(EMOJI))
        lines.append(" ".join(words).capitalize() + rng.choice([".", "!", "?", ",", " ...", ":"]))
    for i in range(300):
        lines.append(CODE[i % len(CODE)])
        lines.append(" ".join(rng.choices(FOREIGN, k=4)))
    return lines


def _enumerated() -> list[str]:
    strings = [
        "",
        " ",
        "a",
        "\0",
        "a\0b",
        "\0\0\0",
        "\r\n",
        "a\r\nb\r\n\r\nc",
        "\x7f",
        "\x1b[0m",
        "\ufffd",
        "▁",
        "Ġ",
        "Ċ",
    ]
    strings += ["▁▁a ▁ b▁", " ▁", "▁ ", "Ġthe Ġ", "<0x41>", "<0xE2><0x82><0xAC>", "<0x4", "<unk>", "a<unk>b"]
    strings += ["\ud7ff\ue000", "\uffff\ufffe", "\U0010ffff", "\U000e0001\U000e0041", "\x80\x9f", "­", "\u200d\u200c"]
    for space in SPACES:
        strings += [space, space * 2, space * 7, f"a{space}b", f"a{space}{space}b", f"{space}a", f"a{space}"]
        strings += [f"a {space}b", f"a{space} b", f"!{space}?", f"1{space}2", f"{space}\n{space}a", f"a{space}\r\n"]
    strings += [" " * n + tail for n in (1, 2, 3, 4, 8, 16, 33) for tail in ("", "a", "\n", "1", "!", "'s", "你")]
    strings += ["\n" * n + tail for n in (1, 2, 3, 5, 9) for tail in ("", "a", " a", "\t", "\r", "!")]
    strings += [digit * n for n in (1, 2, 3, 4, 5, 6, 7, 10, 31) for digit in "09٣५"]
    strings += ["3.14159", "1,000,000", "1e-10", "0x1F", "１２３４", "²³4", "v1.2.3", "-5", "+49 (0)30 1234567", "100%"]
    strings += list(CONTRACTIONS) + [f"x{c}y" for c in CONTRACTIONS] + [" ".join(CONTRACTIONS)]
    strings += list(MARKS) + [unicodedata.normalize(form, m) for m in MARKS for form in ("NFC", "NFD", "NFKC", "NFKD")]
    strings += list(FOREIGN) + [unicodedata.normalize("NFD", word) for word in FOREIGN] + list(CODE)
    strings += EMOJI + ["".join(EMOJI), "👩\u200d", "\u200d👩", "🏽", "👍🏽🏽", "❤\ufe0f\ufe0f", "🇩", "😀" * 20]
    strings += [
        c * n for c in ("a", "A", "!", "=", "-", "é", "你", "́", "'", '"', ".", "/", "\\", "#", "٠") for n in (2, 17, 90)
    ]
    strings += [
        "the" * 30,
        " the" * 30,
        "ab" * 50,
        "aab" * 40,
        "xylophone",
        " xylophone",
        "xylophones",
        "Xylophone zyzzyva",
    ]
    strings += (
        [chr(c) for c in range(0x20)] + [f"a{chr(c)}b" for c in range(0x20)] + [chr(c) for c in range(0x7F, 0x180)]
    )
    return strings


def _around(token: str) -> list[str]:
    """An added token in every neighbourhood, whole and in part."""
    return [
        token,
        token * 2,
        f" {token}",
        f"{token} ",
        f"  {token}  ",
        f"a{token}b",
        f"a {token} b",
        f"a  {token}  b",
        f"\n{token}\n",
        f"a\t{token}\r\nb",
        f"1{token}2",
        f"_{token}_",
        f"é{token}é",
        f"\u0301{token}\u0301",
        f"({token})",
        f"{token} {token}",
        f"\u200d{token}\u200cx",
        f"Ⓐ{token}ⓩ",
        f"\xa0{token}\u3000.",
        token[:-1],
        token[1:],
        token[: len(token) // 2] + token,
        token + token[len(token) // 2 :],
        token.upper(),
        token.lower(),
        unicodedata.normalize("NFD", token),
        f"the {token}the",
        f"▁{token}▁",
    ]


def _random_code_point(rng: random.Random) -> str:
    while True:
        top = rng.choice((0x80, 0x250, 0x800, 0x3100, 0x10000, 0x20000, 0x110000))
        char = chr(rng.randrange(top))
        if unicodedata.ucd_3_2_0.category(char) not in ("Cn", "Cs", "Co"):
            return char


def _mixed(rng: random.Random, tokens: list[str]) -> str:
    """A few parts of all kinds, with any joint between them."""
    parts: list[str] = []
    for _ in range(rng.randint(2, 5)):
        kind = rng.randrange(9)
        if kind < 3:
            parts.append(rng.choice(WORDS))
        elif kind == 3:
            parts.append(rng.choice(FOREIGN))
        elif kind == 4:
            parts.append(str(rng.randrange(10 ** rng.randint(1, 8))))
        elif kind == 5:
            parts.append(rng.choice(tokens))
        elif kind == 6:
            parts.append(rng.choice(EMOJI + list(CONTRACTIONS)))
        elif kind == 7:
            parts.append("".join(rng.choices("!?.,;:()[]{}<>|/\\@#$%^&*-_=+'\"`~", k=rng.randint(1, 4))))
        else:
            parts.append("".join(_random_code_point(rng) for _ in range(rng.randint(1, 3))))
        parts.append(rng.choice(("", " ", " ", " ", "  ", "\n", "\n\n", "\t", rng.choice(SPACES))))
    return "".join(parts)


def awkward_strings(rng: random.Random, tokens: list[str], *, num_random: int) -> list[str]:
    """Strings without repetition, in a fixed order; `tokens` are added tokens to surround."""
    strings = _enumerated()
    for token in tokens:
        strings += _around(token)
    strings += ["".join(rng.choices(tokens, k=3)) for _ in range(40)]
    strings += ["".join(_random_code_point(rng) for _ in range(rng.randint(1, 8))) for _ in range(num_random)]
    strings += [_mixed(rng, tokens) for _ in range(num_random)]
    strings += ["".join(rng.choices(" \t\r\n", k=rng.randint(2, 9))) + rng.choice(("", "a", "1")) for _ in range(60)]
    strings += ["".join(rng.choices("abAB'sSt1 \n", k=rng.randint(2, 14))) for _ in range(120)]
    return list(dict.fromkeys(strings))
