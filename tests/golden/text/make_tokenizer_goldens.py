# SPDX-License-Identifier: Apache-2.0
"""Trains a small tokenizer for each family's published pipeline and records what it makes of awkward strings.

    python make_tokenizer_goldens.py

Needs tokenizers and sentencepiece. Writes, beside this file, strings.json (the strings), one folder per pipeline (the
tokenizer's own files, and golden.json), and variants.json: a pipeline's tokenizer.json with a component exchanged.

golden.json: "ids" holds one list per string, special tokens added; "keep" and "skip" the decoded text with special
tokens kept and left out, where it is not the guess: "decoded_prefix" + the string, and the kept text without that
prefix. The "random_..." lists are the same for ids that no text gave. Lists of ids are packed (`pack`).
"""

from __future__ import annotations

import base64
import io
import json
import os
import random
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece
import tokenizers
from awkward_strings import awkward_strings, corpus
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = Path(__file__).resolve().parent
SEED = 20240607
VARIANT_STRIDE = 9

# OpenAI's cl100k pattern as Llama 3 publishes it, and Qwen2's: digits in threes, and one by one.
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
QWEN2_PATTERN = LLAMA3_PATTERN.replace(r"\p{N}{1,3}", r"\p{N}")

# Tokens with every flag, added to each tokenizer.json beside the family's own.
AWKWARD_TOKENS = (
    AddedToken("<mask>", lstrip=True, special=True),
    AddedToken("<left>", lstrip=True, normalized=False),
    AddedToken("<right>", rstrip=True, normalized=True),
    AddedToken("<both>", lstrip=True, rstrip=True, normalized=False),
    AddedToken("<word>", single_word=True, normalized=False),
    AddedToken("Veloz", single_word=True, normalized=True),
    AddedToken("naïve", normalized=True),
    AddedToken("<|extratoken_1|>", normalized=True),
    AddedToken("<|extratoken_14|>", normalized=True),
    AddedToken("two  words", normalized=True),
)
LLAMA3_SPECIAL = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|reserved_special_token_0|>",
    "<|start_header_id|>",
    "<|eot_id|>",
)
QWEN2_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
SP_ADDED = {"[INST]": False, "[/INST]": False, "[PAD]": True}  # content: is it special

Ids = list[int]


@dataclass(frozen=True)
class Reference:
    """A tokenizer to ask: encode adds special tokens; decode takes `skip_special_tokens`."""

    encode: Callable[[str], Ids]
    decode: Callable[[Ids, bool], str]
    vocab_size: int
    byte_ids: Ids  # tokens that are one byte each
    decoded_prefix: str


def pack(lists: Iterable[Sequence[int]]) -> str:
    """Base64 of, per list, its length and its numbers, each as LEB128."""
    data = bytearray()
    for numbers in lists:
        for number in (len(numbers), *numbers):
            while number >= 128:
                data.append(number & 127 | 128)
                number >>= 7
            data.append(number)
    return base64.b64encode(bytes(data)).decode("ascii")


