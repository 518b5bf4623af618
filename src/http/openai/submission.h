// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "grammar/grammar.h"
#include "http/metrics.h"
#include "http/openai/answer.h"
#include "http/openai/context.h"
#include "http/openai/generation_stream.h"
#include "http/openai/grammar_cache.h"
#include "net/exchange.h"

namespace veloz::http::openai {

/// A request that is understood: what to generate, and how to answer it.
struct Job {
  std::shared_ptr<net::Exchange> exchange;
  std::unique_ptr<Answer> answer;
  SamplingParams params;  // the engine's; max_tokens set
  int64_t priority = 0;
  std::string cache_salt;
  StructuredOutput structured_output;
};

/// Brings jobs to the engine: grammar compiled, stop strings watched, words banned.
class Submitter {
 public:
  Submitter(const Context& context, Metrics& metrics, const GrammarCache::Options& grammars);

  /// Throws RequestError for what the engine would refuse, and what would take too much memory.
  void check(const AnswerPlan& plan) const;
  /// From any thread, with a plan that was checked. Throws Error where nothing was begun;
  /// afterwards the exchange is answered by whatever happens.
  void submit(Job job);

 private:
  void submit_with(Job& job, const grammar::GrammarPtr& grammar);
  serving::Request make_request(const Job& job, size_t prompt_idx,
                                const grammar::GrammarPtr& grammar);
  std::shared_ptr<const grammar::Vocabulary> vocabulary();

  const Context& context_;
  Metrics& metrics_;
  std::once_flag vocabulary_made_;
  std::shared_ptr<const grammar::Vocabulary> vocabulary_;
  GrammarCache grammars_;  // last: its threads use all the others
};

}  // namespace veloz::http::openai
