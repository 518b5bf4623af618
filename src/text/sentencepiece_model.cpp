// SPDX-License-Identifier: Apache-2.0
#include "text/sentencepiece_model.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <optional>
#include <unordered_map>

#include "base/error.h"
#include "text/json_fields.h"
#include "text/protobuf_reader.h"
#include "text/sentencepiece_charsmap.h"
#include "text/token_decoder.h"
#include "text/utf8.h"

namespace veloz::text {
namespace {

using Piece = SentencePieceModel::Piece;
using Type = SentencePieceModel::Type;
using Wire = ProtobufField::Wire;

// The library follows a piece down to its parts by recursion, so a piece may not be too long.
constexpr size_t kMaxPieceBytes = 2048;
constexpr uint64_t kNumBytes = 256;

constexpr std::string_view kAlgorithms[] = {"", "Unigram", "BPE", "Word", "Char"};
constexpr uint64_t kUnigram = 1;
constexpr uint64_t kBpe = 2;

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorKind::corrupt_data, message,
              "the file is damaged or no SentencePiece model; download it again");
}

[[noreturn]] void not_supported(const std::string& what) {
  throw Error(ErrorKind::unsupported, fmt::format("SentencePiece {} is not supported", what),
              "supported are BPE models; a tokenizer.json of the same model may work");
}

uint64_t get_varint(const ProtobufField& field, std::string_view name) {
  if (field.wire != Wire::varint) refuse(fmt::format("\"{}\" is no integer", name));
  return field.value;
}

std::string_view get_bytes(const ProtobufField& field, std::string_view name) {
  if (field.wire != Wire::bytes) refuse(fmt::format("\"{}\" is no string or message", name));
  return field.bytes;
}

bool is_valid_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

Piece parse_piece(std::string_view bytes, size_t id) {
  Piece piece;
  ProtobufReader reader(bytes);
  while (const std::optional<ProtobufField> field = reader.next()) {
    if (field->number == 1) {
      piece.text = get_bytes(*field, "piece");
    } else if (field->number == 2) {
      if (field->wire != Wire::fixed32) refuse("\"score\" is no float");
      if (!std::isfinite(std::bit_cast<float>(static_cast<uint32_t>(field->value))))
        refuse(fmt::format("the score of piece {} is not finite", id));
    } else if (field->number == 3) {
      const uint64_t type = get_varint(*field, "type");
      if (type < 1 || type > 6) refuse(fmt::format("piece {} has the unknown type {}", id, type));
      piece.type = static_cast<Type>(type);
    }
  }
  if (piece.text.empty() || piece.text.size() > kMaxPieceBytes)
    refuse(fmt::format("piece {} has {} bytes (1 to {})", id, piece.text.size(), kMaxPieceBytes));
  if (!is_valid_utf8(piece.text) || piece.text.find('\0') != std::string::npos)
    refuse(fmt::format("piece {} is no UTF-8 without NUL", id));
  return piece;
}

class ModelReader {
 public:
  void read(std::string_view bytes) {
    ProtobufReader reader(bytes);
    while (const std::optional<ProtobufField> field = reader.next()) {
      if (field->number == 1)
        add_piece(get_bytes(*field, "pieces"));
      else if (field->number == 2)
        read_trainer_spec(get_bytes(*field, "trainer_spec"));
      else if (field->number == 3)
        read_normalizer_spec(get_bytes(*field, "normalizer_spec"));
      else if (field->number == 5)
        not_supported("denormalization");
    }
  }

  SentencePieceModel finish() {
    if (model_.pieces.empty()) refuse("the model has no pieces");
    if (algorithm_ >= std::size(kAlgorithms) || algorithm_ == 0)
      refuse(fmt::format("model_type {} is no algorithm", algorithm_));
    if (algorithm_ != kBpe) not_supported(std::string(kAlgorithms[algorithm_]));
    if (num_unknown_ != 1)
      refuse(fmt::format("the model has {} unknown pieces, not one", num_unknown_));
    if (num_bytes_ != (model_.has_byte_fallback ? kNumBytes : 0))
      refuse(fmt::format("the model has {} byte pieces, with byte_fallback {}", num_bytes_,
                         model_.has_byte_fallback));
    return std::move(model_);
  }

 private:
  void add_piece(std::string_view bytes) {
    const size_t id = model_.pieces.size();
    if (id == static_cast<size_t>(kMaxTokenId))
      refuse(fmt::format("the model has more than {} pieces", kMaxTokenId));
    Piece piece = parse_piece(bytes, id);
    if (const auto [other, is_new] = ids_.try_emplace(piece.text, id); !is_new)
      refuse(fmt::format("pieces {} and {} are both \"{}\"", other->second, id, piece.text));
    if (piece.type == Type::unknown) ++num_unknown_;
    if (piece.type == Type::byte) {
      const std::optional<char> byte = byte_of_token(piece.text);
      if (!byte || piece.text != fmt::format("<0x{:02X}>", static_cast<uint8_t>(*byte)))
        refuse(fmt::format("byte piece {} is \"{}\", no <0x00> to <0xFF>", id, piece.text));
      ++num_bytes_;
    }
    model_.pieces.push_back(std::move(piece));
  }

  void read_trainer_spec(std::string_view bytes) {
    ProtobufReader reader(bytes);
    while (const std::optional<ProtobufField> field = reader.next()) {
      switch (field->number) {
        case 3:
          algorithm_ = get_varint(*field, "model_type");
          break;
        case 24:
          if (get_varint(*field, "treat_whitespace_as_suffix") != 0)
            not_supported("treat_whitespace_as_suffix");
          break;
        case 35:
          model_.has_byte_fallback = get_varint(*field, "byte_fallback") != 0;
          break;
        case 44:
          model_.unk_surface = get_bytes(*field, "unk_surface");
          if (!is_valid_utf8(model_.unk_surface)) refuse("\"unk_surface\" is no UTF-8");
          break;
        case 46:
          model_.bos_piece = get_bytes(*field, "bos_piece");
          break;
        case 47:
          model_.eos_piece = get_bytes(*field, "eos_piece");
          break;
        default:
          break;
      }
    }
  }

  void read_normalizer_spec(std::string_view bytes) {
    ProtobufReader reader(bytes);
    while (const std::optional<ProtobufField> field = reader.next()) {
      if (field->number == 2)
        check_sentencepiece_charsmap(get_bytes(*field, "precompiled_charsmap"));
      else if (field->number == 3)
        model_.adds_dummy_prefix = get_varint(*field, "add_dummy_prefix") != 0;
      else if (field->number == 4)
        model_.removes_extra_whitespaces = get_varint(*field, "remove_extra_whitespaces") != 0;
      else if (field->number == 5 && get_varint(*field, "escape_whitespaces") == 0)
        not_supported("without escape_whitespaces");
    }
  }

  SentencePieceModel model_;
  std::unordered_map<std::string, size_t> ids_;
  uint64_t algorithm_ = kUnigram;  // the default of the format
  uint64_t num_unknown_ = 0, num_bytes_ = 0;
};

}  // namespace

SentencePieceModel parse_sentencepiece_model(std::string_view bytes) {
  ModelReader reader;
  reader.read(bytes);
  return reader.finish();
}

}  // namespace veloz::text
