// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

#include "base/error.h"
#include "ops/element.h"
#include "ops/shape_rule.h"

namespace veloz::ops {
namespace {

std::vector<ValueType> infer_add(const OpSignature& signature) {
  const ShapeRule rule("add", signature, {"a", "b"}, {});
  const ValueType& a = rule.expect_matrix(0);
  rule.expect_type(1, a, "as a");
  return {a};
}

Cost add_cost(const OpCall& call) {
  return {.flops = static_cast<double>(call.outputs[0].shape.num_elements()),
          .bytes = operand_bytes(call)};
}

void add_reference(OpContext&, const OpCall& call) noexcept {
  const AddArgs args = AddArgs::from(call);
  for (int64_t t = 0; t < args.y.shape[0]; ++t)
    for (int64_t i = 0; i < args.y.shape[1]; ++i)
      store_element(args.y, t, i, load_element(args.a, t, i) + load_element(args.b, t, i));
}

std::vector<ValueType> infer_slice(const OpSignature& signature) {
  const ShapeRule rule("slice", signature, {"x"}, {"begin", "end"});
  const ValueType& x = rule.expect_matrix(0);
  const int64_t begin = rule.int_attr("begin", 0, x.dims[1].value - 1);
  const int64_t end = rule.int_attr("end", begin + 1, x.dims[1].value);
  return {{x.dtype, {x.dims[0], end - begin}}};
}

Cost slice_cost(const OpCall&) { return {}; }

}  // namespace

AddArgs AddArgs::from(const OpCall& call) {
  VELOZ_DCHECK(call.inputs.size() == 2 && call.outputs.size() == 1, "add of {} operands",
               call.inputs.size());
  return {.a = call.inputs[0], .b = call.inputs[1], .y = call.outputs[0]};
}

OpDef add_def() {
  return {.op = Op::add,
          .name = "add",
          .infer = infer_add,
          .cost = add_cost,
          .reference = add_reference};
}
OpDef slice_def() {
  return {.op = Op::slice,
          .name = "slice",
          .infer = infer_slice,
          .cost = slice_cost,
          .reference = nullptr};
}

}  // namespace veloz::ops
