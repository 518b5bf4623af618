// SPDX-License-Identifier: Apache-2.0
#include "serving/generation.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/numeric.h"
#include "serving/beam_search.h"

namespace veloz::serving {
namespace {

/// Throws where the rows of `where` gave nothing.
void check_fault(const runtime::GroupResult& result, const std::string& where) {
  if (!result.fault) return;
  const bool is_banned = *result.fault == runtime::SampleFault::all_tokens_banned;
  throw Error(is_banned ? ErrorKind::invalid_input : ErrorKind::internal,
              fmt::format("{}: {}", where, to_string(*result.fault)),
              is_banned ? "loosen no_repeat_ngram_size, logit_bias, bad_words, min_tokens or the "
                          "structured output"
                        : "the checkpoint may hold NaN or infinite weights; `veloz build` warns of "
                          "them");
}

std::string output_token(int64_t length) { return fmt::format("output token {}", length + 1); }

/// Independent choices of one prompt: each row gives one token.
class ChoiceGeneration final : public Generation {
 public:
  explicit ChoiceGeneration(GenerationPlan plan) : Generation(std::move(plan)) {
    open_choices_.resize(static_cast<size_t>(plan_.params.n));
    std::iota(open_choices_.begin(), open_choices_.end(), 0);
    const int64_t num_words = ceil_div(plan_.vocab_size, int64_t{32});
    allowed_.resize(plan_.masks.size(), std::vector<uint32_t>(static_cast<size_t>(num_words)));
  }

  int64_t prompt_rows() const override { return plan_.params.n; }

  bool has_masks() const override { return !plan_.masks.empty(); }

  void fill_masks() noexcept override {
    try {
      if (has_masks())
        for (const int64_t choice : open_choices_)
          plan_.masks[static_cast<size_t>(choice)]->fill(allowed_[static_cast<size_t>(choice)]);
    } catch (...) {
      mask_error_ = std::current_exception();
    }
    are_masks_filled_ = true;
  }

  runtime::SampleGroup sample_group(const SequenceGroup& group) override {
    if (!are_masks_filled_) fill_masks();
    are_masks_filled_ = false;
    if (mask_error_) std::rethrow_exception(std::exchange(mask_error_, nullptr));
    runtime::SampleGroup sampled;
    for (size_t i = 0; i < open_choices_.size(); ++i)
      sampled.rows.push_back({.params = &plan_.params,
                              .seed = plan_.seed,
                              .choice = open_choices_[i],
                              .tokens = group.sequences[parent_of(i)].tokens,
                              .num_prompt_tokens = group.num_prompt_tokens,
                              .banned = plan_.banned_after(length_),
                              .bad_words = plan_.bad_words,
                              .allowed = mask_of(open_choices_[i])});
    return sampled;
  }

  std::vector<Child> take(runtime::GroupResult result, Reply& reply) override {
    check_fault(result, output_token(length_));
    std::vector<Child> children;
    std::vector<int64_t> still_open;
    const bool is_last = length_ + 1 == plan_.params.max_tokens;
    for (size_t i = 0; i < open_choices_.size(); ++i) {
      const int64_t choice = open_choices_[i];
      runtime::SampledToken& sampled = result.tokens[i];
      reply.token({.choice = choice,
                   .token = sampled.token,
                   .logprob = sampled.logprob,
                   .top = std::move(sampled.top),
                   .is_end = plan_.is_end(sampled.token)});
      if (const std::optional<ChoiceEnd> end = end_of(choice, sampled.token, is_last)) {
        reply.end_choice(*end);
      } else {
        if (!plan_.masks.empty()) plan_.masks[static_cast<size_t>(choice)]->accept(sampled.token);
        children.push_back({static_cast<int64_t>(parent_of(i)), sampled.token});
        still_open.push_back(choice);
      }
    }
    open_choices_ = std::move(still_open);
    ++length_;
    return children;
  }

 private:
  // All first tokens follow the one sequence that computed the prompt.
  size_t parent_of(size_t i) const { return length_ == 0 ? 0 : i; }

  std::optional<ChoiceEnd> end_of(int64_t choice, int32_t token, bool is_last) {
    ChoiceEnd end{.choice = choice};
    if (plan_.is_end(token)) {
      end.reason = FinishReason::stop;
      end.stop_token = token;
      return end;
    }
    if (plan_.observer != nullptr) {
      if (const auto reason = plan_.observer->on_token(choice, token)) {
        end.reason = *reason;
        return end;
      }
    }
    if (!is_last) return std::nullopt;
    end.reason = FinishReason::length;
    return end;
  }

  std::span<const uint32_t> mask_of(int64_t choice) const {
    if (!has_masks()) return {};
    return allowed_[static_cast<size_t>(choice)];
  }

