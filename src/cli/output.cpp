// SPDX-License-Identifier: Apache-2.0
#include "cli/output.h"

#include <fmt/format.h>

#include "cli/terminal.h"

namespace veloz::cli {
namespace {

int64_t count_tokens(const RequestOutput& output) {
  int64_t count = 0;
  for (const Completion& completion : output.completions)
    count += static_cast<int64_t>(completion.token_ids.size());
  return count;
}

/// Tokens after the first per second since the first; of beam search, whose tokens come at the end,
/// all tokens per second since submission. 0 where there are too few to tell.
double decode_rate(const RequestOutput& output) {
  const bool is_streamed = output.completions.front().score == 0;
  const double seconds = output.timing.total_s - (is_streamed ? output.timing.ttft_s : 0);
  const int64_t count =
      count_tokens(output) - (is_streamed ? static_cast<int64_t>(output.completions.size()) : 0);
  return seconds > 0 && count > 0 ? static_cast<double>(count) / seconds : 0;
}

nlohmann::ordered_json to_json(const std::vector<std::vector<TokenLogprob>>& logprobs) {
  nlohmann::ordered_json tokens = nlohmann::ordered_json::array();
  for (const auto& alternatives : logprobs) {
    nlohmann::ordered_json& list = tokens.emplace_back(nlohmann::ordered_json::array());
    for (const TokenLogprob& entry : alternatives)
      list.push_back({{"token_id", entry.token_id}, {"logprob", entry.logprob}});
  }
  return tokens;
}

nlohmann::ordered_json to_json(const Completion& completion) {
  nlohmann::ordered_json json = {{"text", completion.text},
                                 {"token_ids", completion.token_ids},
                                 {"finish_reason", to_string(completion.finish_reason)}};
  if (!completion.stop_reason.empty()) json["stop_reason"] = completion.stop_reason;
  if (completion.score != 0) json["score"] = completion.score;
  if (!completion.logprobs.empty()) json["logprobs"] = to_json(completion.logprobs);
  return json;
}

}  // namespace

nlohmann::ordered_json to_json(const RequestOutput& output) {
  if (output.error)
    return {{"error", {{"message", output.error->message()}, {"hint", output.error->hint()}}}};
  nlohmann::ordered_json json = to_json(output.completions.front());
  const int64_t num_prompt = static_cast<int64_t>(output.prompt_token_ids.size());
  const int64_t num_new = count_tokens(output);
  json["usage"] = {{"prompt_tokens", num_prompt},
                   {"completion_tokens", num_new},
                   {"total_tokens", num_prompt + num_new}};
  json["timing"] = {{"ttft_s", output.timing.ttft_s},
                    {"total_s", output.timing.total_s},
                    {"decode_tokens_per_s", decode_rate(output)}};
  json["seed"] = output.seed;
  if (!output.prompt_logprobs.empty()) json["prompt_logprobs"] = to_json(output.prompt_logprobs);
  if (output.completions.size() > 1) {
    nlohmann::ordered_json& choices = json["choices"] = nlohmann::ordered_json::array();
    for (const Completion& completion : output.completions) choices.push_back(to_json(completion));
  }
  return json;
}

std::string describe(const RequestOutput& output, double load_s,
                     const std::filesystem::path& engine) {
  return fmt::format("load {}, TTFT {} ({} prompt tokens), {} tokens at {:.1f} tokens/s, engine {}",
                     format_seconds(load_s), format_seconds(output.timing.ttft_s),
                     output.prompt_token_ids.size(), count_tokens(output), decode_rate(output),
                     engine.string());
}

}  // namespace veloz::cli
