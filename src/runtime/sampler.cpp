// SPDX-License-Identifier: Apache-2.0
#include "runtime/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/numeric.h"
#include "ops/attrs.h"
#include "ops/sample.h"
#include "runtime/device_list.h"
#include "runtime/logit_editor.h"
#include "runtime/token_scores.h"

namespace veloz::runtime {
namespace {

int64_t num_rows_of(std::span<const SampleGroup> groups) {
  int64_t num_rows = 0;
  for (const SampleGroup& group : groups) num_rows += std::ssize(group.rows);
  return num_rows;
}

bool wants_logprobs(const SampleRow& row) { return row.params->logprobs.has_value(); }

enum class RowKind { choices, beams, prompt };

RowKind kind_of(const SampleGroup& group) {
  if (!group.given.empty()) return RowKind::prompt;
  return group.num_candidates > 0 ? RowKind::beams : RowKind::choices;
}

/// Neighbouring groups of one kind: their ops run once for all of them.
struct Stretch {
  RowKind kind = RowKind::choices;
  size_t first_group = 0;
  std::span<const SampleGroup> groups;
  int64_t first_row = 0;
  int64_t num_rows = 0;
};

std::vector<Stretch> split_by_kind(std::span<const SampleGroup> groups) {
  std::vector<Stretch> stretches;
  int64_t row = 0;
  for (size_t begin = 0; begin < groups.size();) {
    const RowKind kind = kind_of(groups[begin]);
    size_t end = begin;
    while (end < groups.size() && kind_of(groups[end]) == kind) ++end;
    const std::span<const SampleGroup> same = groups.subspan(begin, end - begin);
    stretches.push_back({kind, begin, same, row, num_rows_of(same)});
    row += stretches.back().num_rows;
    begin = end;
  }
  return stretches;
}

SampleFault fault_of(ops::SampleOutcome outcome) {
  switch (outcome) {
    case ops::SampleOutcome::infinite_logits:
      return SampleFault::infinite_logits;
    case ops::SampleOutcome::all_banned:
      return SampleFault::all_tokens_banned;
    default:
      return SampleFault::nan_logits;
  }
}

}  // namespace

std::string_view to_string(SampleFault fault) {
  switch (fault) {
    case SampleFault::nan_logits:
      return "the logits hold a NaN";
    case SampleFault::infinite_logits:
      return "the logits hold an infinity";
    case SampleFault::all_tokens_banned:
      return "every token is banned";
  }
  return "";
}

struct Sampler::State {
  State(StepRunner& runner_in, const SamplerLimits& limits_in);

  void choose_tokens(const TensorView& logits, const TensorView& raw_logits,
                     const Stretch& stretch);
  /// Waits for the tokens of the stretch that is enqueued, if one is.
  void take_enqueued();
  void take_tokens(const Stretch& stretch, std::span<GroupResult> of_stretch) const;
  void fill_choice_operands(const Stretch& stretch);
  void add_logprobs(const TensorView& raw_logits, const Stretch& stretch);
  void score_prompt(const TensorView& logits, const Stretch& stretch,
                    std::span<GroupResult> of_stretch);
  void choose_candidates(const TensorView& logits, const Stretch& stretch,
                         std::span<GroupResult> of_stretch);
  std::span<GroupResult> results_of(const Stretch& stretch) {
    return std::span(results).subspan(stretch.first_group, stretch.groups.size());
  }
  SampleFault find_fault(const TensorView& logits, int64_t row);

  StepRunner& runner;
  const SamplerLimits limits;
  LogitEditor editor;
  Buffer raw_logits;  // [max_rows, vocab_size] fp32, as they came, for logprobs

  // Of choices; R rows.
  DeviceList<float> params;      // [R, 3]: temperature, top_p, min_p
  DeviceList<int32_t> top_k;     // [R]
  DeviceList<int32_t> rng;       // [R, 5]
  DeviceList<int32_t> tokens;    // [R], of prompts too
  DeviceList<int32_t> outcomes;  // [R] SampleOutcome; of beams [G], whether all is a number
  TokenScores scores;            // of `tokens`

  // Of beams; G groups.
  DeviceList<float> beam_scores;         // [R]
  DeviceList<int32_t> group_starts;      // [G + 1]
  DeviceList<float> candidate_scores;    // [G, k]
  DeviceList<int32_t> beams;             // [G, k]
  DeviceList<int32_t> candidate_tokens;  // [G, k]

