// SPDX-License-Identifier: Apache-2.0
#include "ops/sample.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/philox.h"
#include "ops/rows.h"
#include "ops/shape_rule.h"

namespace veloz::ops {
namespace {

bool is_better(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

std::vector<ValueType> infer(const OpSignature& signature) {
  const ShapeRule rule("sample", signature, {"logits", "params", "top_k", "rng"}, {});
  const ValueType& logits = rule.expect_logits(0);
  const Dim rows = logits.dims[0];
  rule.expect_type(1, {DType::fp32, {rows, 3}}, "three per row of logits");
  rule.expect_type(2, {DType::int32, {rows}}, "one per row of logits");
  rule.expect_type(3, {DType::int32, {rows, 5}}, "five per row of logits");
  return {{DType::int32, {rows}}, {DType::int32, {rows}}};
}

Cost cost(const OpCall& call) {
  return {.flops = 4 * static_cast<double>(call.inputs[0].shape.num_elements()),
          .bytes = operand_bytes(call)};
}

/// Each thread works on one row at a time, with a list of all its tokens.
size_t workspace_bytes(const OpCall& call, int num_threads) {
  return static_cast<size_t>(call.inputs[0].shape[1]) * sizeof(Candidate) *
         static_cast<size_t>(num_threads);
}

/// Moves the k best to the front.
std::span<Candidate> keep_top_k(std::span<Candidate> candidates, size_t k) {
  if (k == 0 || k >= candidates.size()) return candidates;
  std::ranges::nth_element(candidates, candidates.begin() + static_cast<ptrdiff_t>(k), is_better);
  const std::span<Candidate> kept = candidates.first(k);
  // So that sums over them do not depend on how they were found.
  std::ranges::sort(kept, {}, &Candidate::token);
  return kept;
}

double sum_of_weights(std::span<const Candidate> candidates) {
  double sum = 0;
  for (const Candidate& candidate : candidates) sum += candidate.weight;
  return sum;
}

/// Moves the fewest best whose weights reach the share `top_p` to the front: bisects for their
/// number, each time ordering only the half that holds the edge, so the whole is linear.
std::span<Candidate> keep_top_p(std::span<Candidate> candidates, double top_p) {
  if (top_p >= 1) return candidates;
  double missing = top_p * sum_of_weights(candidates);
  size_t begin = 0;                // those before are kept
  size_t end = candidates.size();  // those from here on are not
  while (end - begin > 1) {
    const size_t middle = begin + (end - begin) / 2;
    const std::span<Candidate> open = candidates.subspan(begin, end - begin);
    std::ranges::nth_element(open, open.begin() + static_cast<ptrdiff_t>(middle - begin),
                             is_better);
    const double upper = sum_of_weights(open.first(middle - begin));
    if (upper >= missing) {
      end = middle;
    } else {
      missing -= upper;
      begin = middle;
    }
  }
  return candidates.first(end);
}

int32_t run_race(std::span<const Candidate> candidates, const std::array<uint32_t, 5>& rng) {
  double best = std::numeric_limits<double>::infinity();
  int32_t winner = -1;
  for (const Candidate& candidate : candidates) {
    const double uniform = race_uniform(rng, candidate.token);
    // -ln(u) >= 1 - u: most tokens are out of the race without a logarithm.
    if (1 - uniform > best * candidate.weight) continue;
    const double time = -std::log(uniform) / candidate.weight;
    if (time < best || (time == best && candidate.token < winner) || winner < 0) {
      best = time;
      winner = candidate.token;
    }
  }
  return winner;
}

void reference(OpContext& context, const OpCall& call) noexcept {
  const SampleArgs a = SampleArgs::from(call);
  const auto vocab_size = static_cast<size_t>(a.logits.shape[1]);
  VELOZ_DCHECK(context.workspace.size() >= workspace_bytes(call, 1), "a workspace of {} bytes",
               context.workspace.size());
  auto* const memory = reinterpret_cast<Candidate*>(context.workspace.data());
  for_each_row(context, a.logits.shape[0], [&](int64_t r, int thread_idx) {
    const std::span<const float> logits(a.logits.row<const float>(r), vocab_size);
    const SampleRow row = SampleRow::of(a, r);
    const auto [outcome, largest] = find_largest(logits);
    const bool is_chosen = outcome == SampleOutcome::chosen;
    a.outcomes.as<int32_t>()[r] = static_cast<int32_t>(outcome);
    int32_t token = is_chosen ? static_cast<int32_t>(largest) : 0;
    if (is_chosen && row.temperature > 0)
      token = sample_row(logits, logits[largest], row,
                         {memory + static_cast<size_t>(thread_idx) * vocab_size, vocab_size});
    a.tokens.as<int32_t>()[r] = token;
  });
}

}  // namespace

LargestLogit find_largest(std::span<const float> logits) {
  size_t best = 0;
  bool is_nan = false;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > logits[best]) best = i;
    is_nan |= std::isnan(logits[i]);
  }
  if (is_nan) return {SampleOutcome::nan_logits, 0};
  if (std::isfinite(logits[best])) return {SampleOutcome::chosen, best};
  return {logits[best] > 0 ? SampleOutcome::infinite_logits : SampleOutcome::all_banned, 0};
}