def write_json(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    return {"tokenizers": tokenizers.__version__, "sentencepiece": sentencepiece.__version__}


def decoded(reference: Reference, lists: list[Ids], guesses: list[str]) -> dict[str, dict[str, str]]:
    prefix = reference.decoded_prefix
    keep = [reference.decode(ids, False) for ids in lists]
    skip = [reference.decode(ids, True) for ids in lists]
    return {
        "keep": {str(i): text for i, text in enumerate(keep) if text != guesses[i]},
        "skip": {str(i): text for i, text in enumerate(skip) if text != keep[i].removeprefix(prefix)},
    }


def golden(reference: Reference, strings: list[str]) -> dict[str, Any]:
    lists = [reference.encode(text) for text in strings]
    return {
        "ids": pack(lists),
        "decoded_prefix": reference.decoded_prefix,
        **decoded(reference, lists, [reference.decoded_prefix + text for text in strings]),
    }


def random_golden(reference: Reference, rng: random.Random, *, count: int) -> dict[str, Any]:
    lists = []
    for i in range(count):
        pools = [range(reference.vocab_size + 3), reference.byte_ids]
        lists.append([rng.choice(rng.choice(pools[i % 2 :])) for _ in range(rng.randint(1, 14))])
    texts = decoded(reference, lists, [""] * count)
    return {"random_ids": pack(lists), "random_keep": texts["keep"], "random_skip": texts["skip"]}


def json_reference(tokenizer: Tokenizer, decoded_prefix: str = "") -> Reference:
    vocab = tokenizer.get_vocab(with_added_tokens=False)
    is_byte = re.compile(r"<0x[0-9A-F]{2}>") if "<0x41>" in vocab else re.compile(r".", re.DOTALL)
    return Reference(
        encode=lambda text: tokenizer.encode(text).ids,
        decode=lambda ids, skip: tokenizer.decode(ids, skip_special_tokens=skip),
        vocab_size=tokenizer.get_vocab_size(),
        byte_ids=sorted(i for token, i in vocab.items() if is_byte.fullmatch(token)),
        decoded_prefix=decoded_prefix,
    )


def train_byte_level(tokenizer: Tokenizer, lines: list[str], *, vocab_size: int) -> None:
    tokenizer.train_from_iterator(
        lines,
        trainers.BpeTrainer(
            vocab_size=vocab_size, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        ),
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)


def split_then_bytes(pattern: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def make_gptj(lines: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    train_byte_level(tokenizer, lines, vocab_size=900)
    tokenizer.add_special_tokens([AddedToken("<|endoftext|>", normalized=True, special=True)])
    tokenizer.add_tokens(list(AWKWARD_TOKENS))
    return tokenizer


def make_llama3(lines: list[str]) -> Tokenizer:
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = split_then_bytes(LLAMA3_PATTERN)
    train_byte_level(trained, lines, vocab_size=1000)
    # Whole words that no merges reach, for ignore_merges to find.
    description = json.loads(trained.to_str())
    vocab = description["model"]["vocab"]
    for word in ("Ġxylophone", "xylophones", "ĠHE", "!!!!!!"):
        vocab[word] = len(vocab)
    description["model"]["ignore_merges"] = True
    tokenizer = Tokenizer.from_str(json.dumps(description))
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in LLAMA3_SPECIAL])
    tokenizer.add_tokens(list(AWKWARD_TOKENS))
    bos = LLAMA3_SPECIAL[0]
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=True),
            processors.TemplateProcessing(
                single=f"{bos} $A",
                pair=f"{bos} $A {bos}:1 $B:1",
                special_tokens=[(bos, tokenizer.token_to_id(bos))],
            ),
        ]
    )
    return tokenizer


def make_qwen2(lines: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = split_then_bytes(QWEN2_PATTERN)
    train_byte_level(tokenizer, lines, vocab_size=1000)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in QWEN2_SPECIAL])
    tokenizer.add_tokens(list(AWKWARD_TOKENS))
    return tokenizer


def train_sentencepiece(lines: list[str], path: Path, options: dict[str, Any]) -> sentencepiece.SentencePieceProcessor:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, model_type="bpe", num_threads=1, minloglevel=2, **options
    )
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(model.getvalue())
    return sentencepiece.SentencePieceProcessor(model_file=str(path))


def make_llama2_model(lines: list[str], path: Path) -> sentencepiece.SentencePieceProcessor:
    """With the options of Llama's own tokenizer.model."""
    options = {
        "vocab_size": 1000,
        "character_coverage": 0.995,
        "byte_fallback": True,
        "split_digits": True,
        "allow_whitespace_only_pieces": True,
        "remove_extra_whitespaces": False,
        "normalization_rule_name": "identity",
    }
    return train_sentencepiece(lines, path, options)


def make_collapsing_model(lines: list[str], path: Path) -> sentencepiece.SentencePieceProcessor:
    """What Llama's lacks: own normalisation rules, collapsed white space, user symbols, unknown characters."""
    rules = {"\ufb01": "fi", "\u212b": "\xc5", "e\u0301": "e", "\u3000": " ", "\t": " ", "\u2460": "1", "\xbd": "1/2"}
    options = {
        "vocab_size": 500,
        "character_coverage": 0.98,
        "normalization_rule_tsv": "rules.tsv",  # the name goes into the model, so it must be the same everywhere
        "user_defined_symbols": ["<sep>", "Veloz", "<0x41>"],
    }
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            Path("rules.tsv").write_text("".join(f"{code_points(a)}\t{code_points(b)}\n" for a, b in rules.items()))
            return train_sentencepiece(lines, path, options)
        finally:
            os.chdir(home)


def code_points(text: str) -> str:
    return " ".join(f"{ord(char):X}" for char in text)


