// SPDX-License-Identifier: Apache-2.0
#include "api/step_costs.h"

#include <algorithm>
#include <vector>

#include "cpu/features.h"
#include "cpu/peaks.h"
#include "runtime/session.h"

namespace veloz::api {
namespace {

/// Work of the plan's linears.
struct LinearWork {
  double weight_bytes = 0;
  double flops_per_token = 0;
  double flops_per_row = 0;
};

LinearWork linear_work(const engine::Program& program) {
  LinearWork work;
  for (const engine::PlanStep& step : program.steps) {
    if (step.op != ops::Op::linear) continue;
    const ops::ValueType& weight = program.values[static_cast<size_t>(step.inputs[1])].type;
    const ops::ValueType& out = program.values[static_cast<size_t>(step.outputs[0])].type;
    const auto elements = static_cast<double>(weight.bind({}).num_elements());
    work.weight_bytes += elements * static_cast<double>(dtype_bytes(weight.dtype));
    const bool is_of_rows = out.dims[0].symbol == ops::Symbol::R;
    (is_of_rows ? work.flops_per_row : work.flops_per_token) += 2 * elements;
  }
  return work;
}

double peak_flops(const cpu::CpuFeatures& features, DType dtype, ThreadPool& pool) {
  constexpr double kSeconds = 0.005;
  constexpr double kUnknown = 5e9;  // per thread, without vectors
  const std::vector<cpu::PeakLoop> loops = cpu::supported_peak_loops(features);
  const auto has = [&](cpu::PeakLoop loop) { return std::ranges::count(loops, loop) > 0; };
  if (dtype == DType::bf16 && has(cpu::PeakLoop::bf16_dot))
    return cpu::measure_peak(pool, features, cpu::PeakLoop::bf16_dot, kSeconds).ops_per_s;
  if (has(cpu::PeakLoop::fp32_fma))
    return cpu::measure_peak(pool, features, cpu::PeakLoop::fp32_fma, kSeconds).ops_per_s;
  return kUnknown * pool.num_threads();
}

double read_bandwidth(Backend& backend) {
  constexpr size_t kBytes = size_t{64} << 20;
  const Buffer memory = backend.device->allocate(kBytes);
  const std::span<const std::byte> bytes(static_cast<const std::byte*>(memory.data()), kBytes);
  cpu::measure_read_bandwidth(*backend.pool, bytes);  // touches it
  return cpu::measure_read_bandwidth(*backend.pool, bytes);
}

}  // namespace

serving::CostCoefficients estimate_step_costs(const engine::Engine& engine, Backend& backend) {
  constexpr double kEfficiency = 0.6;   // of a peak, that a whole step reaches
  constexpr double kOverhead_s = 2e-4;  // of a step
  const engine::Plan& plan = engine.plan();
  const engine::ModelFacts& model = engine.manifest().model;
  const LinearWork work = linear_work(plan.program("step"));
  const double flops = kEfficiency * peak_flops(cpu::detect_features(), model.dtype, *backend.pool);
  const double bandwidth = kEfficiency * read_bandwidth(backend);
  const double attention_flops =
      4.0 * static_cast<double>(model.num_layers * model.num_heads * model.head_dim);
  const double kv_bytes = static_cast<double>(runtime::kv_block_bytes(plan)) /
                          static_cast<double>(plan.limits.block_size);
  return {.step_s = kOverhead_s + work.weight_bytes / bandwidth,
          .token_s = work.flops_per_token / flops,
          .row_s = work.flops_per_row / flops,
          .attended_s = attention_flops / flops,
          .kv_read_s = kv_bytes / bandwidth};
}

}  // namespace veloz::api
