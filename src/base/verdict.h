// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace veloz {

/// What an evaluation said of a compressed model: the share of its original's quality that is kept.
inline constexpr std::string_view kVerdictPass999 = "PASS-99.9";
inline constexpr std::string_view kVerdictPass99 = "PASS-99";
inline constexpr std::string_view kVerdictFail = "FAIL";
inline constexpr std::string_view kVerdictUngated = "UNGATED";  // nobody has looked
inline constexpr std::array<std::string_view, 4> kVerdicts = {kVerdictPass999, kVerdictPass99,
                                                              kVerdictFail, kVerdictUngated};

constexpr bool is_verdict(std::string_view text) {
  return std::ranges::find(kVerdicts, text) != kVerdicts.end();
}

}  // namespace veloz
