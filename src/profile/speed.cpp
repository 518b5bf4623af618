// SPDX-License-Identifier: Apache-2.0
#include "profile/speed.h"

#include <algorithm>
#include <array>

namespace veloz::profile {
namespace {

constexpr double kCall_s = 3e-6;  // waking the threads, their meeting at the end
constexpr double kStep_s = 2e-4;  // inputs, sampling, scheduling
/// What a kernel is expected to reach of each roof.
struct Shares {
  double memory = 0;
  double compute = 0;
  double unhidden = 0.1;        // of the shorter of reading and computing
  double convert_per_byte = 0;  // operations at the compute roof that reading a byte takes at least
};
// Softmax lies between its products, and each leaf is a short read.
constexpr Shares kAttention = {.memory = 0.5, .compute = 0.33, .unhidden = 0.25};

/// Of machines that multiply `arithmetic` with one instruction: integer products leave more of
/// their higher peak to scales and quantization. Weights that are unpacked first leave more again.
/// FP8 becomes BF16 first, tile by tile, and other codes become numbers block by block: that hides
/// reading less well, and fast memory is waiting for FP8.
Shares shares_of_dot(const CallCost& work) {
  const bool is_int8 = work.arithmetic == Roof::int8_dot;
  if (!work.converts_weights) return {.memory = 0.97, .compute = is_int8 ? 0.82 : 0.9};
  if (is_int8) return {.memory = 0.97, .compute = 0.74};
  const bool is_fp8 = work.op == ops::Op::quantized_linear;
  return {.memory = 0.97,
          .compute = 0.82,
          .unhidden = is_fp8 ? 0.15 : 0.25,
          .convert_per_byte = is_fp8 ? 14.5 : 0.0};
}

/// Of machines that widen both factors first, BF16 to fp32 and codes to 16 bits, rows once and
/// weights in every tile. FP8, and codes whose rows are none, become BF16 before, at so many
/// operations a byte that reading waits for them where rows are few. Only 4-bit codes have products
/// so small that they are summed before they are widened.
Shares shares_of_widened(const CallCost& work) {
  if (work.arithmetic == Roof::int8_dot)
    return {.memory = 0.97, .compute = work.converts_weights ? 0.78 : 0.68};
  if (work.op == ops::Op::quantized_linear)
    return {.memory = 0.93, .compute = 0.78, .unhidden = 0.4, .convert_per_byte = 13.5};
  if (work.op == ops::Op::weight_only_linear)
    return {.memory = 0.93, .compute = 0.74, .unhidden = 0.3, .convert_per_byte = 30};
  return {.memory = 0.95, .compute = 0.74, .unhidden = 0.3};
}

/// No integer instruction that multiplies four codes at a time is slower than this.
bool has_int8_instruction(const MachinePeaks& peaks) {
  return peaks.int8_ops_per_s >= 3 * peaks.fp32_ops_per_s;
}

Shares shares_of(const CallCost& work, const MachinePeaks& peaks) {
  if (work.op == ops::Op::paged_attention) return kAttention;
  const bool is_widened = work.arithmetic == Roof::int8_dot
                              ? !has_int8_instruction(peaks)
                              : peaks.available(work.arithmetic) != work.arithmetic;
  return is_widened ? shares_of_widened(work) : shares_of_dot(work);
}

}  // namespace

double predict_call_s(const CallCost& work, const MachinePeaks& peaks) {
  const Shares shares = shares_of(work, peaks);
  const double rate = peaks.rate(peaks.available(work.arithmetic));
  const double memory_s = work.cost.bytes * std::max(1 / (shares.memory * peaks.read_bytes_per_s),
                                                     shares.convert_per_byte / rate);
  const double compute_s = work.cost.flops / (shares.compute * rate);
  return std::max(memory_s, compute_s) + shares.unhidden * std::min(memory_s, compute_s) + kCall_s;
}

SpeedPrediction predict_speed(const engine::Plan& plan, const Phase& phase,
                              const MachinePeaks& peaks) {
  const runtime::Batch batch = make_batch(phase, plan.limits, /*vocab_size=*/1);
  SpeedPrediction prediction{.phase = phase, .step_s = kStep_s};
  std::array<double, kRoofs.size()> bound_s{};
  for (const CallCost& work : cost_of_program(plan, batch, num_kv_blocks(phase, plan.limits))) {
    const double seconds = predict_call_s(work, peaks);
    prediction.step_s += seconds;
    bound_s[static_cast<size_t>(bound_of(work.cost, work.arithmetic, peaks).roof)] += seconds;
  }
  prediction.roof =
      kRoofs.at(static_cast<size_t>(std::ranges::max_element(bound_s) - bound_s.begin()));
  return prediction;
}

}  // namespace veloz::profile
