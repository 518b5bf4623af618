// SPDX-License-Identifier: Apache-2.0
#include "benchmark/prompt_writer.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/numeric.h"

namespace veloz::benchmark {
namespace {

// Ids below are special or single bytes in the vocabularies of Llama and GPT.
constexpr int64_t kFirstPlainId = 260;
constexpr int64_t kBytesPerToken = 4;  // of English text, about
constexpr int kMaxReshapes = 10;

// Frequent words, each one token with a space before it in the usual vocabularies.
constexpr std::array<std::string_view, 64> kWords = {
    "time",    "year",     "people", "way",    "day",     "man",    "thing",    "woman",
    "life",    "child",    "world",  "school", "state",   "family", "group",    "country",
    "problem", "hand",     "part",   "place",  "case",    "week",   "company",  "system",
    "program", "question", "work",   "number", "night",   "point",  "home",     "water",
    "room",    "mother",   "area",   "money",  "story",   "fact",   "month",    "lot",
    "right",   "study",    "book",   "eye",    "job",     "word",   "business", "issue",
    "side",    "kind",     "head",   "house",  "service", "friend", "father",   "power",
    "hour",    "game",     "line",   "end",    "member",  "law",    "car",      "city"};

}  // namespace

PromptWriter::Written PromptWriter::write(int64_t num_tokens, RandomStream& random) const {
  if (options_.form == PromptForm::token_ids) return {random_ids(num_tokens, random), num_tokens};
  const std::string text = text_of(num_tokens, random);
  return {text, options_.tokenizer != nullptr ? count_tokens(text) : num_tokens};
}

int64_t PromptWriter::count_tokens(const std::string& text) const {
  if (options_.tokenizer != nullptr)
    return static_cast<int64_t>(options_.tokenizer->encode(text).size());
  return std::max<int64_t>(1, ceil_div(static_cast<int64_t>(text.size()), kBytesPerToken));
}

std::vector<int32_t> PromptWriter::random_ids(int64_t count, RandomStream& random) const {
  const int64_t last = options_.vocab_size - 1;
  const int64_t first = kFirstPlainId <= last ? kFirstPlainId : 0;
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(narrow<int32_t>(random.integer(first, last)));
  return ids;
}

std::string PromptWriter::text_of(int64_t num_tokens, RandomStream& random) const {
  if (options_.tokenizer == nullptr) {
    std::string text;
    for (int64_t i = 0; i < num_tokens; ++i) {
      if (i > 0) text += ' ';
      text += kWords[static_cast<size_t>(random.integer(0, kWords.size() - 1))];
    }
    return text;
  }
  // Random tokens joined to text fall into other tokens: cut and lengthen until the count is right.
  std::vector<int32_t> ids = random_ids(num_tokens, random);
  std::string text = options_.tokenizer->decode(ids);
  for (int i = 0; i < kMaxReshapes; ++i) {
    ids = options_.tokenizer->encode(text, {.add_special_tokens = false});
    const auto count = static_cast<int64_t>(ids.size());
    if (count == num_tokens) break;
    if (count > num_tokens) {
      ids.resize(static_cast<size_t>(num_tokens));
    } else {
      const std::vector<int32_t> more = random_ids(num_tokens - count, random);
      ids.insert(ids.end(), more.begin(), more.end());
    }
    text = options_.tokenizer->decode(ids);
  }
  return text;
}

}  // namespace veloz::benchmark
