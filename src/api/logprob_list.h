// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "serving/request.h"
#include "veloz/llm.h"

namespace veloz::api {

/// As the public interface has them.
inline std::vector<TokenLogprob> logprob_list(std::span<const serving::TokenLogprob> entries) {
  std::vector<TokenLogprob> list;
  list.reserve(entries.size());
  for (const serving::TokenLogprob& entry : entries) list.push_back({entry.token, entry.logprob});
  return list;
}

/// Of a generated token: it first, then the best ones.
inline std::vector<TokenLogprob> logprob_list(const serving::TokenEvent& event) {
  std::vector<TokenLogprob> list = logprob_list(event.top);
  list.insert(list.begin(), {event.token, event.logprob.value_or(0)});
  return list;
}

/// Of prompt tokens.
inline std::vector<std::vector<TokenLogprob>> logprob_lists(const serving::PromptEvent& event) {
  std::vector<std::vector<TokenLogprob>> lists;
  lists.reserve(event.logprobs.size());
  for (const auto& token : event.logprobs) lists.push_back(logprob_list(token));
  return lists;
}

}  // namespace veloz::api
