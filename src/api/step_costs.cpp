// SPDX-License-Identifier: Apache-2.0
#include "api/step_costs.h"

#include <optional>

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
  const auto type_of = [&](int64_t value) -> const ops::ValueType& {
    return program.values[static_cast<size_t>(value)].type;
  };
  for (const engine::PlanStep& step : program.steps) {
    const std::optional<ops::PackedOperands> packed = ops::packed_operands(step.op, step.attrs);
    if (!packed || step.op == ops::Op::embedding) continue;
    for (size_t i = packed->weight; i < packed->companions_end; ++i)
      work.weight_bytes += static_cast<double>(type_of(step.inputs[i]).bind({}).num_elements()) *
                           static_cast<double>(dtype_bytes(type_of(step.inputs[i]).dtype));
    const ops::ValueType& out = type_of(step.outputs[0]);
    const auto products =
        static_cast<double>(type_of(step.inputs[0]).dims[1].value * out.dims[1].value);
    const bool is_of_rows = out.dims[0].symbol == ops::Symbol::R;
    (is_of_rows ? work.flops_per_row : work.flops_per_token) += 2 * products;
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
