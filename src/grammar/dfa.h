// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace veloz::grammar {

enum class RuleId : uint32_t {};

/// A deterministic automaton over bytes whose edges may also be calls of rules (of which a state
/// can have several). Every state is reachable and leads to a final one; without states it accepts
/// nothing.
struct Dfa {
  static constexpr uint32_t kDead = 0xffffffff;
  struct Call {
    uint32_t from = 0;
    RuleId rule{};
    uint32_t to = 0;
  };

  std::array<uint8_t, 256> class_of{};  // bytes of one class behave alike everywhere
  uint32_t num_classes = 0;
  uint32_t start = 0;
  std::vector<uint32_t> next;     // [num_states, num_classes], kDead where there is no edge
  std::vector<uint8_t> is_final;  // [num_states], 0 or 1
  std::vector<Call> calls;        // by `from`, then rule

  uint32_t num_states() const { return static_cast<uint32_t>(is_final.size()); }
  uint32_t step(uint32_t state, uint8_t byte) const {
    return next[size_t{state} * num_classes + class_of[byte]];
  }
  size_t num_bytes() const {
    return next.size() * sizeof(uint32_t) + is_final.size() + calls.size() * sizeof(Call);
  }
  /// Whether it accepts the text; it must have no calls.
  bool accepts(std::string_view text) const;
};

}  // namespace veloz::grammar
