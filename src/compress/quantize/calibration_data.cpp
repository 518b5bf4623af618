// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/calibration_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "base/philox.h"
#include "eval/eval_set.h"

namespace veloz::compress {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Tokens = std::vector<int32_t>;

bool is_jsonl(const fs::path& file) {
  return file.extension() == ".jsonl" || file.extension() == ".json";
}

bool is_blank(const std::string& line) {
  return line.find_first_not_of(" \t\r") == std::string::npos;
}

/// Whether the lines of a JSONL file are plain texts; the first one decides.
bool holds_texts(const fs::path& file) {
  std::ifstream stream(file);
  std::string line;
  while (std::getline(stream, line)) {
    if (is_blank(line)) continue;
    const Json object = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    return object.is_object() && object.contains("text");
  }
  return false;
}

std::vector<Tokens> read_text_lines(const fs::path& file, const text::Tokenizer& tokenizer) {
  std::ifstream stream(file);
  std::vector<Tokens> texts;
  std::string line;
  for (int64_t number = 1; std::getline(stream, line); ++number) {
    if (is_blank(line)) continue;
    const Json object = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object() || !object.contains("text") || !object["text"].is_string())
      throw Error(ErrorKind::invalid_input,
                  fmt::format("{}, line {}, is no object with a string \"text\"",
                              file.filename().string(), number),
                  "each line of calibration data is like {\"text\": \"...\"}");
    texts.push_back(tokenizer.encode(object["text"].get_ref<const std::string&>()));
  }
  return texts;
}

std::vector<Tokens> read_file(const fs::path& file, const text::TextFiles& text,
                              int64_t max_length) {
  if (!fs::exists(file))
    throw Error(ErrorKind::not_found,
                fmt::format("there is no calibration data \"{}\"", file.string()),
                "give a JSONL or text file with --calibration");
  if (is_jsonl(file) && holds_texts(file)) return read_text_lines(file, *text.tokenizer);
  eval::EvalSet set;
  // Items that are longer are cut, as texts are.
  const eval::EvalSetOptions options{.task = {},
                                     .limit = {},
                                     .max_model_len = std::numeric_limits<int64_t>::max(),
                                     .max_text_window = max_length};
  if (is_jsonl(file))
    eval::add_items(set, file, text, options);
  else
    eval::add_text(set, file, text, options);
  std::vector<Tokens> texts;
  for (eval::ScoredText& scored : set.texts) texts.push_back(std::move(scored.tokens));
  return texts;
}

/// `count` of `size` indices, each set of them as likely as any other, in order.
std::vector<size_t> draw(size_t size, size_t count, uint64_t seed) {
  std::vector<size_t> indices(size);
  std::iota(indices.begin(), indices.end(), size_t{0});
  if (count >= size) return indices;
  for (size_t i = 0; i < count; ++i) {
    const auto words = philox4x32({static_cast<uint32_t>(i), 0, 0, 0},
                                  {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
    const uint64_t word = (static_cast<uint64_t>(words[0]) << 32) | words[1];
    std::swap(indices[i], indices[i + static_cast<size_t>(word % (size - i))]);
  }
  indices.resize(count);
  std::ranges::sort(indices);
  return indices;
}

void check(const CalibrationOptions& options) {
  if (options.files.empty())
    throw Error(ErrorKind::invalid_input, "no calibration data is given",
                "give a JSONL or text file of what the model is used for with --calibration");
  if (options.num_samples < 1)
    throw Error(ErrorKind::invalid_input,
                fmt::format("--num-samples is {}, it must be at least 1", options.num_samples),
                "128 is usual");
  if (options.max_length < 2)
    throw Error(ErrorKind::invalid_input,
                fmt::format("--max-length is {}, it must be at least 2", options.max_length),
                "1024 is usual");
}

}  // namespace

int64_t CalibrationData::num_tokens() const {
  int64_t count = 0;
  for (const Tokens& text : texts) count += static_cast<int64_t>(text.size());
  return count;
}

std::string CalibrationData::digest() const {
  StreamHasher hasher;
  for (const Tokens& text : texts) {
    hasher.update(std::as_bytes(std::span(text)));
    hasher.update(";");
  }
  return hasher.hex_digest();
}

CalibrationData load_calibration_data(const CalibrationOptions& options,
                                      const text::TextFiles& text,
                                      const checkpoint::ModelConfig& config) {
  check(options);
  const int64_t max_length = std::min(options.max_length, config.max_position_embeddings);
  if (!text.tokenizer)
    throw Error(ErrorKind::unsupported, "the model has no tokenizer, calibration data is text",
                "add its tokenizer.json or tokenizer.model to the directory");
  std::vector<Tokens> all;
  for (const fs::path& file : options.files)
    for (Tokens& tokens : read_file(file, text, max_length)) {
      if (tokens.size() > static_cast<size_t>(max_length))
        tokens.resize(static_cast<size_t>(max_length));
      if (!tokens.empty()) all.push_back(std::move(tokens));
    }
  CalibrationData data;
  for (const size_t i : draw(all.size(), static_cast<size_t>(options.num_samples), options.seed))
    data.texts.push_back(std::move(all[i]));
  for (const Tokens& tokens : data.texts)
    for (const int32_t token : tokens)
      if (token < 0 || token >= config.vocab_size)
        throw Error(
            ErrorKind::invalid_input,
            fmt::format("the tokenizer gives token {}, the model has {}", token, config.vocab_size),
            "tokenizer and weights are of different models");
  if (data.num_tokens() < kMinCalibrationTokens)
    throw Error(
        ErrorKind::invalid_input,
        fmt::format("the calibration data has {} tokens in {} texts, at least {} are needed",
                    data.num_tokens(), data.texts.size(), kMinCalibrationTokens),
        "give more texts with --calibration, or raise --num-samples or --max-length; "
        "128 texts of what the model is used for are usual");
  return data;
}

std::vector<TextBatch> make_batches(const CalibrationData& data) {
  std::vector<TextBatch> batches;
  int64_t num_tokens = kBatchTokens;  // of the last batch; a full one begins the first
  for (const Tokens& text : data.texts) {
    const auto length = static_cast<int64_t>(text.size());
    if (num_tokens + length > kBatchTokens) {
      batches.emplace_back();
      num_tokens = 0;
    }
    batches.back().texts.emplace_back(text);
    num_tokens += length;
  }
  return batches;
}

}  // namespace veloz::compress