SampleRow SampleRow::of(const SampleArgs& a, int64_t r) {
  const float* const params = a.params.row<const float>(r);
  SampleRow row{.temperature = params[0],
                .top_p = params[1],
                .min_p = params[2],
                .top_k = static_cast<size_t>(a.top_k.as<const int32_t>()[r]),
                .rng = {}};
  for (size_t i = 0; i < row.rng.size(); ++i)
    row.rng[i] = static_cast<uint32_t>(a.rng.row<const int32_t>(r)[i]);
  return row;
}

double SampleRow::weight(float logit, float max) const {
  return std::exp((static_cast<double>(logit) - max) / temperature);
}

int32_t sample_row(std::span<const float> logits, float max, const SampleRow& row,
                   std::span<Candidate> memory) {
  size_t count = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double weight = row.weight(logits[i], max);
    if (row.admits(weight)) memory[count++] = {weight, logits[i], static_cast<int32_t>(i)};
  }
  return choose_candidate(keep_top_k(memory.first(count), row.top_k), row);
}

int32_t choose_candidate(std::span<Candidate> candidates, const SampleRow& row) {
  return run_race(keep_top_p(candidates, row.top_p), row.rng);
}

double race_uniform(const std::array<uint32_t, 5>& rng, int32_t token) {
  return race_uniforms(rng, token / 4 * 4)[static_cast<size_t>(token % 4)];
}

std::array<double, 4> race_uniforms(const std::array<uint32_t, 5>& rng, int32_t first) {
  const std::array<uint32_t, 4> words =
      philox4x32({rng[2], rng[3], rng[4], static_cast<uint32_t>(first) / 4}, {rng[0], rng[1]});
  std::array<double, 4> uniforms{};
  for (size_t i = 0; i < 4; ++i) uniforms[i] = (static_cast<double>(words[i]) + 0.5) * 0x1p-32;
  return uniforms;
}

SampleArgs SampleArgs::from(const OpCall& call) {
  VELOZ_DCHECK(call.inputs.size() == 4 && call.outputs.size() == 2, "sample of {} operands",
               call.inputs.size());
  return {.logits = call.inputs[0],
          .params = call.inputs[1],
          .top_k = call.inputs[2],
          .rng = call.inputs[3],
          .tokens = call.outputs[0],
          .outcomes = call.outputs[1]};
}

OpDef sample_def() {
  return {.op = Op::sample,
          .name = "sample",
          .infer = infer,
          .cost = cost,
          .reference = reference,
          .workspace_bytes = workspace_bytes,
          .stands_in_graphs = false};
}

}  // namespace veloz::ops