  // Between start and finish.
  std::vector<GroupResult> results;
  std::optional<Stretch> enqueued;  // the last stretch, where it is of choices
};

Sampler::State::State(StepRunner& runner_in, const SamplerLimits& l)
    : runner(runner_in),
      limits(l),
      editor(runner, l),
      raw_logits(
          runner.device().allocate(narrow<size_t>(l.max_rows * l.vocab_size) * sizeof(float))),
      params(runner, l.max_rows * 3),
      top_k(runner, l.max_rows),
      rng(runner, l.max_rows * 5),
      tokens(runner, l.max_rows),
      outcomes(runner, l.max_rows),
      scores(runner, l.max_rows, l.max_logprobs),
      beam_scores(runner, l.max_rows),
      group_starts(runner, l.max_rows + 1),
      candidate_scores(runner, l.max_rows * l.max_candidates),
      beams(runner, l.max_rows * l.max_candidates),
      candidate_tokens(runner, l.max_rows * l.max_candidates) {}

Sampler::Sampler(StepRunner& runner, const SamplerLimits& limits)
    : state_(std::make_unique<State>(runner, limits)) {}
Sampler::~Sampler() = default;

void Sampler::start(const TensorView& logits, std::span<const SampleGroup> groups) {
  State& state = *state_;
  state.enqueued.reset();
  const int64_t num_rows = num_rows_of(groups);
  VELOZ_CHECK(logits.shape == Shape({num_rows, state.limits.vocab_size}) &&
                  num_rows <= state.limits.max_rows,
              "logits {} for {} rows, at most {}", to_string(logits.shape), num_rows,
              state.limits.max_rows);
  std::vector<const SampleRow*> rows;
  for (const SampleGroup& group : groups)
    for (const SampleRow& row : group.rows) rows.push_back(&row);
  const TensorView raw(state.raw_logits.data(), DType::fp32, logits.shape);
  if (std::ranges::any_of(rows, [](const SampleRow* row) { return wants_logprobs(*row); }))
    state.runner.device().copy(state.runner.stream(), raw.data, logits.data, logits.num_bytes());

  state.results.assign(groups.size(), {});
  for (const Stretch& stretch : split_by_kind(groups)) {
    state.take_enqueued();
    const std::span<GroupResult> of_stretch = state.results_of(stretch);
    const TensorView own = rows_of(logits, stretch.first_row, stretch.num_rows);
    if (stretch.kind == RowKind::prompt) {
      state.score_prompt(own, stretch, of_stretch);
      continue;
    }
    if (stretch.kind == RowKind::beams)
      state.runner.run_op(ops::Op::log_softmax, std::array{own}, std::array{own}, {});
    state.editor.edit(own, std::span(rows).subspan(static_cast<size_t>(stretch.first_row),
                                                   static_cast<size_t>(stretch.num_rows)));
    if (stretch.kind == RowKind::beams)
      state.choose_candidates(own, stretch, of_stretch);
    else
      state.choose_tokens(own, rows_of(raw, stretch.first_row, stretch.num_rows), stretch);
  }
}

std::optional<TensorView> Sampler::tokens_on_device() const {
  const State& state = *state_;
  if (!state.enqueued || state.enqueued->groups.size() != state.results.size()) return std::nullopt;
  return state.tokens.view({state.enqueued->num_rows});
}

std::vector<GroupResult> Sampler::finish() {
  state_->take_enqueued();
  return std::move(state_->results);
}

/// Enqueues all of it, and marks its end.
void Sampler::State::choose_tokens(const TensorView& logits, const TensorView& raw,
                                   const Stretch& stretch) {
  const int64_t num_rows = stretch.num_rows;
  fill_choice_operands(stretch);
  runner.run_op(
      ops::Op::sample,
      std::array{logits, params.upload({num_rows, 3}), top_k.upload(), rng.upload({num_rows, 5})},
      std::array{tokens.view({num_rows}), outcomes.view({num_rows})}, {});
  tokens.download({num_rows});
  outcomes.download({num_rows});
  add_logprobs(raw, stretch);
  runner.stream().mark();
  enqueued = stretch;
}

void Sampler::State::take_enqueued() {
  if (!enqueued) return;
  const Stretch stretch = *std::exchange(enqueued, std::nullopt);
  runner.stream().wait_for_mark();
  take_tokens(stretch, results_of(stretch));
}

void Sampler::State::take_tokens(const Stretch& stretch, std::span<GroupResult> of_stretch) const {
  size_t i = 0;
  for (size_t g = 0; g < stretch.groups.size(); ++g) {
    for (const SampleRow& row : stretch.groups[g].rows) {
      if (outcomes.host[i] != 0)
        of_stretch[g].fault = fault_of(static_cast<ops::SampleOutcome>(outcomes.host[i]));
      if (wants_logprobs(row))
        of_stretch[g].tokens.push_back(scores.of(i, tokens.host[i], *row.params->logprobs));
      else
        of_stretch[g].tokens.push_back({.token = tokens.host[i], .logprob = {}, .top = {}});
      ++i;
    }
  }
}

void Sampler::State::fill_choice_operands(const Stretch& stretch) {
  params.host.clear();
  top_k.host.clear();
  rng.host.clear();
  for (const SampleGroup& group : stretch.groups) {
    for (const SampleRow& row : group.rows) {
      const SamplingParams& p = *row.params;
      for (const double value : {p.temperature, p.top_p, p.min_p})
        params.host.push_back(static_cast<float>(value));
      top_k.host.push_back(narrow<int32_t>(std::min(p.top_k, limits.vocab_size)));
      const int64_t position = std::ssize(row.tokens) - row.num_prompt_tokens;
      constexpr uint64_t kDraw = 0;  // one draw per token
      for (const uint64_t word :
           {row.seed & 0xFFFFFFFFu, row.seed >> 32, static_cast<uint64_t>(row.choice),
            static_cast<uint64_t>(position), kDraw})
        rng.host.push_back(static_cast<int32_t>(static_cast<uint32_t>(word)));
    }
  }
}

/// Enqueues the logprobs of the tokens just sampled where a row wants them.
void Sampler::State::add_logprobs(const TensorView& raw, const Stretch& stretch) {
  bool is_wanted = false;
  int64_t num_top = 0;
  for (const SampleGroup& group : stretch.groups)
    for (const SampleRow& row : group.rows) {
      is_wanted = is_wanted || wants_logprobs(row);
      num_top = std::max(num_top, row.params->logprobs.value_or(0));
    }
  if (!is_wanted) return;
  scores.run(raw, tokens.view({stretch.num_rows}), num_top);
}

void Sampler::State::score_prompt(const TensorView& logits, const Stretch& stretch,
                                  std::span<GroupResult> of_stretch) {
  int64_t num_top = 0;
  tokens.host.clear();
  for (const SampleGroup& group : stretch.groups) {
    VELOZ_CHECK(group.given.size() == group.rows.size(), "{} tokens follow {} rows",
                group.given.size(), group.rows.size());
    tokens.host.insert(tokens.host.end(), group.given.begin(), group.given.end());
    for (const SampleRow& row : group.rows)
      num_top = std::max(num_top, row.params->prompt_logprobs.value_or(0));
  }
  scores.run(logits, tokens.upload(), num_top);
  runner.stream().synchronize();

  size_t i = 0;
  for (size_t g = 0; g < stretch.groups.size(); ++g) {
    for (const SampleRow& row : stretch.groups[g].rows) {
      if (std::isnan(scores.logprob(i)))
        of_stretch[g].fault = find_fault(logits, static_cast<int64_t>(i));
      of_stretch[g].tokens.push_back(
          scores.of(i, tokens.host[i], row.params->prompt_logprobs.value_or(0)));
      ++i;
    }
  }
}

void Sampler::State::choose_candidates(const TensorView& logits, const Stretch& stretch,
                                       std::span<GroupResult> of_stretch) {
  const int64_t num_groups = std::ssize(stretch.groups);
  int64_t k = 0;
  beam_scores.host.clear();
  group_starts.host.assign(1, 0);
  for (const SampleGroup& group : stretch.groups) {
    for (const SampleRow& row : group.rows) beam_scores.host.push_back(row.beam_score);
    group_starts.host.push_back(narrow<int32_t>(beam_scores.host.size()));
    k = std::max(k, group.num_candidates);
  }
  const Shape per_candidate{num_groups, k};
  runner.run_op(ops::Op::beam_candidates,
                std::array{logits, beam_scores.upload(), group_starts.upload()},
                std::array{candidate_scores.view(per_candidate), beams.view(per_candidate),
                           candidate_tokens.view(per_candidate), outcomes.view({num_groups})},
                {{"k", k}});
  candidate_scores.download(per_candidate);
  beams.download(per_candidate);
  candidate_tokens.download(per_candidate);
  outcomes.download({num_groups});
  runner.stream().synchronize();

  for (size_t g = 0; g < of_stretch.size(); ++g) {
    if (outcomes.host[g] == 0) of_stretch[g].fault = SampleFault::nan_logits;
    const size_t first = g * static_cast<size_t>(k);
    const auto wanted = static_cast<size_t>(stretch.groups[g].num_candidates);
    for (size_t j = first; j < first + wanted && beams.host[j] >= 0; ++j)
      of_stretch[g].candidates.push_back(
          {beams.host[j], candidate_tokens.host[j], candidate_scores.host[j]});
  }
}

/// Why a row of a prompt could not be scored: looks at it on the host, which only a failing request
/// pays for.
SampleFault Sampler::State::find_fault(const TensorView& logits, int64_t row) {
  std::vector<float> host(static_cast<size_t>(limits.vocab_size));
  const TensorView view = rows_of(logits, row, 1);
  runner.device().copy_out(runner.stream(), host.data(), view.data, host.size() * sizeof(float));
  runner.stream().synchronize();
  return fault_of(ops::find_largest(host).outcome);
}

}  // namespace veloz::runtime
