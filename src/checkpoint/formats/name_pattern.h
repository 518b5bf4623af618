// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace veloz::checkpoint {

/// Which modules a quantization config means. Immutable; copies share the compiled pattern.
class NamePattern {
 public:
  /// compressed-tensors': a name, or "re:" and a regular expression that begins where the name
  /// does. Throws Error(invalid_input) with the place of the mistake.
  static NamePattern name_or_regex(const std::string& text);
  /// ModelOpt's: a name with "*" for any characters and "?" for one.
  static NamePattern wildcard(const std::string& text);

  /// Throws Error(invalid_input) where matching would cost more than the limit.
  bool matches(std::string_view module) const;
  const std::string& text() const { return text_; }

 private:
  enum class Kind { exact, wildcard, regex };
  struct Code;
  NamePattern(Kind kind, std::string text) : kind_(kind), text_(std::move(text)) {}
  bool matches_regex(std::string_view module) const;

  Kind kind_;
  std::string text_;
  std::shared_ptr<const Code> code_;  // of a regex
};

/// The first pattern that matches, or null.
const NamePattern* find_match(std::span<const NamePattern> patterns, std::string_view module);

}  // namespace veloz::checkpoint
