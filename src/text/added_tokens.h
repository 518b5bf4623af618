// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace veloz::text {

/// A token that is looked for in the text before anything cuts it.
struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool is_special = false;
  bool is_normalized = false;   // looked for in the normalised text
  bool is_single_word = false;  // only between characters that are no word's
  bool strips_left = false;     // takes the white space before it
  bool strips_right = false;    // and after it
};

/// A part of the text: an added token's id, or text that is still to be cut.
struct Segment {
  std::string_view text;
  std::optional<int32_t> id;
};

/// Finds added tokens: leftmost first, the longest of those.
class AddedTokens {
 public:
  explicit AddedTokens(std::vector<AddedToken> tokens);
  /// `text` in parts, in order, none empty. The views point into `text`.
  std::vector<Segment> split(std::string_view text) const;

 private:
  const AddedToken* match_at(std::string_view text, size_t at) const;

  std::vector<AddedToken> tokens_;
  // A trie over their bytes: (node << 8 | byte) to the next node, the root being 0; and which token
  // ends at a node.
  std::unordered_map<uint64_t, uint64_t> edges_;
  std::unordered_map<uint64_t, size_t> ends_;
};

}  // namespace veloz::text
