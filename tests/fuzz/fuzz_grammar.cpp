// SPDX-License-Identifier: Apache-2.0
// Hostile grammars: whatever the source, compiling gives a grammar or throws Error, within its
// limits; then a few tokens are chosen from its masks. Each must be accepted. The first byte says
// which kind of source follows.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "grammar/grammar.h"
#include "grammar/grammar_texts.h"

namespace {

using namespace veloz::grammar;

constexpr CompileLimits kLimits = {.max_source_bytes = 4096,
                                   .max_states = 5000,
                                   .max_memory_bytes = size_t{8} << 20,
                                   .max_milliseconds = 500,
                                   .max_depth = 32};
constexpr int kSteps = 12;

GrammarPtr compile(uint8_t kind, std::string_view source) {
  switch (kind % 4) {
    case 0:
      return compile_json_schema(source, kLimits);
    case 1:
      return compile_regex(source, kLimits);
    case 2:
      return compile_ebnf(source, kLimits);
    default: {
      const std::string choices[] = {std::string(source.substr(0, source.size() / 2)),
                                     std::string(source)};
      return compile_choice(choices, kLimits);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<std::string> kTexts = {"{\"", "\": ", "\", \"", "[1, ",  "]}", "true",
                                                  "abc", "123",  "\xc3",   "\xa9x", "  ", "()"};
  static const auto kVocabulary = test::vocabulary_with(kTexts);
  if (size == 0) return 0;
  try {
    Matcher matcher(compile(data[0], {reinterpret_cast<const char*>(data + 1), size - 1}),
                    kVocabulary);
    for (int step = 0; step < kSteps && !matcher.is_finished(); ++step) {
      const auto allowed =
          test::allowed_tokens(matcher, test::kEnd + 1 + static_cast<int64_t>(kTexts.size()));
      if (allowed.empty()) std::abort();  // each byte is a token
      const int32_t token = allowed[(size + static_cast<size_t>(step) * 7) % allowed.size()];
      if (!matcher.accept(token)) std::abort();
      if (step % 3 == 2) matcher.rollback(1);
      if (token == test::kEnd) break;
    }
  } catch (const veloz::Error& e) {
    if (e.kind() == veloz::ErrorKind::internal) std::abort();
  }
  return 0;
}
