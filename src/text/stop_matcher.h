// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace veloz::text {

enum class StopText { leave_out, include };  // vLLM's include_stop_str_in_output

/// Ends a text at the first of several stop strings. The text comes in pieces, cut anywhere; what
/// may still turn out to be the start of a stop string is held back, so that no part of one leaks.
///
/// The stop that is complete first wins; of those complete at the same place the longest, which
/// started first. The text ends before it, or behind it where it is included. So the result does
/// not depend on how the text is cut; vLLM looks once per token and takes the first in list order,
/// which is the same unless one token completes several stops.
///
/// Aho-Corasick (doi:10.1145/360825.360855): time linear in the text. Movable, one owner.
class StopMatcher {
 public:
  /// No stops: all text passes. Throws Error(invalid_input) for an empty stop, or more than 64 KiB
  /// of them.
  explicit StopMatcher(const std::vector<std::string>& stops,
                       StopText stop_text = StopText::leave_out);

  /// The text that is certain to be part of the result. Empty once a stop has matched.
  [[nodiscard]] std::string push(std::string_view piece);
  /// What was held back: the text ended without a stop. Empty if one has matched.
  [[nodiscard]] std::string finish();
  /// The position in the list of the stop that matched.
  std::optional<size_t> matched() const { return matched_; }

 private:
  struct Node {
    std::vector<std::pair<uint8_t, uint32_t>> children;  // sorted by byte
    uint32_t fallback = 0;  // the longest proper suffix that is a node too
    size_t depth = 0;
    std::optional<size_t> stop;  // that ends here: the longest, of equals the first in the list
  };

  void add_stop(std::string_view stop, size_t stop_idx);
  void link();
  std::optional<uint32_t> child(uint32_t node, uint8_t byte) const;
  uint32_t step(uint32_t node, uint8_t byte) const;

  std::vector<Node> nodes_ = std::vector<Node>(1);  // the root is 0
  StopText stop_text_;
  uint32_t state_ = 0;
  std::string buffer_;    // text of which the last nodes_[state_].depth bytes are held back
  size_t num_given_ = 0;  // of buffer_, from its start
  std::vector<size_t> stop_sizes_;
  std::optional<size_t> matched_;
};

}  // namespace veloz::text
