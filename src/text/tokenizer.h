// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/token_pieces.h"

namespace veloz::text {

struct EncodeOptions {
  bool add_special_tokens = true;  // what the model's post-processor adds: bos, eos
};

/// Text to token ids and back, exactly as Hugging Face does it. Immutable after loading; any number
/// of threads may call it. As TokenPieces it tells a Detokenizer what each token adds to the text.
class Tokenizer : public TokenPieces {
 public:
  /// Of a model or engine directory: tokenizer.json, else tokenizer.model (SentencePiece BPE).
  /// Throws Error: not_found, corrupt_data (with the component and value), unsupported (naming the
  /// component and what is there).
  static std::unique_ptr<Tokenizer> load(const std::filesystem::path& model_dir);

  /// Special tokens inside the text are recognised. What is no UTF-8 is read as U+FFFD.
  virtual std::vector<int32_t> encode(std::string_view text,
                                      const EncodeOptions& options = {}) const = 0;
  /// Ids without a token are left out.
  std::string decode(std::span<const int32_t> ids, bool skip_special_tokens = true) const;

  virtual std::optional<int32_t> token_id(std::string_view token) const = 0;
  /// The vocabulary's own spelling of an id that `has_token`: "Ġworld", "▁Hello", "<0x0A>". Lives
  /// as long as the tokenizer.
  virtual std::string_view token(int32_t id) const = 0;
  /// Highest id + 1.
  virtual int32_t vocab_size() const = 0;
};

/// Ids below `vocab_size` that the model has and the tokenizer lacks: padding of the vocabulary.
std::vector<int32_t> ids_without_token(const Tokenizer& tokenizer, int64_t vocab_size);

}  // namespace veloz::text
