// SPDX-License-Identifier: Apache-2.0
#include "api/step_costs.h"

#include "api/machine_peaks.h"
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

}  // namespace

serving::CostCoefficients estimate_step_costs(const engine::Engine& engine, Backend& backend) {
  constexpr double kEfficiency = 0.6;   // of a peak, that a whole step reaches
  constexpr double kOverhead_s = 2e-4;  // of a step
  const engine::Plan& plan = engine.plan();
  const engine::ModelFacts& model = engine.manifest().model;
  const LinearWork work = linear_work(plan.program("step"));
  const profile::MachinePeaks peaks =
      PeakMeter(backend, {.read_bytes = size_t{64} << 20, .seconds_per_loop = 0.005}).measure();
  const profile::Roof arithmetic = peaks.available(
      model.dtype == DType::bf16 ? profile::Roof::bf16_dot : profile::Roof::fp32_fma);
  const double flops = kEfficiency * peaks.rate(arithmetic);
  const double bandwidth = kEfficiency * peaks.read_bytes_per_s;
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