def sentencepiece_reference(sp: sentencepiece.SentencePieceProcessor, *, is_llama: bool) -> Reference:
    """bos, then what the library makes of each stretch between added tokens.

    A special token that is kept stands in the text as a piece that the library does not know does: as it is.
    """
    names = {"<s>": sp.bos_id(), "</s>": sp.eos_id(), "<unk>": sp.unk_id()}
    special = set(names.values())
    if is_llama:
        for content, is_special in SP_ADDED.items():
            names[content] = sp.get_piece_size() + list(SP_ADDED).index(content)
            special |= {names[content]} if is_special else set()
    contents = {token_id: content for content, token_id in names.items()}
    pattern = re.compile("|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)))

    def encode(text: str) -> Ids:
        ids, at = [sp.bos_id()], 0
        for match in pattern.finditer(text):
            ids += sp.encode(text[at : match.start()]) + [names[match.group()]]
            at = match.end()
        return [*ids, *sp.encode(text[at:])]

    def decode(ids: Ids, skip: bool) -> str:
        known = [i for i in ids if i < sp.get_piece_size() or i in contents]
        pieces = [
            f"\U0010fffd{i}\U0010fffd" if i in contents else sp.id_to_piece(i)
            for i in known
            if not (skip and i in special)
        ]
        return re.sub("\U0010fffd(\\d+)\U0010fffd", lambda match: contents[int(match[1])], sp.decode_pieces(pieces))

    return Reference(
        encode=encode,
        decode=decode,
        vocab_size=sp.get_piece_size() + (len(SP_ADDED) if is_llama else 0),
        byte_ids=[i for i in range(sp.get_piece_size()) if sp.is_byte(i)] or list(range(40)),
        decoded_prefix="<s> " if is_llama else "<s>",
    )


def merges_of(sp: sentencepiece.SentencePieceProcessor, vocab: dict[str, int]) -> list[list[str]]:
    """Merges in the order in which transformers' converter derives them from the scores."""
    merges: list[tuple[float, int, int, str, str]] = []
    for piece, token_id in vocab.items():
        local = [(piece[:i], piece[i:]) for i in range(1, len(piece)) if piece[:i] in vocab and piece[i:] in vocab]
        local.sort(key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))
        merges += [(sp.get_score(token_id), len(left), len(right), left, right) for left, right in local]
    merges.sort(key=lambda merge: merge[:3], reverse=True)
    return [[left, right] for *_, left, right in merges]


def make_llama2_json(sp: sentencepiece.SentencePieceProcessor) -> Tokenizer:
    """The tokenizer.json that was published with Llama 2, for this model."""
    vocab = {sp.id_to_piece(i): i for i in range(sp.get_piece_size())}
    description = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": token_id,
                "content": content,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for token_id, content in enumerate(("<unk>", "<s>", "</s>"))
        ],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": vocab,
            "merges": merges_of(sp, vocab),
        },
    }
    tokenizer = Tokenizer.from_str(json.dumps(description))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    tokenizer.add_tokens(list(AWKWARD_TOKENS))
    return tokenizer


def tokenizer_config(sp: sentencepiece.SentencePieceProcessor) -> dict[str, Any]:
    contents = ["<unk>", "<s>", "</s>"] + [""] * (sp.get_piece_size() - 3) + list(SP_ADDED)
    entry = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    return {
        "added_tokens_decoder": {
            str(i): {"content": content, **entry, "special": SP_ADDED.get(content, True)}
            for i, content in enumerate(contents)
            if content
        },
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "[PAD]",
        "legacy": True,
        "tokenizer_class": "LlamaTokenizer",
    }


def split(pattern: dict[str, str], behavior: str, *, invert: bool = False) -> dict[str, Any]:
    parts = {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}
    return {"type": "Sequence", "pretokenizers": [parts, byte_level(add_prefix_space=False, use_regex=False)]}


def byte_level(*, add_prefix_space: bool, use_regex: bool = True) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": True, "use_regex": use_regex}