  int64_t length_ = 0;                          // tokens of every open choice
  std::vector<int64_t> open_choices_;           // that of each sequence of the group, once forked
  std::vector<std::vector<uint32_t>> allowed_;  // by choice, where there are masks
  bool are_masks_filled_ = false;
  std::exception_ptr mask_error_;
};

/// One beam search: rows are the running beams, and all tokens are answered at the end.
class BeamGeneration final : public Generation {
 public:
  explicit BeamGeneration(GenerationPlan plan)
      : Generation(std::move(plan)),
        beams_({.num_beams = plan_.params.num_beams,
                .max_tokens = plan_.params.max_tokens,
                .length_penalty = plan_.params.length_penalty,
                .early_stopping = plan_.params.early_stopping,
                .end_token_ids = plan_.end_token_ids}) {}

  int64_t prompt_rows() const override { return 1; }

  runtime::SampleGroup sample_group(const SequenceGroup& group) override {
    runtime::SampleGroup sampled{.num_candidates = beams_.num_candidates()};
    for (int64_t beam = 0; beam < beams_.num_running(); ++beam)
      sampled.rows.push_back({.params = &plan_.params,
                              .tokens = group.sequences[static_cast<size_t>(beam)].tokens,
                              .num_prompt_tokens = group.num_prompt_tokens,
                              .banned = plan_.banned_after(length_),
                              .bad_words = plan_.bad_words,
                              .beam_score = beams_.running_score(beam)});
    return sampled;
  }

  std::vector<Child> take(runtime::GroupResult result, Reply& reply) override {
    check_fault(result, output_token(length_));
    std::vector<Child> children = beams_.advance(result.candidates);
    ++length_;
    if (children.empty()) answer(reply);
    return children;
  }

 private:
  void answer(Reply& reply) const {
    const auto num_finished = std::ssize(beams_.finished());
    if (num_finished < plan_.params.n)
      throw Error(ErrorKind::invalid_input,
                  fmt::format("beam search found {} of n = {} outputs: after {} tokens the bans "
                              "leave no continuation",
                              num_finished, plan_.params.n, length_),
                  "loosen no_repeat_ngram_size, bad_words or min_tokens");
    for (int64_t choice = 0; choice < plan_.params.n; ++choice) {
      const Hypothesis& hypothesis = beams_.finished()[static_cast<size_t>(choice)];
      for (const int32_t token : hypothesis.tokens)
        reply.token({.choice = choice, .token = token, .is_end = plan_.is_end(token)});
      reply.end_choice(end_of(choice, hypothesis));
    }
  }

  ChoiceEnd end_of(int64_t choice, const Hypothesis& hypothesis) const {
    ChoiceEnd end{.choice = choice, .reason = FinishReason::length, .beam_score = hypothesis.score};
    const int32_t last = hypothesis.tokens.back();
    if (plan_.is_end(last)) {
      end.reason = FinishReason::stop;
      end.stop_token = last;
    }
    return end;
  }

  BeamState beams_;
  int64_t length_ = 0;  // tokens of every running beam
};

}  // namespace

Demand demand_of(const SamplingParams& params, int64_t num_prompt_tokens) {
  return {.num_prompt_tokens = num_prompt_tokens,
          .max_tokens = params.max_tokens,
          .width = params.num_beams > 1 ? params.num_beams : params.n};
}

bool GenerationPlan::is_end(int32_t token) const {
  return std::binary_search(end_token_ids.begin(), end_token_ids.end(), token);
}

std::span<const int32_t> GenerationPlan::banned_after(int64_t num_tokens) const {
  if (num_tokens >= params.min_tokens) return {};
  return end_token_ids;
}

runtime::SampleGroup Generation::prompt_group(const SequenceGroup& group, int64_t first,
                                              int64_t count) const {
  const std::span<const int32_t> tokens = group.sequences.front().tokens;
  return {.rows = std::vector<runtime::SampleRow>(static_cast<size_t>(count),
                                                  {.params = &plan_.params}),
          .given = tokens.subspan(static_cast<size_t>(first + 1), static_cast<size_t>(count))};
}

void Generation::take_prompt(const runtime::GroupResult& result) {
  check_fault(result, fmt::format("the prompt from token {} on", prompt_logprobs_.size()));
  for (const runtime::SampledToken& scored : result.tokens) {
    std::vector<TokenLogprob>& list = prompt_logprobs_.emplace_back();
    list.push_back({scored.token, *scored.logprob, scored.rank});
    list.insert(list.end(), scored.top.begin(), scored.top.end());
  }
}

std::unique_ptr<Generation> create_generation(GenerationPlan plan) {
  if (plan.is_beam_search()) return std::make_unique<BeamGeneration>(std::move(plan));
  return std::make_unique<ChoiceGeneration>(std::move(plan));
}

}  // namespace veloz::serving
