// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace veloz::text {

struct BpeOptions {
  bool ignore_merges = false;  // a piece that is a token as a whole is that token
  bool byte_fallback = false;  // an unknown character becomes its bytes' tokens, <0x41>
  bool fuse_unk = false;       // neighbouring unknowns become one
  std::optional<std::string> unk_token;
};

/// Byte-pair encoding: a piece of text starts as its characters; the pair with the lowest rank is
/// merged until none is left, the leftmost first among equals (arXiv:1508.07909). O(n log n) in a
/// piece's length.
class Bpe {
 public:
  /// Tokens of the vocabulary with their ids, and merges in order of rank. Throws
  /// Error(corrupt_data) naming the merge whose parts or result are no tokens.
  Bpe(std::unordered_map<std::string, int32_t> vocab,
      const std::vector<std::pair<std::string, std::string>>& merges, BpeOptions options);

  /// Appends the ids of one piece.
  void encode(std::string_view piece, std::vector<int32_t>& ids) const;
  std::optional<int32_t> token_id(const std::string& token) const;
  const std::unordered_map<std::string, int32_t>& vocab() const { return vocab_; }

 private:
  struct Merge {
    int32_t rank = 0;
    int32_t result = 0;
  };
  static uint64_t pair_key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  void append_initial(std::string_view piece, std::vector<int32_t>& symbols) const;
  void merge(std::vector<int32_t>& symbols) const;

  std::unordered_map<std::string, int32_t> vocab_;
  std::unordered_map<uint64_t, Merge> merges_;
  BpeOptions options_;
  std::optional<int32_t> unk_id_;
};

}  // namespace veloz::text
