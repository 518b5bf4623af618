// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "benchmark/prompt_writer.h"
#include "veloz/llm.h"

namespace veloz::benchmark {

/// One request to make.
struct SampleRequest {
  Prompt prompt;
  int64_t num_prompt_tokens = 0;  // a guess where nothing could count them
  int64_t output_len = 0;         // new tokens asked for
  std::string group = {};         // "long" or "short" of a mixed set
};

/// Lengths of synthetic requests: uniform in length x (1 - range_ratio) ... length x (1 +
/// range_ratio).
struct SyntheticLengths {
  int64_t input_len = 1024;
  int64_t output_len = 128;
};

struct DatasetOptions {
  std::string name = "random";      // random, mixed, sharegpt, custom
  std::filesystem::path path = {};  // of sharegpt and custom
  int64_t num_prompts = 1000;
  uint64_t seed = 0;
  std::optional<int64_t> output_len = {};  // over what a file says
  SyntheticLengths random = {};            // also the short ones of mixed
  double random_range_ratio = 0;           // [0, 1)
  int64_t random_prefix_len = 0;           // tokens that all prompts share, before their own
  SyntheticLengths mixed_long = {.input_len = 2048, .output_len = 32};
  double mixed_long_share = 0.2;  // of the requests, [0, 1]
};

/// num_prompts + num_more requests. Of a file, in an order of the seed and over again where it has
/// too few. Throws Error: invalid_input for a name or number that is impossible or a file that
/// holds no usable request, not_found.
///
/// sharegpt  JSON list or JSONL of {"conversations": [{"value": prompt}, {"value": answer}, ...]};
///           the answer's length is asked for; conversations that are very short or long are left
///           out as `vllm bench serve` does
/// custom    JSONL of {"prompt": text or token ids, "output_len": n}
std::vector<SampleRequest> make_dataset(const DatasetOptions& options, const PromptWriter& writer,
                                        int64_t num_more = 0);

}  // namespace veloz::benchmark
