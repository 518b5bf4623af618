// SPDX-License-Identifier: Apache-2.0
// Times structured output: compiling a grammar, then filling the mask before each token of a text,
// on a matcher whose vocabulary never saw the grammar (cold) and again (warm). The least that a
// fill can cost is writing the mask, which is timed beside it.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/thread_clock.h"
#include "bench/harness.h"
#include "grammar/grammar.h"
#include "text/tokenizer.h"

namespace veloz::bench {
namespace {

constexpr std::string_view kPersonSchema = R"({
  "type": "object",
  "properties": {
    "name": {"type": "string"}, "age": {"type": "integer", "minimum": 0, "maximum": 150},
    "email": {"type": "string", "format": "email"},
    "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}, "maxItems": 5},
    "address": {"type": "object", "properties": {"street": {"type": "string", "maxLength": 80},
      "zip": {"type": "string", "pattern": "^[0-9]{5}$"}}, "required": ["street"]},
    "notes": {"anyOf": [{"type": "string"}, {"type": "null"}]}
  },
  "required": ["name", "age", "tags", "address"]
})";
constexpr std::string_view kPerson =
    "{\"name\": \"Ada Lovelace, Countess\", \"age\": 36, \"email\": \"ada@example.org\", \"tags\": "
    "[\"red\", \"blue\"], \"address\": {\"street\": \"12 St. James's Square, London\", \"zip\": "
    "\"12345\"}, \"notes\": \"She wrote the first program for a machine that was never built.\"}";
constexpr std::string_view kAnyObject =
    "{\n  \"title\": \"A list of things\",\n  \"items\": [\n    {\"id\": 1, \"value\": 2.5e10, "
    "\"ok\": true},\n    {\"id\": 2, \"value\": null, \"text\": \"line one\\nline two\"}\n  ],\n  "
    "\"nested\": {\"a\": {\"b\": {\"c\": [[], [1, 2, 3]]}}}\n}";
constexpr std::string_view kArithmetic =
    "root ::= (expr \"=\" ws term \"\\n\")+\n"
    "expr ::= term ([-+*/] ws term)*\n"
    "term ::= ident | num | \"(\" ws expr \")\" ws\n"
    "ident ::= [a-z] [a-z0-9_]* ws\n"
    "num ::= [0-9]+ ws\n"
    "ws ::= \" \"?\n";

/// Of this thread: a fill waits for nothing, and other programs must not count.
double microseconds_of(const std::function<void()>& f) {
  const double start_s = thread_cpu_s();
  f();
  return (thread_cpu_s() - start_s) * 1e6;
}

struct GrammarCase {
  std::string name;
  std::function<grammar::GrammarPtr()> compile;
  std::string text;
};

std::vector<GrammarCase> cases() {
  return {
      {"json_object", [] { return grammar::compile_json_object(); }, std::string(kAnyObject)},
      {"json_schema", [] { return grammar::compile_json_schema(kPersonSchema); },
       std::string(kPerson)},
      {"regex",
       [] { return grammar::compile_regex(R"([A-Z][a-z]+( [a-z]+){3,40}\. Call \d{3}-\d{4}!)"); },
       "The quick brown fox jumps over the lazy dog and sleeps. Call 555-1234!"},
      {"ebnf", [] { return grammar::compile_ebnf(kArithmetic); },
       "a1 + (b * 22 - c_3) / 7 = result\nx = y\n"},
  };
}

struct Times {
  std::vector<double> fill_us;
  std::vector<double> accept_us;
};

/// One text through a new matcher.
Times run(const grammar::GrammarPtr& grammar,
          const std::shared_ptr<const grammar::Vocabulary>& vocabulary,
          const std::vector<int32_t>& tokens, std::vector<uint32_t>& mask) {
  grammar::Matcher matcher(grammar, vocabulary);
  Times times;
  for (const int32_t token : tokens) {
    times.fill_us.push_back(microseconds_of([&] { matcher.fill(mask); }));
    bool is_accepted = false;
    times.accept_us.push_back(microseconds_of([&] { is_accepted = matcher.accept(token); }));
    const auto t = static_cast<uint32_t>(token);
    VELOZ_CHECK(is_accepted && (mask[t / 32] >> (t % 32) & 1) != 0, "token {} is not allowed",
                token);
  }
  return times;
}

