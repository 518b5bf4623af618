// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace veloz::test {

/// tokenizer.json for TinyCheckpoint: byte-level BPE without merges, of which ids 3 to 12 are "a"
/// to "j". The model's other ids, 13 to 39, pad its vocabulary.
constexpr const char* kLetterTokenizer = R"({
  "added_tokens": [
    {"id": 0, "content": "<pad>", "special": true}, {"id": 1, "content": "<s>", "special": true},
    {"id": 2, "content": "</s>", "special": true}],
  "normalizer": null, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
  "post_processor": null, "decoder": {"type": "ByteLevel"},
  "model": {"type": "BPE", "merges": [], "vocab": {"<pad>": 0, "<s>": 1, "</s>": 2, "a": 3,
    "b": 4, "c": 5, "d": 6, "e": 7, "f": 8, "g": 9, "h": 10, "i": 11, "j": 12}}})";

}  // namespace veloz::test
