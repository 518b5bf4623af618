// SPDX-License-Identifier: Apache-2.0
#include "serving/sampling_params.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace veloz::serving {
namespace {

/// `parameter` is `value`, which is not `allowed` ("at least 1").
template <typename T>
[[noreturn]] void refuse(std::string_view parameter, const T& value, const std::string& allowed) {
  throw Error(ErrorKind::invalid_input,
              fmt::format("{} is {}, allowed is {}", parameter, value, allowed),
              "give an allowed value, or leave it out");
}

void check_at_least(std::string_view parameter, int64_t value, int64_t min) {
  if (value < min) refuse(parameter, value, fmt::format("{} or more", min));
}

void check_at_most(std::string_view parameter, int64_t value, int64_t max) {
  if (value > max) refuse(parameter, value, fmt::format("at most {}", max));
}

void check_token_id(std::string_view parameter, int32_t id, int64_t vocab_size) {
  if (id < 0 || id >= vocab_size)
    refuse(parameter, id, fmt::format("a token id from 0 to {}", vocab_size - 1));
}

void check_lengths(const SamplingParams& params) {
  check_at_least("max_tokens", params.max_tokens, 1);
  check_at_least("min_tokens", params.min_tokens, 0);
  check_at_most("min_tokens", params.min_tokens, params.max_tokens);
  check_at_least("no_repeat_ngram_size", params.no_repeat_ngram_size, 0);
}

// Written as "not (inside)", so that NaN is outside.
void check_numbers(const SamplingParams& params) {
  if (!(params.temperature >= 0 && std::isfinite(params.temperature)))
    refuse("temperature", params.temperature, "0 (greedy) or more");
  check_at_least("top_k", params.top_k, 0);
  if (!(params.top_p > 0 && params.top_p <= 1))
    refuse("top_p", params.top_p, "above 0 and at most 1");
  if (!(params.min_p >= 0 && params.min_p < 1)) refuse("min_p", params.min_p, "from 0 to below 1");
  if (!(params.repetition_penalty > 0 && std::isfinite(params.repetition_penalty)))
    refuse("repetition_penalty", params.repetition_penalty, "above 0");
  if (!(std::abs(params.presence_penalty) <= 2))
    refuse("presence_penalty", params.presence_penalty, "from -2 to 2");
  if (!(std::abs(params.frequency_penalty) <= 2))
    refuse("frequency_penalty", params.frequency_penalty, "from -2 to 2");
}

void check_logit_bias(const SamplingParams& params, int64_t vocab_size) {
  check_at_most("the number of logit_bias entries", std::ssize(params.logit_bias), kMaxLogitBiases);
  std::vector<int32_t> ids;
  for (const auto& [id, bias] : params.logit_bias) {
    check_token_id("logit_bias id", id, vocab_size);
    if (!(std::abs(bias) <= 100)) refuse("logit_bias value", bias, "from -100 to 100");
    ids.push_back(id);
  }
  std::sort(ids.begin(), ids.end());
  const auto twice = std::adjacent_find(ids.begin(), ids.end());
  if (twice != ids.end()) refuse("logit_bias id", *twice, "to be given once");
}

void check_stops(const SamplingParams& params, int64_t vocab_size) {
  check_at_most("the number of stop strings", std::ssize(params.stop), kMaxStopStrings);
  for (const std::string& stop : params.stop)
    if (stop.empty())
      throw Error(ErrorKind::invalid_input, "a stop string is empty",
                  "leave it out: an empty string matches everywhere");
  check_at_most("the number of stop_token_ids", std::ssize(params.stop_token_ids),
                kMaxStopTokenIds);
  for (const int32_t id : params.stop_token_ids)
    check_token_id("stop_token_ids entry", id, vocab_size);
}

void check_bad_words(const SamplingParams& params) {
  check_at_most("the number of bad_words", std::ssize(params.bad_words), kMaxBadWords);
  for (const std::string& word : params.bad_words)
    if (word.empty()) throw Error(ErrorKind::invalid_input, "a bad word is empty", "leave it out");
}

void check_logprobs(std::string_view parameter, const std::optional<int64_t>& wanted,
                    const SamplingLimits& limits) {
  if (!wanted) return;
  check_at_least(parameter, *wanted, 0);
  check_at_most(parameter, *wanted, std::min(limits.max_logprobs, limits.vocab_size));
}

void check_beams(const SamplingParams& params, const SamplingLimits& limits) {
  check_at_least("num_beams", params.num_beams, 1);
  check_at_most("num_beams", params.num_beams, limits.max_beam_width);
  if (!(std::abs(params.length_penalty) <= 100))
    refuse("length_penalty", params.length_penalty, "from -100 to 100");
  if (params.num_beams == 1) return;
  const std::string reason = fmt::format("num_beams is {}", params.num_beams);
  const auto require_neutral = [&](std::string_view parameter, bool is_neutral,
                                   std::string_view neutral) {
    if (!is_neutral)
      throw Error(ErrorKind::invalid_input,
                  fmt::format("{} cannot be combined with beam search ({})", parameter, reason),
                  fmt::format("leave it at {}, or set num_beams to 1", neutral));
  };
  if (params.n > params.num_beams)
    refuse("n", params.n, fmt::format("at most num_beams, {}, with beam search", params.num_beams));
  require_neutral("temperature", params.temperature == 1 || params.temperature == 0, "1");
  require_neutral("top_k", params.top_k == 0, "0");
  require_neutral("top_p", params.top_p == 1, "1");
  require_neutral("min_p", params.min_p == 0, "0");
  require_neutral("presence_penalty", params.presence_penalty == 0, "0");
  require_neutral("frequency_penalty", params.frequency_penalty == 0, "0");
  require_neutral("stop", params.stop.empty(), "no string, use stop_token_ids");
  require_neutral("logprobs", !params.logprobs, "none");
}

}  // namespace

void validate(const SamplingParams& params, const SamplingLimits& limits) {
  check_lengths(params);
  check_numbers(params);
  check_at_least("n", params.n, 1);
  check_logprobs("logprobs", params.logprobs, limits);
  check_logprobs("prompt_logprobs", params.prompt_logprobs, limits);
  check_logit_bias(params, limits.vocab_size);
  check_stops(params, limits.vocab_size);
  check_bad_words(params);
  check_beams(params, limits);
}

void validate_constraints(const Request& request, const SamplingLimits& limits) {
  const SamplingParams& params = request.params;
  if (!request.masks.empty()) {
    if (params.num_beams > 1)
      throw Error(ErrorKind::invalid_input,
                  fmt::format("structured output cannot be combined with beam search (num_beams "
                              "is {})",
                              params.num_beams),
                  "set num_beams to 1");
    if (std::ssize(request.masks) != params.n)
      refuse("the number of token masks", request.masks.size(),
             fmt::format("none, or n = {}", params.n));
  }
  check_at_most("the number of bad words' token sequences", std::ssize(request.bad_words),
                kMaxBadWordSequences);
  for (const std::vector<int32_t>& word : request.bad_words) {
    if (word.empty())
      throw Error(ErrorKind::invalid_input, "a bad word has no tokens", "leave it out");
    for (const int32_t id : word) check_token_id("token of a bad word", id, limits.vocab_size);
  }
}

std::vector<int32_t> end_token_ids(const SamplingParams& params,
                                   std::span<const int32_t> eos_token_ids) {
  std::vector<int32_t> ids = params.stop_token_ids;
  if (!params.ignore_eos) ids.insert(ids.end(), eos_token_ids.begin(), eos_token_ids.end());
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

}  // namespace veloz::serving
