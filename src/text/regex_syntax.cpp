// SPDX-License-Identifier: Apache-2.0
#include "text/regex_syntax.h"

#include <fmt/format.h>

#include "base/error.h"

namespace veloz::text {
namespace {

// PCRE2's \s holds U+180E as well, its \w no marks.
constexpr std::string_view kWord = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";

[[noreturn]] void not_supported(std::string_view construct) {
  throw Error(ErrorKind::unsupported,
              fmt::format("\"{}\" in a pattern is not supported", construct),
              "tokenizers' own engine reads it differently");
}

bool begins_interval(std::string_view text) {
  return !text.empty() && text[0] >= '0' && text[0] <= '9';
}

class Translator {
 public:
  explicit Translator(std::string_view pattern) : rest_(pattern) {}

  std::string run() {
    while (!rest_.empty()) {
      if (rest_[0] == '\\' && rest_.size() > 1)
        translate_escape();
      else if (is_in_class_)
        translate_in_class();
      else
        translate_outside();
    }
    return std::move(out_);
  }

 private:
  void copy(size_t size) {
    out_ += rest_.substr(0, size);
    rest_.remove_prefix(std::min(size, rest_.size()));
  }
  void replace(size_t size, std::string_view by) {
    out_ += by;
    rest_.remove_prefix(size);
  }

  void translate_escape() {
    is_class_start_ = false;
    switch (rest_[1]) {
      case 's':
        return replace(2, "\\p{White_Space}");
      case 'S':
        return replace(2, "\\P{White_Space}");
      case 'w':
        return replace(2, is_in_class_ ? std::string(kWord) : fmt::format("[{}]", kWord));
      case 'W':
        if (is_in_class_) not_supported("[\\W]");
        return replace(2, fmt::format("[^{}]", kWord));
      case 'b':
      case 'B':
      case 'h':
      case 'H':
        if (!is_in_class_ || rest_[1] != 'b') not_supported(rest_.substr(0, 2));
        return copy(2);
      default:
        return copy(2);
    }
  }

  void translate_in_class() {
    if (rest_[0] == '[' && !rest_.starts_with("[:")) not_supported("[ inside [ ]");
    if (rest_.starts_with("&&")) not_supported("&&");
    if (rest_[0] == ']' && !is_class_start_) is_in_class_ = false;
    is_class_start_ = false;
    copy(1);
  }

  void translate_outside() {
    if (rest_.starts_with("(?m")) not_supported("(?m");
    if (rest_[0] == '{' && begins_interval(rest_.substr(1))) {
      const size_t end = rest_.find('}');
      if (end != std::string_view::npos && rest_.substr(end + 1).starts_with("+"))
        not_supported("{n}+");
    }
    if (rest_[0] == '[') {
      is_in_class_ = is_class_start_ = true;
      return copy(rest_.starts_with("[^") ? 2 : 1);
    }
    copy(1);
  }

  std::string_view rest_;
  std::string out_;
  bool is_in_class_ = false;
  bool is_class_start_ = false;  // where ] is no end
};

}  // namespace

std::string to_pcre2_syntax(std::string_view pattern) { return Translator(pattern).run(); }

}  // namespace veloz::text
