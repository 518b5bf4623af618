// SPDX-License-Identifier: Apache-2.0
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/regex.h"

#include <fmt/format.h>
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "base/error.h"
#include "text/regex_syntax.h"
#include "text/utf8.h"

namespace veloz::text {
namespace {

constexpr size_t kMaxPatternBytes = size_t{1} << 16;
constexpr uint32_t kMatchLimit = 10'000'000;
constexpr uint32_t kDepthLimit = 100'000;

std::string message_of(int error) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(error, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

struct MatchDataDeleter {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

}  // namespace

struct Regex::Code {
  pcre2_code* code = nullptr;
  pcre2_match_context* context = nullptr;
  Code() = default;
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;
  ~Code() {
    pcre2_match_context_free(context);
    pcre2_code_free(code);
  }
};

Regex::Regex(const std::string& pattern) : code_(std::make_unique<Code>()) {
  if (pattern.size() > kMaxPatternBytes)
    throw Error(ErrorKind::corrupt_data, fmt::format("a pattern of {} bytes is longer than {}",
                                                     pattern.size(), kMaxPatternBytes));
  const std::string translated = to_pcre2_syntax(pattern);
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                              PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &offset, nullptr);
  if (code_->code == nullptr)
    throw Error(ErrorKind::corrupt_data,
                fmt::format("the pattern \"{}\" is wrong at byte {}: {}", translated.substr(0, 200),
                            offset, message_of(error)));
  pcre2_jit_compile(code_->code,
                    PCRE2_JIT_COMPLETE);  // where there is no JIT the interpreter does it
  code_->context = pcre2_match_context_create(nullptr);
  pcre2_set_match_limit(code_->context, kMatchLimit);
  pcre2_set_depth_limit(code_->context, kDepthLimit);
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

std::vector<Regex::Range> Regex::find_all(std::string_view text) const {
  std::vector<Range> ranges;
  const std::unique_ptr<pcre2_match_data, MatchDataDeleter> data(
      pcre2_match_data_create_from_pattern(code_->code, nullptr));
  size_t at = 0;
  while (at <= text.size()) {
    // The text is valid UTF-8 already and `at` stands between code points.
    const int found = pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()),
                                  text.size(), at, PCRE2_NO_UTF_CHECK, data.get(), code_->context);
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0)
      throw Error(ErrorKind::invalid_input,
                  fmt::format("splitting the text failed: {}", message_of(found)),
                  "the tokenizer's pattern does not cope with this text");
    const PCRE2_SIZE* const range = pcre2_get_ovector_pointer(data.get());
    if (range[0] == range[1] && !ranges.empty() && ranges.back().end == range[1]) {
      at += std::max<size_t>(1, utf8_length(text.substr(at)));
      continue;
    }
    ranges.push_back({range[0], range[1]});
    at = range[1];
  }
  return ranges;
}

std::string escape_regex(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (std::string_view("\\^$.|?*+()[]{}-#").find(c) != std::string_view::npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

}  // namespace veloz::text
