// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace veloz::test {

/// Each edit is offset (2 bytes), count to remove (1), count to insert (1), and what to insert.
inline std::string edited(std::string text, std::string_view edits) {
  while (edits.size() >= 4) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(edits[i]); };
    const size_t at = (byte(0) | static_cast<size_t>(byte(1)) << 8) % (text.size() + 1);
    const size_t inserted = std::min<size_t>(byte(3) % 24, edits.size() - 4);
    text.replace(at, byte(2) % 24, edits.substr(4, inserted));
    edits.remove_prefix(4 + inserted);
  }
  return text;
}

}  // namespace veloz::test
