// SPDX-License-Identifier: Apache-2.0
#include "compiler/check_quantized.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <vector>

#include "base/error.h"
#include "ops/quantized_linear.h"

namespace veloz::compiler {
namespace {

using checkpoint::TensorInfo;
using checkpoint::TensorSource;

constexpr const char* kDamagedHint =
    "the checkpoint is damaged, or was quantized wrongly; quantize the model again";

/// One row of a tensor.
struct Row {
  std::vector<std::byte> bytes;
  TensorView view;
};

Row read_row(const TensorSource& source, const std::string& tensor, int64_t row) {
  const std::optional<TensorInfo> info = source.find(tensor);
  VELOZ_CHECK(info.has_value(), "no tensor \"{}\"", tensor);
  const Shape shape{1, info->shape[1]};
  Row result;
  result.bytes.resize(static_cast<size_t>(shape.num_elements()) * dtype_bytes(info->dtype));
  source.read_rows(tensor, row, row + 1, result.bytes);
  result.view = TensorView(result.bytes.data(), info->dtype, shape);
  return result;
}

/// Whether every code of the group means zero.
bool is_group_of_zeros(const TensorView& codes, const TensorView& zeros, int64_t group,
                       int64_t num_groups) {
  const int64_t columns = codes.shape[1] * (codes.dtype == DType::uint4x2 ? 2 : 1);
  const int64_t group_columns = columns / num_groups;
  const float zero = ops::zero_element(codes, zeros, 0, group);
  for (int64_t k = group * group_columns; k < (group + 1) * group_columns; ++k)
    if (ops::weight_code(codes, 0, k) != zero) return false;
  return true;
}

void check_zero_scale(int64_t row, int64_t group, int64_t num_groups,
                      const QuantizedSegment& segment, const TensorSource& source) {
  const Row codes = read_row(source, segment.codes, row);
  const Row zeros = segment.zeros.empty() ? Row{} : read_row(source, segment.zeros, row);
  if (is_group_of_zeros(codes.view, zeros.view, group, num_groups)) return;
  throw Error(ErrorKind::invalid_input,
              fmt::format("tensor \"{}\" has a scale of 0 in row {}, group {}, but the codes there "
                          "in \"{}\" are not all zero",
                          segment.scales, row, group, segment.codes),
              kDamagedHint);
}

}  // namespace

std::map<graph::ValueId, QuantizedOperands> quantized_operands(const graph::Graph& graph) {
  std::map<graph::ValueId, QuantizedOperands> operands;
  for (const graph::Node& node : graph.nodes()) {
    const std::optional<ops::PackedOperands> packed = ops::packed_operands(node.op, node.attrs);
    if (!packed || packed->companions_end < packed->weight + 2) continue;
    QuantizedOperands found{node.inputs[packed->weight], node.inputs[packed->weight + 1], {}};
    if (packed->companions_end > packed->weight + 2) found.zeros = node.inputs[packed->weight + 2];
    operands.emplace(found.scales, found);
  }
  return operands;
}

void check_scales(const TensorView& scales, int64_t row_begin, const QuantizedSegment& segment,
                  const TensorSource& source) {
  const int64_t num_groups = scales.shape[1];
  const bool may_be_negative = source.find(segment.codes)->dtype != DType::fp8_e4m3;
  for (int64_t row = 0; row < scales.shape[0]; ++row) {
    for (int64_t group = 0; group < num_groups; ++group) {
      const float scale = ops::scale_element(scales, row, group);
      if ((scale > 0 || (may_be_negative && scale < 0)) && std::isfinite(scale)) continue;
      if (scale == 0) {
        check_zero_scale(row_begin + row, group, num_groups, segment, source);
        continue;
      }
      throw Error(ErrorKind::invalid_input,
                  fmt::format("tensor \"{}\" has the scale {} in row {}, group {}; scales are "
                              "finite{}",
                              segment.scales, scale, row_begin + row, group,
                              may_be_negative ? "" : " and not negative"),
                  kDamagedHint);
    }
  }
}

void check_permutation(const TensorView& indices, const std::string& tensor) {
  const int64_t count = indices.shape[0];
  std::vector<bool> is_seen(static_cast<size_t>(count), false);
  for (int64_t i = 0; i < count; ++i) {
    const int32_t index = indices.as<const int32_t>()[i];
    if (index < 0 || index >= count || is_seen[static_cast<size_t>(index)])
      throw Error(ErrorKind::invalid_input,
                  fmt::format("tensor \"{}\" has the index {} at place {}; it must hold 0 to {}, "
                              "each once",
                              tensor, index, i, count - 1),
                  kDamagedHint);
    is_seen[static_cast<size_t>(index)] = true;
  }
}

}  // namespace veloz::compiler
