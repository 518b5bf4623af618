// SPDX-License-Identifier: Apache-2.0
#include "benchmark/serving_benchmark.h"

#include <fmt/format.h>

#include <span>

#include "base/error.h"

namespace veloz::benchmark {
namespace {

std::string without_trailing_slash(std::string url) {
  while (url.ends_with('/')) url.pop_back();
  return url;
}

bool is_synthetic(const DatasetOptions& dataset) {
  return dataset.name == "random" || dataset.name == "mixed";
}

PromptWriter::Options writer_options(const ServingBenchmarkOptions& options,
                                     const text::Tokenizer* tokenizer) {
  if (options.vocab_size < 1)
    throw Error(ErrorKind::invalid_input,
                fmt::format("--random-vocab-size {} is not possible", options.vocab_size),
                "it must be above 0");
  return {
      .form = options.format.backend == Backend::openai ? PromptForm::token_ids : PromptForm::text,
      .vocab_size = tokenizer != nullptr ? tokenizer->vocab_size() : options.vocab_size,
      .tokenizer = tokenizer};
}

}  // namespace

ServingBenchmark::ServingBenchmark(const ServingBenchmarkOptions& options) : options_(options) {
  check(options.arrivals);
  if (!options.tokenizer.empty()) tokenizer_ = text::Tokenizer::load(options.tokenizer);
  writer_ = std::make_unique<PromptWriter>(writer_options(options, tokenizer_.get()));
  const std::string base_url = without_trailing_slash(options.base_url);
  target_ = {.url = base_url + (options.endpoint.empty() ? default_endpoint(options.format.backend)
                                                         : options.endpoint),
             .headers = options.headers,
             .format = options.format};
  target_.headers.emplace_back("Content-Type", "application/json");
  target_.format.ignore_eos = options.ignore_eos.value_or(is_synthetic(options.dataset));
  if (target_.format.model.empty())
    target_.format.model = first_model(client_, base_url, options.headers);
  warm_up();
}

ServingBenchmark::~ServingBenchmark() = default;

std::vector<SampleRequest> ServingBenchmark::requests(uint64_t round, int64_t num_more) const {
  DatasetOptions dataset = options_.dataset;
  dataset.seed += round;
  return make_dataset(dataset, *writer_, num_more);
}

void ServingBenchmark::warm_up() {
  // The last ones, which no round sends.
  const std::vector<SampleRequest> all = requests(0, options_.num_warmups);
  const std::span<const SampleRequest> warmups =
      std::span(all).last(static_cast<size_t>(options_.num_warmups));
  const std::vector<double> at_once(warmups.size(), 0.0);
  const LoadRun run =
      run_load(client_, target_, warmups, at_once, {.max_concurrency = 1}, tokenizer_.get());
  for (const RequestResult& result : run.results)
    if (!result.is_ok())
      throw Error(ErrorKind::io,
                  fmt::format("a first request to {} failed: {}", target_.url, result.error),
                  "check that the server is up, and --base-url, --endpoint, --model and --backend");
}

LoadRun ServingBenchmark::run(double request_rate, uint64_t round, const LoadOptions& load) {
  const std::vector<double> arrivals = arrival_times({.request_rate = request_rate,
                                                      .burstiness = options_.arrivals.burstiness,
                                                      .seed = options_.dataset.seed + round},
                                                     options_.dataset.num_prompts);
  return run_load(client_, target_, requests(round, 0), arrivals, load, tokenizer_.get());
}

}  // namespace veloz::benchmark