double p99(std::vector<double> values) {
  std::ranges::sort(values);
  return values[(values.size() - 1) * 99 / 100];
}

int run_all(const std::filesystem::path& tokenizer_dir, const Options& options) {
  const auto tokenizer = text::Tokenizer::load(tokenizer_dir);
  const int64_t vocab_size = tokenizer->vocab_size();
  const int32_t end[] = {2};
  std::vector<uint32_t> mask(static_cast<size_t>(vocab_size + 31) / 32);
  std::vector<uint32_t> copy(mask.size());
  if (!options.json)
    fmt::print("{:<12} {:>7} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}\n", "grammar",
               "vocab", "compile_ms", "cold_us", "cold_max", "warm_us", "warm_p99", "warm_max",
               "accept_us", "copy_us");
  for (const GrammarCase& c : cases()) {
    if (c.name.find(options.filter) == std::string::npos) continue;
    const auto tokens = tokenizer->encode(c.text, {.add_special_tokens = false});
    std::vector<double> compile_ms, copy_us;
    Times cold, warm;
    for (int i = 0; i < options.runs; ++i) {
      const auto vocabulary = grammar::make_vocabulary(*tokenizer, vocab_size, end);
      grammar::GrammarPtr grammar;
      compile_ms.push_back(1e-3 * microseconds_of([&] { grammar = c.compile(); }));
      const auto add = [](Times& all, const Times& more) {
        all.fill_us.insert(all.fill_us.end(), more.fill_us.begin(), more.fill_us.end());
        all.accept_us.insert(all.accept_us.end(), more.accept_us.begin(), more.accept_us.end());
      };
      add(cold, run(grammar, vocabulary, tokens, mask));
      add(warm, run(grammar, vocabulary, tokens, mask));
      copy_us.push_back(microseconds_of([&] { std::ranges::copy(mask, copy.begin()); }));
    }
    const double cold_max = *std::ranges::max_element(cold.fill_us);
    const double warm_max = *std::ranges::max_element(warm.fill_us);
    if (options.json)
      fmt::print(
          "{{\"bench\": \"grammar\", \"grammar\": \"{}\", \"vocab_size\": {}, \"tokens\": {}, "
          "\"runs\": {}, \"compile_ms\": {:.3f}, \"cold_median_us\": {:.2f}, \"cold_max_us\": "
          "{:.2f}, \"warm_median_us\": {:.2f}, \"warm_p99_us\": {:.2f}, \"warm_max_us\": {:.2f}, "
          "\"accept_median_us\": {:.3f}, \"against\": \"mask_copy_us\", \"mask_copy_us\": "
          "{:.3f}}}\n",
          c.name, vocab_size, tokens.size(), options.runs, median(compile_ms), median(cold.fill_us),
          cold_max, median(warm.fill_us), p99(warm.fill_us), warm_max, median(warm.accept_us),
          median(copy_us));
    else
      fmt::print(
          "{:<12} {:>7} {:>10.3f} {:>9.2f} {:>9.1f} {:>9.2f} {:>9.2f} {:>9.1f} {:>9.3f} {:>9.3f}\n",
          c.name, vocab_size, median(compile_ms), median(cold.fill_us), cold_max,
          median(warm.fill_us), p99(warm.fill_us), warm_max, median(warm.accept_us),
          median(copy_us));
  }
  return 0;
}

}  // namespace
}  // namespace veloz::bench

int main(int argc, char** argv) {
  CLI::App app("times masks of structured output");
  veloz::bench::Options options;
  std::filesystem::path tokenizer;
  app.add_option("--tokenizer", tokenizer, "directory with a tokenizer.json")->required();
  veloz::bench::add_flags(app, options);
  return veloz::bench::run_main(app, argc, argv,
                                [&] { return veloz::bench::run_all(tokenizer, options); });
}
