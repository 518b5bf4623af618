// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace veloz::grammar {

/// Reads a regex or a grammar from front to end; refusals name the place.
class PatternReader {
 public:
  enum class Source { regex, grammar };  // places are byte offsets, or lines

  explicit PatternReader(std::string_view pattern, Source source = Source::regex)
      : pattern_(pattern), source_(source) {}

  size_t offset() const { return offset_; }
  bool at_end() const { return offset_ >= pattern_.size(); }
  std::string_view rest() const { return pattern_.substr(offset_); }
  /// '\0' at the end.
  char peek() const { return at_end() ? '\0' : pattern_[offset_]; }
  void skip(size_t count) { offset_ += count; }
  void skip_all(std::string_view characters);
  bool try_take(char c);
  /// Refuses what is no UTF-8, and the end.
  uint32_t take_code_point();
  /// Exactly `count` hexadecimal digits.
  uint32_t take_hex(size_t count);

  /// Throws Error(invalid_input).
  [[noreturn]] void refuse(size_t offset, std::string_view what) const;
  [[noreturn]] void refuse(std::string_view what) const { refuse(offset_, what); }

 private:
  std::string_view pattern_;
  Source source_;
  size_t offset_ = 0;
};

}  // namespace veloz::grammar
