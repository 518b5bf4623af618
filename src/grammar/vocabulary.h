// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/grammar.h"
#include "grammar/mask_cache.h"

namespace veloz::grammar {

/// Of masks kept per vocabulary: at 128 Ki tokens a mask has 16 KiB.
inline constexpr size_t kMaxMaskBytes = size_t{128} << 20;

/// The bytes of the tokens as a tree, in preorder: a node is followed by its children. Node 0 is
/// the empty text, which no token has.
class Vocabulary {
 public:
  struct Node {
    uint8_t byte = 0;           // that leads here
    uint32_t depth = 0;         // how many bytes lead here
    uint32_t end = 0;           // the node after the last one below
    uint32_t tokens_begin = 0;  // of tokens(): those with exactly this text, then those below
  };

  Vocabulary(const text::TokenPieces& pieces, int64_t vocab_size,
             std::span<const int32_t> end_token_ids);

  int64_t vocab_size() const { return vocab_size_; }
  size_t num_mask_words() const { return static_cast<size_t>((vocab_size_ + 31) / 32); }
  const std::vector<int32_t>& end_token_ids() const { return end_token_ids_; }
  bool is_end_token(int32_t token) const;

  /// Empty for what may never come: special tokens, ids without a token or without text.
  std::string_view bytes_of(int32_t token) const;
  size_t max_token_bytes() const { return max_token_bytes_; }

  std::span<const Node> nodes() const { return nodes_; }
  /// Those whose text leads exactly to the node.
  std::span<const int32_t> tokens_at(uint32_t node) const;

  /// Masks computed for it so far. Locked inside; any thread.
  MaskCache& masks() const { return masks_; }

 private:
  void build_tree();

  int64_t vocab_size_ = 0;
  std::vector<int32_t> end_token_ids_;  // sorted
  std::string all_bytes_;
  std::vector<uint32_t> bytes_begin_;  // [vocab_size + 1]
  size_t max_token_bytes_ = 0;
  std::vector<Node> nodes_;
  std::vector<int32_t> tokens_;  // by text
  mutable MaskCache masks_{kMaxMaskBytes};
};

}  // namespace veloz::grammar
