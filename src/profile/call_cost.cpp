// SPDX-License-Identifier: Apache-2.0
#include "profile/call_cost.h"

#include "ops/attention.h"
#include "profile/program_calls.h"
#include "runtime/session.h"

namespace veloz::profile {
namespace {

/// Products of matrices go at the rate of their factors' dtype, everything else is fp32.
Roof arithmetic_of(ops::Op op, const ops::OpCall& call) {
  const bool is_product =
      op == ops::Op::paged_attention ||
      (ops::packed_operands(op, call.attrs).has_value() && op != ops::Op::embedding);
  if (!is_product) return Roof::fp32_fma;
  switch (call.inputs[0].dtype) {
    case DType::int8:
      return Roof::int8_dot;
    case DType::bf16:
    case DType::fp16:
    case DType::fp8_e4m3:  // its products are exact in bf16
      return Roof::bf16_dot;
    default:
      return Roof::fp32_fma;
  }
}

bool converts_weights(ops::Op op, const ops::OpCall& call, Roof arithmetic) {
  const auto packed = ops::packed_operands(op, call.attrs);
  if (!packed || op == ops::Op::embedding) return false;
  const DType weight = call.inputs[packed->weight].dtype;
  return arithmetic == Roof::int8_dot ? weight != DType::int8
                                      : weight != DType::bf16 && weight != DType::fp32;
}

}  // namespace

CallCost cost_of_call(ops::Op op, const ops::OpCall& call, const runtime::Batch& batch) {
  const ops::Cost cost = op == ops::Op::paged_attention
                             ? ops::paged_attention_cost(call, batch.q_lens, batch.kv_lens)
                             : ops::op_def(op).cost(call);
  const Roof arithmetic = arithmetic_of(op, call);
  return {.cost = cost,
          .arithmetic = arithmetic,
          .op = op,
          .converts_weights = converts_weights(op, call, arithmetic)};
}

std::vector<CallCost> cost_of_program(const engine::Plan& plan, const runtime::Batch& batch,
                                      int64_t num_kv_blocks) {
  const engine::Program& program = plan.program("step");
  std::vector<CallCost> costs;
  for_each_call(program, runtime::binding_of(batch, num_kv_blocks),
                [&](size_t step, const ops::OpCall& call) {
                  costs.push_back(is_empty(call)
                                      ? CallCost{}
                                      : cost_of_call(program.steps[step].op, call, batch));
                });
  return costs;
}

}  // namespace veloz::profile
