// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace veloz::text {

/// What a tokenizer.model (sentencepiece_model.proto) holds, as far as decoding needs it.
struct SentencePieceModel {
  enum class Type { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };
  struct Piece {
    std::string text;
    Type type = Type::normal;
  };
  std::vector<Piece> pieces;  // by id; exactly one is unknown
  std::string bos_piece = "<s>", eos_piece = "</s>";
  std::string unk_surface = " \xE2\x81\x87 ";  // what decoding writes for the unknown piece
  bool has_byte_fallback = false;              // unknown characters become bytes
  bool adds_dummy_prefix = true, removes_extra_whitespaces = true;
};

/// Reads the model, and makes sure that libsentencepiece, which trusts its input, can load it and
/// encode with it. Throws Error: corrupt_data, or unsupported for another algorithm than BPE.
SentencePieceModel parse_sentencepiece_model(std::string_view bytes);

}  // namespace veloz::text
