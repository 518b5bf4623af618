// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "veloz/llm.h"

/// Eight requests that have little in common, and what must not depend on how they are run.
namespace veloz::test {

struct MixedRequest {
  Prompt prompt;
  SamplingParams params;
  /// Sequences that run at once.
  int64_t width() const { return std::max(params.n, params.num_beams); }
};

/// `num_tokens` token ids that look like nothing.
inline std::vector<int32_t> scattered_ids(int64_t num_tokens, int64_t salt, int64_t vocab_size) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < num_tokens; ++i)
    ids.push_back(static_cast<int32_t>((i * i * 31 + i * 7919 + salt * 104729) % vocab_size));
  return ids;
}

/// Greedy, sampled, penalised, several choices, beams. Prompts of 1 to 260 tokens, so that they
/// end inside, at and behind blocks of 64 positions and attention's leaves of 256; 15 sequences in
/// all. Each gives up to `max_tokens` tokens.
inline std::vector<MixedRequest> mixed_requests(int64_t vocab_size, int64_t max_tokens) {
  std::vector<MixedRequest> requests;
  const auto add = [&](int64_t num_prompt_tokens) -> SamplingParams& {
    const auto salt = static_cast<int64_t>(requests.size());
    requests.push_back({scattered_ids(num_prompt_tokens, salt, vocab_size), {}});
    SamplingParams& params = requests.back().params;
    params.max_tokens = max_tokens;
    params.ignore_eos = true;
    params.seed = 1000 + static_cast<uint64_t>(salt);
    return params;
  };
  SamplingParams& greedy = add(260);
  greedy.temperature = 0;
  greedy.logprobs = 3;

  SamplingParams& short_prompt = add(1);
  short_prompt.temperature = 0.8;
  short_prompt.top_p = 0.9;
  short_prompt.logprobs = 0;

  SamplingParams& penalised = add(40);
  penalised.repetition_penalty = 1.3;
  penalised.presence_penalty = 0.5;
  penalised.frequency_penalty = 0.4;
  penalised.logprobs = 5;

  SamplingParams& choices = add(65);
  choices.n = 3;
  choices.top_k = 20;
  choices.logprobs = 1;

  SamplingParams& beams = add(130);
  beams.num_beams = 4;
  beams.n = 2;
  beams.length_penalty = 0.7;
  beams.stop_token_ids = {5, 6, 7};

  SamplingParams& biased = add(17);
  biased.temperature = 1.5;
  biased.min_p = 0.05;
  biased.logit_bias = {{3, 2.0f}, {4, -100.0f}};
  biased.min_tokens = 3;
  biased.stop_token_ids = {3};
  biased.logprobs = 2;

  SamplingParams& brief = add(64);
  brief.temperature = 0;
  brief.max_tokens = std::max<int64_t>(1, max_tokens / 3);
  brief.no_repeat_ngram_size = 2;

  SamplingParams& strict_beams = add(7);
  strict_beams.num_beams = 3;
  strict_beams.early_stopping = EarlyStopping::never;
  strict_beams.no_repeat_ngram_size = 2;
  strict_beams.min_tokens = 4;
  strict_beams.stop_token_ids = {8, 9};
  return requests;
}

/// All that a request's parameters and prompt determine, bit by bit, in readable form.
inline std::string fingerprint(const RequestOutput& output) {
  if (output.error) return "error: " + output.error->message();
  std::string text = fmt::format("seed {}\n", output.seed);
  for (const Completion& completion : output.completions) {
    text += fmt::format(
        "{} {} score {:x}: {}\n", completion.index, to_string(completion.finish_reason),
        std::bit_cast<uint64_t>(completion.score), fmt::join(completion.token_ids, " "));
    for (const std::vector<TokenLogprob>& logprobs : completion.logprobs)
      for (const TokenLogprob& entry : logprobs)
        text += fmt::format(" {}:{:08x}", entry.token_id, std::bit_cast<uint32_t>(entry.logprob));
    text += "\n" + completion.text + "\n";
  }
  return text;
}

/// Fingerprints of `requests` run in one call, in the order of `requests` though submitted in
/// `order`.
inline std::vector<std::string> run_together(LLM& llm, const std::vector<MixedRequest>& requests,
                                             const std::vector<size_t>& order) {
  std::vector<Prompt> prompts;
  std::vector<SamplingParams> params;
  for (const size_t i : order) {
    prompts.push_back(requests[i].prompt);
    params.push_back(requests[i].params);
  }
  const std::vector<RequestOutput> outputs = llm.generate(prompts, params);
  std::vector<std::string> fingerprints(order.size());
  for (size_t i = 0; i < order.size(); ++i) fingerprints[order[i]] = fingerprint(outputs[i]);
  return fingerprints;
}

inline std::vector<size_t> as_listed(const std::vector<MixedRequest>& requests) {
  std::vector<size_t> order(requests.size());
  std::iota(order.begin(), order.end(), size_t{0});
  return order;
}

/// Fingerprints of each request run when nothing else is.
inline std::vector<std::string> run_alone(LLM& llm, const std::vector<MixedRequest>& requests) {
  std::vector<std::string> fingerprints;
  for (const MixedRequest& request : requests)
    fingerprints.push_back(fingerprint(llm.generate(request.prompt, request.params)));
  return fingerprints;
}

}  // namespace veloz::test
