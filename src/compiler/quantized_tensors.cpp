// SPDX-License-Identifier: Apache-2.0
#include "compiler/quantized_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace veloz::compiler {
namespace {

using checkpoint::LinearScheme;

bool is_whole_row(int64_t group, int64_t k) { return group == 0 || group == k; }

int64_t num_groups(int64_t group, int64_t k) { return is_whole_row(group, k) ? 1 : k / group; }

ops::ValueType type_of(DType dtype, const Shape& shape) {
  ops::ValueType type{dtype, {}};
  for (const int64_t extent : shape.dims()) type.dims.emplace_back(extent);
  return type;
}

std::string describe_groups(int64_t group, std::string_view whole) {
  return group == 0 ? std::string(whole) : fmt::format("in groups of {}", group);
}

}  // namespace

bool is_read_as_table(const graph::Graph& graph, const graph::UseMap& uses, graph::ValueId weight) {
  return std::ranges::any_of(uses.readers(weight), [&](size_t reader) {
    return graph.nodes()[reader].op == ops::Op::embedding;
  });
}

std::optional<std::string> module_of(const graph::Graph& graph, const graph::UseMap& uses,
                                     const graph::Node& linear) {
  const graph::ValueId weight = linear.inputs[1];
  if (is_read_as_table(graph, uses, weight)) return kLmHead;
  const std::vector<graph::WeightSegment>& segments = graph.value(weight).segments;
  if (segments.size() != 1 || !segments[0].tensor.ends_with(kCodesTensor)) return std::nullopt;
  const std::string& tensor = segments[0].tensor;
  return tensor.substr(0, tensor.size() - std::string_view(kCodesTensor).size());
}

QuantizedShapes quantized_shapes(const LinearScheme& scheme, int64_t n, int64_t k) {
  return {.codes = {n, scheme.weight == DType::uint4x2 ? k / 2 : k},
          .scales = {n, num_groups(scheme.group, k)}};
}

DType zero_dtype(const LinearScheme& scheme) {
  return scheme.weight == DType::int8 ? DType::int8 : DType::uint8;
}

ops::Attrs quantize_attrs(const LinearScheme& scheme, int64_t k) {
  VELOZ_CHECK(scheme.activation.has_value(), "activations that are not quantized");
  ops::Attrs attrs = {{"format", std::string(to_string(*scheme.activation))}};
  if (scheme.input_scale) attrs.set("scale", *scheme.input_scale);
  if (!is_whole_row(scheme.activation_group, k)) attrs.set("group", scheme.activation_group);
  return attrs;
}

ops::Attrs linear_attrs(const LinearScheme& scheme, DType out, const ops::Attrs& attrs) {
  ops::Attrs result = attrs;
  if (scheme.activation) result.set("out", std::string(to_string(out)));
  if (scheme.has_zeros) result.set("zeros", int64_t{1});
  return result;
}

std::optional<std::string> why_not_quantizable(const LinearScheme& scheme,
                                               const graph::Graph& graph,
                                               const graph::Node& linear) {
  const graph::Value& weight = graph.value(linear.inputs[1]);
  const int64_t k = weight.type.dims[1].value;
  const auto does_not_divide = [&](int64_t group) {
    return !is_whole_row(group, k) && (group > k || k % group != 0);
  };
  if (does_not_divide(scheme.group))
    return fmt::format("groups of {} do not divide its {} columns", scheme.group, k);
  if (scheme.activation && does_not_divide(scheme.activation_group))
    return fmt::format("groups of {} do not divide its {} columns", scheme.activation_group, k);
  const QuantizedShapes shapes = quantized_shapes(scheme, weight.type.dims[0].value, k);
  const DType out = graph.value(linear.outputs[0]).type.dtype;
  const ops::Attrs attrs = linear_attrs(scheme, out, linear.attrs);
  std::vector<ops::ValueType> inputs = {graph.value(linear.inputs[0]).type};
  try {
    if (scheme.activation)
      inputs = ops::op_def(ops::Op::quantize)
                   .infer({.inputs = inputs, .attrs = quantize_attrs(scheme, k)});
    inputs.push_back(type_of(scheme.weight, shapes.codes));
    inputs.push_back(type_of(scheme.scale_dtype, shapes.scales));
    if (scheme.has_zeros) inputs.push_back(type_of(zero_dtype(scheme), shapes.scales));
    for (size_t i = 2; i < linear.inputs.size(); ++i)
      inputs.push_back(graph.value(linear.inputs[i]).type);
    const ops::Op op = scheme.activation ? ops::Op::quantized_linear : ops::Op::weight_only_linear;
    static_cast<void>(ops::op_def(op).infer({.inputs = inputs, .attrs = attrs}));
  } catch (const Error& e) {
    return e.message();
  }
  return std::nullopt;
}

std::set<std::string> quantized_modules(const graph::Graph& graph) {
  std::set<std::string> modules;
  for (const graph::ValueId id : graph.values_of_kind(graph::ValueKind::weight))
    for (const graph::WeightSegment& segment : graph.value(id).segments)
      if (segment.tensor.ends_with(kScaleTensor))
        modules.insert(segment.tensor.substr(
            0, segment.tensor.size() - std::string_view(kScaleTensor).size()));
  return modules;
}

std::string describe_scheme(const LinearScheme& scheme) {
  std::string text =
      fmt::format("{} weights {} ({} scales{})", to_string(scheme.weight),
                  describe_groups(scheme.group, "per channel"), to_string(scheme.scale_dtype),
                  scheme.has_zeros ? " and zeros" : "");
  if (scheme.activation && scheme.input_scale)
    text += fmt::format(", {} activations with a fixed scale", to_string(*scheme.activation));
  else if (scheme.activation)
    text += fmt::format(", {} activations {}", to_string(*scheme.activation),
                        describe_groups(scheme.activation_group, "per token"));
  if (scheme.has_permutation) text += ", columns reordered";
  return text;
}

}  // namespace veloz::compiler
