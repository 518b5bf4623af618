# SPDX-License-Identifier: Apache-2.0
"""Records what Google's rouge_score makes of pairs of texts, and NLTK's Porter stemmer of words.

    pip install rouge-score==0.1.2 nltk==3.10.4
    python make_rouge_goldens.py

Writes beside this file rouge.jsonl, a pair a line: "expected", "predicted", and under "plain" and "porter" twelve
numbers: precision, recall and F1 of ROUGE-1, ROUGE-2, ROUGE-L and ROUGE-Lsum; and stems.txt, "word stem" a line.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from nltk.stem.porter import PorterStemmer
from rouge_score import rouge_scorer

HERE = Path(__file__).resolve().parent
MODELS = HERE.parents[2] / "models"
SEED = 20261126
TYPES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
DIGITS = 12

STEMS = """
abat adopt aggreg allow analog angular appl arch argu bear blend bodi bowdl bri call canc capt care cat caus ceas
chan chur coat comm conduct conform contr cri cyc day decis decl defens deni depend dig die digit discover dri dry eas
effect elect electr employ enjoy exceed fail fall feder feed feud fil fizz fl flat fly form formal fre fulfil ge geo
giv good gyroscop happ hav hesit hiss hom homolog hop hope hous hum inform inn irrit joy juic keep kni know laugh law
lov lov ma maxim mod motor mov nation nois obey occur oper organ own pay peopl pi pla play ply poni pray predic pres
pric probat proceed public quer quick radic rat rati rel relat repl repres revis reviv roll run sai say sensibil sensit
siz sk sky spe spi stop stra stud succe sunni syst syzyg tan tann tell theolog ti tie toy tr tran tri triplic troubl tru
try tying use vari vener viet vietnam vil vis wait walk weath who wor wri x y yell yes zeal 1990 2nd b2b 4g 0
""".split()
SUFFIXES = """
s es ies ses sses ss ied ed eed ing ying er ers est y ly ally ily alli lli bli abli ably entli ently eli ely ousli ously
ization isation izer izing ize ized ation ations ational ator ators alism ism iveness fulness ousness aliti ality iviti
ivity biliti bility fulli fully logi logy logies icate icated ative alize alized iciti icity ical ically ful ness al
ance ances ence ences ic able ible ant ants ement ements ment ments ent ents ion ions sion tion ou ate ates iti ous ive
ives e ll lle lling lled tt tting ee ees ies's 'd eous ency enci anci ancy
""".split()
IRREGULAR = """
sky skies dying lying tying news innings inning outings outing cannings canning howe proceed exceed succeed dies died
flies tied ties feed agreed bled sing plastered motoring conflated troubled sized hopping tanned falling hissing fizzed
failing filing happy enjoy spy caresses ponies caress cats yyyy yyyyy syzygy toy sayings as is a by oxen boxes abbey aed
aing bing eed ing ion sion fulli logi alli
""".split()
FILLERS = "the a of in and to was were has it by on with that for said new two".split()

AWKWARD = [
    "", " ", "\n", "\n\n\n", "...", "!?", "-", "a", "A", "1", "word", "WORD", "word.", "word word", "word word word",
    "don't can't won't", "U.S.A. U.K.", "e-mail, e.g. this_one", "3.14159 2,718 1e-9", "50% of $1,000.50",
    "tabs\tand\vother\fspaces\r\n", "caf\u00e9 na\u00efve co\u00f6perate", "cafe naive cooperate",
    "\u212aelvin kelvin KELVIN \u212a", "\u0130stanbul istanbul \u0131stanbul I\u0307stanbul d\u0130l", "\u00c5ngstr\u00f6m \u212bngstr\u00f6m",
    "Stra\u00dfe \u1e9e strasse", "\u017fuccess success", "\uff26\uff35\uff2c\uff2c width \uff11\uff12\uff13 123", "\u4eca\u65e5\u306f abc \u4e16\u754c", "\u041f\u0440\u0438\u0432\u0435\u0442 hello \u043c\u0438\u0440",
    "\U0001f600 smile \U0001f600", "zero\u200bwidth non\u00a0breaking soft\u00adhyphen", "e\u0301tude \u00e9tude etude", "\u0661\u0662\u0663 123 \u00b2\u00b3",
    "one\ntwo\nthree", "one\n\ntwo\n\n\nthree\n", "one two three", "three\ntwo\none", "one\r\ntwo\r\nthree",
    "the cat sat on the mat", "the the the the", "the cat the cat the cat", "on the mat sat the cat\nthe dog ran",
    "<b>tags</b> &amp; entities", "C++ C# F# .NET", "x" * 300, "ab " * 200, "running runs ran runner", "run run run run",
    "\u2018quoted\u2019 \u201cquoted\u201d \u2014 dash", "snake_case camelCase kebab-case", "a b c d e f g", "g f e d c b a",
]


def random_word(rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.35:
        return rng.choice(FILLERS)
    if roll < 0.45:
        return rng.choice(IRREGULAR)
    return rng.choice(STEMS) + rng.choice(SUFFIXES)


def random_text(rng: random.Random, num_words: int) -> str:
    parts = []
    for _ in range(num_words):
        word = random_word(rng)
        word = word.capitalize() if rng.random() < 0.1 else word
        parts.append(word + rng.choice(["", "", "", "", "", ",", ".", ";", "\u2019s", "!", "\n", ".\n"]))
    return " ".join(parts)


def changed(text: str, rng: random.Random) -> str:
    """The text with words left out, repeated, exchanged, inflected and moved."""
    words = text.split(" ")
    for _ in range(rng.randint(0, 2 + len(words) // 4)):
        place = rng.randrange(len(words))
        match rng.randint(0, 4):
            case 0 if len(words) > 1:
                words.pop(place)
            case 1:
                words.insert(place, words[rng.randrange(len(words))])
            case 2:
                words[place] = random_word(rng)
            case 3:
                words[place] += rng.choice(["s", "ing", "ed", "ly", "ness"])
            case _:
                words.insert(rng.randrange(len(words)), words.pop(place))
    return " ".join(words)


def make_pairs(rng: random.Random) -> list[tuple[str, str]]:
    pairs = [(text, text) for text in AWKWARD]
    pairs += [(rng.choice(AWKWARD), rng.choice(AWKWARD)) for _ in range(150)]
    for _ in range(250):
        text = random_text(rng, rng.randint(1, 25))
        pairs.append((text, changed(text, rng)))
    pairs += [(random_text(rng, rng.randint(1, 20)), random_text(rng, rng.randint(1, 20))) for _ in range(100)]
    for num_words in (200, 300, 500, 800):
        text = random_text(rng, num_words)
        pairs.append((text, changed(text, rng)))
    for model in ("tiny-gptj", "tiny-llama"):
        items = [json.loads(line) for line in (MODELS / model / "eval.jsonl").read_text().splitlines()[:40]]
        texts = [item.get("reference", item.get("answer")) for item in items]
        pairs += [(text, changed(text, rng)) for text in texts]
    return pairs


def main() -> int:
    rng = random.Random(SEED)
    scorers = {"plain": rouge_scorer.RougeScorer(TYPES, use_stemmer=False),
               "porter": rouge_scorer.RougeScorer(TYPES, use_stemmer=True)}
    lines = []
    for expected, predicted in make_pairs(rng):
        line: dict[str, object] = {"expected": expected, "predicted": predicted}
        for name, scorer in scorers.items():
            scores = scorer.score(expected, predicted)
            line[name] = [round(number, DIGITS) for rouge_type in TYPES for number in scores[rouge_type]]
        lines.append(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
    (HERE / "rouge.jsonl").write_text("".join(lines), newline="")
    stemmer = PorterStemmer()
    words = sorted({stem + suffix for stem in STEMS for suffix in rng.sample(SUFFIXES, 16)}
                   | {stem + suffix for stem in rng.sample(STEMS, 12) for suffix in SUFFIXES} | set(IRREGULAR) | set(STEMS))
    words = [word for word in words if word.isalnum()]
    (HERE / "stems.txt").write_text("".join(f"{word} {stemmer.stem(word)}\n" for word in words))
    print(f"{len(lines)} pairs, {len(words)} words")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
