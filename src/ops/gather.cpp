// SPDX-License-Identifier: Apache-2.0
#include "ops/gather.h"

#include <limits>

#include "base/error.h"
#include "ops/element.h"
#include "ops/shape_rule.h"

namespace veloz::ops {
namespace {

std::vector<ValueType> infer_gather_rows(const OpSignature& signature) {
  const ShapeRule rule("gather_rows", signature, {"x", "rows"}, {});
  const ValueType& x = rule.expect_matrix(0);
  const ValueType& rows = rule.expect_vector(1, DType::int32);
  return {{x.dtype, {rows.dims[0], x.dims[1]}}};
}

std::vector<ValueType> infer_embedding(const OpSignature& signature) {
  const ShapeRule rule("embedding", signature, {"tokens", "table"}, {});
  const ValueType& tokens = rule.expect_vector(0, DType::int32);
  const ValueType& table = rule.expect_matrix(1);
  rule.constant_extent(1, 0);
  return {{table.dtype, {tokens.dims[0], table.dims[1]}}};
}

std::vector<ValueType> infer_permute_columns(const OpSignature& signature) {
  const ShapeRule rule("permute_columns", signature, {"x", "p"}, {});
  const ValueType& x = rule.expect_matrix(0);
  rule.expect_type(1, {DType::int32, {x.dims[1]}}, "one per column of x");
  return {x};
}

Cost permute_columns_cost(const OpCall& call) { return {.flops = 0, .bytes = operand_bytes(call)}; }

/// Only the rows that are read move, and the indices.
Cost gather_cost(const OpCall& call) {
  const TensorView& y = call.outputs[0];
  return {.flops = 0,
          .bytes = 2 * static_cast<double>(y.num_bytes()) + 4 * static_cast<double>(y.shape[0])};
}

void copy_row(const TensorView& from, int64_t from_row, const TensorView& to, int64_t to_row) {
  for (int64_t i = 0; i < to.shape[1]; ++i)
    store_element(to, to_row, i, load_element(from, from_row, i));
}

void gather_rows_reference(OpContext&, const OpCall& call) noexcept {
  const GatherRowsArgs a = GatherRowsArgs::from(call);
  for (int64_t r = 0; r < a.y.shape[0]; ++r) copy_row(a.x, a.rows.as<const int32_t>()[r], a.y, r);
}

void embedding_reference(OpContext&, const OpCall& call) noexcept {
  const EmbeddingArgs a = EmbeddingArgs::from(call);
  for (int64_t t = 0; t < a.y.shape[0]; ++t)
    copy_row(a.table, a.tokens.as<const int32_t>()[t], a.y, t);
}

void permute_columns_reference(OpContext&, const OpCall& call) noexcept {
  const PermuteColumnsArgs a = PermuteColumnsArgs::from(call);
  for (int64_t t = 0; t < a.y.shape[0]; ++t) {
    for (int64_t k = 0; k < a.y.shape[1]; ++k) {
      const int32_t from = a.p.as<const int32_t>()[k];
      const bool is_column = from >= 0 && from < a.x.shape[1];
      store_element(
          a.y, t, k,
          is_column ? load_element(a.x, t, from) : std::numeric_limits<float>::quiet_NaN());
    }
  }
}

}  // namespace

GatherRowsArgs GatherRowsArgs::from(const OpCall& call) {
  VELOZ_DCHECK(call.inputs.size() == 2 && call.outputs.size() == 1, "gather_rows of {} operands",
               call.inputs.size());
  return {.x = call.inputs[0], .rows = call.inputs[1], .y = call.outputs[0]};
}

EmbeddingArgs EmbeddingArgs::from(const OpCall& call) {
  VELOZ_DCHECK(call.inputs.size() == 2 && call.outputs.size() == 1, "embedding of {} operands",
               call.inputs.size());
  return {.tokens = call.inputs[0], .table = call.inputs[1], .y = call.outputs[0]};
}

PermuteColumnsArgs PermuteColumnsArgs::from(const OpCall& call) {
  VELOZ_DCHECK(call.inputs.size() == 2 && call.outputs.size() == 1,
               "permute_columns of {} operands", call.inputs.size());
  return {.x = call.inputs[0], .p = call.inputs[1], .y = call.outputs[0]};
}

OpDef permute_columns_def() {
  return {.op = Op::permute_columns,
          .name = "permute_columns",
          .infer = infer_permute_columns,
          .cost = permute_columns_cost,
          .reference = permute_columns_reference};
}
OpDef gather_rows_def() {
  return {.op = Op::gather_rows,
          .name = "gather_rows",
          .infer = infer_gather_rows,
          .cost = gather_cost,
          .reference = gather_rows_reference};
}
OpDef embedding_def() {
  return {.op = Op::embedding,
          .name = "embedding",
          .infer = infer_embedding,
          .cost = gather_cost,
          .reference = embedding_reference};
}

}  // namespace veloz::ops
