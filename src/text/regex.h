// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace veloz::text {

/// A compiled pattern over UTF-8 with Unicode classes, as tokenizers write them. Immutable; any
/// thread matches.
class Regex {
 public:
  struct Range {
    size_t begin = 0;
    size_t end = 0;
  };

  /// Throws Error(corrupt_data) with the place of the mistake, or Error(unsupported).
  explicit Regex(const std::string& pattern);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  /// All matches from left to right, an empty one only where no match ends. Throws
  /// Error(invalid_input) where a match would cost more than the limit (catastrophic backtracking).
  std::vector<Range> find_all(std::string_view text) const;

 private:
  struct Code;
  std::unique_ptr<Code> code_;
};

/// `text` as a pattern that matches just itself.
std::string escape_regex(std::string_view text);

}  // namespace veloz::text