def then_bytes(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": [*steps, byte_level(add_prefix_space=False, use_regex=False)]}


def metaspace(scheme: str, *, is_split: bool = True) -> dict[str, Any]:
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": is_split}


def variants() -> list[tuple[str, str, dict[str, Any]]]:
    """Name, pipeline, and what of its tokenizer.json is put in the place of what."""

    def normalizer(*steps: dict[str, Any]) -> dict[str, Any]:
        return {"normalizer": steps[0] if len(steps) == 1 else {"type": "Sequence", "normalizers": list(steps)}}

    regex = {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "}
    lists: list[tuple[str, str, dict[str, Any]]] = [
        *((form, "gptj", normalizer({"type": form})) for form in ("NFD", "NFKC", "NFKD", "Lowercase")),
        ("strip", "gptj", normalizer({"type": "Strip", "strip_left": True, "strip_right": True})),
        ("strip_left", "gptj", normalizer({"type": "Strip", "strip_left": True, "strip_right": False})),
        ("replace_string", "gptj", normalizer({"type": "Replace", "pattern": {"String": "a."}, "content": "$0"})),
        ("prepend", "qwen2", normalizer({"type": "Prepend", "prepend": "the "})),
        (
            "four_steps",
            "gptj",
            normalizer(
                {"type": "NFKC"},
                {"type": "Lowercase"},
                regex,
                {"type": "Strip", "strip_left": True, "strip_right": True},
            ),
        ),
        ("prefix_space", "gptj", {"pre_tokenizer": byte_level(add_prefix_space=True)}),
        ("no_regex", "gptj", {"pre_tokenizer": byte_level(add_prefix_space=False, use_regex=False)}),
        ("digits", "gptj", {"pre_tokenizer": then_bytes({"type": "Digits", "individual_digits": True})}),
        ("digit_runs", "gptj", {"pre_tokenizer": then_bytes({"type": "Digits", "individual_digits": False})}),
        ("words", "gptj", {"pre_tokenizer": then_bytes({"type": "Whitespace"})}),
        ("white_space", "gptj", {"pre_tokenizer": then_bytes({"type": "WhitespaceSplit"})}),
        *(
            (
                f"split_{behavior}_{invert}",
                "gptj",
                {"pre_tokenizer": split({"Regex": r"\w\d|\s|'"}, behavior, invert=invert)},
            )
            for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")
            for invert in (False, True)
        ),
        ("split_string", "gptj", {"pre_tokenizer": split({"String": "e"}, "MergedWithPrevious")}),
        ("split_empty_matches", "gptj", {"pre_tokenizer": split({"Regex": "a*"}, "Isolated")}),
        ("merges_first", "llama3", {"model.ignore_merges": False}),
        ("metaspace_first", "llama2", {"normalizer": None, "pre_tokenizer": metaspace("first", is_split=False)}),
        *(
            (
                f"metaspace_{scheme}",
                "llama2",
                {"normalizer": None, "pre_tokenizer": metaspace(scheme), "decoder": metaspace(scheme)},
            )
            for scheme in ("always", "first", "never")
        ),
        ("unknown_fused", "llama2", {"model.byte_fallback": False}),
        ("unknown_each", "llama2", {"model.byte_fallback": False, "model.fuse_unk": False}),
        ("no_unknown", "llama2", {"model.byte_fallback": False, "model.unk_token": None}),
    ]
    return lists


def patched(description: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(json.dumps(description))
    for key, value in patch.items():
        *outer, last = key.split(".")
        place = result
        for name in outer:
            place = place[name]
        place[last] = value
    return result


def main() -> int:
    rng = random.Random(SEED)
    lines = corpus(rng)
    added = [str(token) for token in AWKWARD_TOKENS] + [*LLAMA3_SPECIAL, *QWEN2_SPECIAL, *SP_ADDED]
    strings = awkward_strings(rng, [*dict.fromkeys([*added, "<s>", "</s>", "<unk>"])], num_random=300)
    write_json(HERE / "strings.json", {"seed": SEED, "versions": versions(), "strings": strings})

    llama_sp = make_llama2_model(lines, HERE / "sentencepiece" / "tokenizer.model")
    write_json(HERE / "sentencepiece" / "tokenizer_config.json", tokenizer_config(llama_sp))
    collapsing_sp = make_collapsing_model(lines, HERE / "sentencepiece-collapsing" / "tokenizer.model")
    jsons = {
        "gptj": make_gptj(lines),
        "llama3": make_llama3(lines),
        "qwen2": make_qwen2(lines),
        "llama2": make_llama2_json(llama_sp),
    }
    prefixes = {"llama3": LLAMA3_SPECIAL[0], "llama2": "<s> "}
    references = {name: json_reference(tokenizer, prefixes.get(name, "")) for name, tokenizer in jsons.items()}
    references["sentencepiece"] = sentencepiece_reference(llama_sp, is_llama=True)
    references["sentencepiece-collapsing"] = sentencepiece_reference(collapsing_sp, is_llama=False)
    for name, tokenizer in jsons.items():
        write_json(HERE / name / "tokenizer.json", json.loads(tokenizer.to_str()))
    for name, reference in references.items():
        stamp = {"seed": SEED, "versions": versions(), "num_strings": len(strings)}
        record = golden(reference, strings) | random_golden(reference, rng, count=240)
        write_json(HERE / name / "golden.json", stamp | record)

    records = []
    for name, base, patch in variants():
        tokenizer = Tokenizer.from_str(json.dumps(patched(json.loads(jsons[base].to_str()), patch)))
        reference = json_reference(tokenizer, prefixes.get(base, ""))
        records.append({"name": name, "base": base, "patch": patch} | golden(reference, strings[::VARIANT_STRIDE]))
    write_json(HERE / "variants.json", {"versions": versions(), "stride": VARIANT_STRIDE, "variants": records})
    print(f"{len(strings)} strings, {len(references)} pipelines, {len(records)} variants")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
