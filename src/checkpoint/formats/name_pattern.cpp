// SPDX-License-Identifier: Apache-2.0
#define PCRE2_CODE_UNIT_WIDTH 8
#include "checkpoint/formats/name_pattern.h"

#include <fmt/format.h>
#include <pcre2.h>

#include <array>
#include <utility>

#include "base/error.h"
#include "checkpoint/json_text.h"

namespace veloz::checkpoint {
namespace {

constexpr std::string_view kRegexPrefix = "re:";
constexpr size_t kMaxPatternBytes = 1024;
constexpr uint32_t kMatchLimit = 100'000;  // names are short
constexpr uint32_t kDepthLimit = 1'000;

PCRE2_SPTR bytes_of(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

/// Greedy, with one place to come back to: linear in the product of the lengths at worst.
bool matches_wildcard(std::string_view pattern, std::string_view name) {
  size_t p = 0;
  size_t n = 0;
  size_t star = std::string_view::npos;
  size_t resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n]) && pattern[p] != '*') {
      ++p;
      ++n;
    } else if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

}  // namespace

struct NamePattern::Code {
  explicit Code(pcre2_code* compiled)
      : code(compiled), context(pcre2_match_context_create(nullptr)) {
    pcre2_set_match_limit(context, kMatchLimit);
    pcre2_set_depth_limit(context, kDepthLimit);
  }
  ~Code() {
    pcre2_match_context_free(context);
    pcre2_code_free(code);
  }
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;

  pcre2_code* code;
  pcre2_match_context* context;
};

NamePattern NamePattern::name_or_regex(const std::string& text) {
  if (!text.starts_with(kRegexPrefix)) return NamePattern(Kind::exact, text);
  const std::string_view pattern = std::string_view(text).substr(kRegexPrefix.size());
  if (pattern.size() > kMaxPatternBytes)
    throw Error(
        ErrorKind::invalid_input,
        fmt::format("a pattern of {} bytes is longer than {}", pattern.size(), kMaxPatternBytes),
        "name the modules by shorter patterns");
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* const compiled =
      pcre2_compile(bytes_of(pattern), pattern.size(), PCRE2_ANCHORED, &error, &offset, nullptr);
  if (compiled == nullptr) {
    std::array<PCRE2_UCHAR, 256> reason{};
    pcre2_get_error_message(error, reason.data(), reason.size());
    throw Error(ErrorKind::invalid_input,
                fmt::format("the pattern {} is wrong at byte {}: {}", shown(text), offset,
                            reinterpret_cast<const char*>(reason.data())),
                "check the quantization's targets and ignore list");
  }
  NamePattern made(Kind::regex, text);
  made.code_ = std::make_shared<const Code>(compiled);
  return made;
}

NamePattern NamePattern::wildcard(const std::string& text) {
  return NamePattern(Kind::wildcard, text);
}

bool NamePattern::matches(std::string_view module) const {
  switch (kind_) {
    case Kind::exact:
      return module == text_;
    case Kind::wildcard:
      return matches_wildcard(text_, module);
    case Kind::regex:
      return matches_regex(module);
  }
  return false;
}

bool NamePattern::matches_regex(std::string_view module) const {
  pcre2_match_data* const data = pcre2_match_data_create(1, nullptr);
  const int found =
      pcre2_match(code_->code, bytes_of(module), module.size(), 0, 0, data, code_->context);
  pcre2_match_data_free(data);
  if (found >= 0) return true;
  if (found == PCRE2_ERROR_NOMATCH) return false;
  throw Error(ErrorKind::invalid_input,
              fmt::format("the pattern {} takes too many steps on \"{}\"", shown(text_), module),
              "write it without nested repetitions");
}

const NamePattern* find_match(std::span<const NamePattern> patterns, std::string_view module) {
  for (const NamePattern& pattern : patterns)
    if (pattern.matches(module)) return &pattern;
  return nullptr;
}

}  // namespace veloz::checkpoint
