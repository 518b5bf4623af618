// SPDX-License-Identifier: Apache-2.0
#include "benchmark/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "benchmark/dataset_file.h"

namespace veloz::benchmark {
namespace {

void require(bool is_fine, std::string_view flag, const auto& value, std::string_view wanted) {
  if (!is_fine)
    throw Error(ErrorKind::invalid_input, fmt::format("{} {} is not possible", flag, value),
                fmt::format("it must be {}", wanted));
}

void check(const DatasetOptions& options) {
  require(options.num_prompts > 0, "--num-prompts", options.num_prompts, "above 0");
  require(options.random.input_len > 0, "--random-input-len", options.random.input_len, "above 0");
  require(options.random.output_len > 0, "--random-output-len", options.random.output_len,
          "above 0");
  require(options.random_prefix_len >= 0, "--random-prefix-len", options.random_prefix_len,
          "0 or more");
  require(options.random_range_ratio >= 0 && options.random_range_ratio < 1, "--random-range-ratio",
          options.random_range_ratio, "0 or more, and below 1");
  require(options.mixed_long.input_len > 0, "--mixed-long-input-len", options.mixed_long.input_len,
          "above 0");
  require(options.mixed_long.output_len > 0, "--mixed-long-output-len",
          options.mixed_long.output_len, "above 0");
  require(options.mixed_long_share >= 0 && options.mixed_long_share <= 1, "--mixed-long-share",
          options.mixed_long_share, "from 0 to 1");
  if (options.output_len)
    require(*options.output_len > 0, "--output-len", *options.output_len, "above 0");
}

int64_t spread(int64_t length, double ratio, RandomStream& random) {
  const auto scaled = [&](double factor) {
    return std::max<int64_t>(1, std::llround(static_cast<double>(length) * factor));
  };
  return random.integer(scaled(1 - ratio), scaled(1 + ratio));
}

/// A prompt of the shared prefix and `num_tokens` of its own.
Prompt with_prefix(const Prompt& prefix, Prompt own) {
  if (const auto* const ids = std::get_if<std::vector<int32_t>>(&prefix)) {
    std::vector<int32_t> all = *ids;
    const auto& more = std::get<std::vector<int32_t>>(own);
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  return std::get<std::string>(prefix) + " " + std::get<std::string>(own);
}

/// Makes synthetic requests, each independent of how many came before but for the random numbers.
class SyntheticSet {
 public:
  SyntheticSet(const DatasetOptions& options, const PromptWriter& writer)
      : options_(options),
        writer_(writer),
        lengths_(options.seed, RandomUse::lengths),
        tokens_(options.seed, RandomUse::tokens) {
    if (options.random_prefix_len > 0) prefix_ = writer.write(options.random_prefix_len, tokens_);
  }

  SampleRequest make(const SyntheticLengths& lengths, std::string group = {}) {
    const int64_t input_len = spread(lengths.input_len, options_.random_range_ratio, lengths_);
    const int64_t output_len = spread(lengths.output_len, options_.random_range_ratio, lengths_);
    PromptWriter::Written own = writer_.write(input_len, tokens_);
    SampleRequest request{std::move(own.prompt), own.num_tokens, output_len, std::move(group)};
    if (prefix_) {
      request.prompt = with_prefix(prefix_->prompt, std::move(request.prompt));
      request.num_prompt_tokens += prefix_->num_tokens;
    }
    return request;
  }

 private:
  const DatasetOptions& options_;
  const PromptWriter& writer_;
  RandomStream lengths_, tokens_;
  std::optional<PromptWriter::Written> prefix_;
};

std::vector<SampleRequest> make_random(const DatasetOptions& options, const PromptWriter& writer,
                                       int64_t count) {
  SyntheticSet set(options, writer);
  std::vector<SampleRequest> requests;
  for (int64_t i = 0; i < count; ++i) requests.push_back(set.make(options.random));
  return requests;
}

/// Long ones spread evenly, so that every part of a run has the same mix.
std::vector<SampleRequest> make_mixed(const DatasetOptions& options, const PromptWriter& writer,
                                      int64_t count) {
  SyntheticSet set(options, writer);
  std::vector<SampleRequest> requests;
  double owed = 0;
  for (int64_t i = 0; i < count; ++i) {
    owed += options.mixed_long_share;
    const bool is_long = owed >= 1 - 1e-9;
    if (is_long) owed -= 1;
    requests.push_back(is_long ? set.make(options.mixed_long, "long")
                               : set.make(options.random, "short"));
  }
  return requests;
}

void shuffle(std::vector<SampleRequest>& requests, uint64_t seed) {
  RandomStream random(seed, RandomUse::order);
  for (size_t i = requests.size(); i > 1; --i)
    std::swap(requests[i - 1],
              requests[static_cast<size_t>(random.integer(0, static_cast<int64_t>(i) - 1))]);
}

/// `count` of a file's requests, in an order of the seed.
std::vector<SampleRequest> repeat(std::vector<SampleRequest> all, const DatasetOptions& options,
                                  int64_t count) {
  if (all.empty())
    throw Error(ErrorKind::invalid_input,
                fmt::format("\"{}\" holds no usable request", options.path.string()),
                "check --dataset-name; lengths out of range are left out");
  shuffle(all, options.seed);
  std::vector<SampleRequest> requests;
  for (int64_t i = 0; i < count; ++i) requests.push_back(all[static_cast<size_t>(i) % all.size()]);
  return requests;
}

}  // namespace

std::vector<SampleRequest> make_dataset(const DatasetOptions& options, const PromptWriter& writer,
                                        int64_t num_more) {
  check(options);
  const int64_t count = options.num_prompts + num_more;
  if (options.name == "random") return make_random(options, writer, count);
  if (options.name == "mixed") return make_mixed(options, writer, count);
  if (options.name == "sharegpt") return repeat(read_sharegpt(options, writer), options, count);
  if (options.name == "custom") return repeat(read_custom(options, writer), options, count);
  throw Error(ErrorKind::invalid_input,
              fmt::format("--dataset-name \"{}\" is not known", options.name),
              "it is random, mixed, sharegpt or custom");
}

}  // namespace veloz::benchmark
