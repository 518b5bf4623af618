// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/error.h"
#include "compiler/passes/pass.h"
#include "compiler/quantized_tensors.h"

namespace veloz::compiler {
namespace {

using checkpoint::LinearScheme;
using checkpoint::QuantPlan;
using graph::Graph;
using graph::Node;
using graph::UseMap;
using graph::ValueId;
using ops::Op;

/// The weights a quantized linear reads beside x.
struct QuantizedWeight {
  ValueId codes{};
  ValueId scales{};
  std::optional<ValueId> zeros;
  std::optional<ValueId> permutation;
};

class Quantizer {
 public:
  Quantizer(Graph& graph, const QuantPlan& plan) : graph_(graph), plan_(plan), uses_(graph) {}

  PassReport run() {
    const std::vector<Node> nodes = graph_.nodes();
    for (const Node& node : nodes) {
      if (node.op != Op::linear) {
        rewritten_.push_back(node);
      } else if (const std::optional<std::string> reason = why_not(node)) {
        rewritten_.push_back(node);
        left_alone_.push_back(
            fmt::format("%{} left alone: {}", graph_.value(node.outputs[0]).name, *reason));
      } else {
        rewrite(node);
      }
    }
    graph_.replace_nodes(std::move(rewritten_));
    return report();
  }

 private:
  std::optional<std::string> why_not(const Node& linear) const {
    const std::optional<std::string> module = module_of(graph_, uses_, linear);
    if (!module) return fmt::format("@{} is several tensors", graph_.value(linear.inputs[1]).name);
    const auto scheme = plan_.linears.find(*module);
    if (scheme == plan_.linears.end()) return fmt::format("the plan has no \"{}\"", *module);
    return why_not_quantizable(scheme->second, graph_, linear);
  }

  void rewrite(const Node& linear) {
    const std::string module = *module_of(graph_, uses_, linear);
    const LinearScheme& scheme = plan_.linears.at(module);
    const QuantizedWeight& weight = quantized_weight(linear, module, scheme);
    ValueId x = linear.inputs[0];
    if (weight.permutation)
      x = once(Op::permute_columns, {x, *weight.permutation}, {}, {".permuted"}).front();
    Node node = linear;
    node.op = scheme.activation ? Op::quantized_linear : Op::weight_only_linear;
    node.attrs = linear_attrs(scheme, graph_.value(linear.outputs[0]).type.dtype, linear.attrs);
    node.inputs = {x};
    if (scheme.activation)
      node.inputs =
          once(Op::quantize, {x}, quantize_attrs(scheme, columns_of(x)), {".codes", ".scales"});
    node.inputs.push_back(weight.codes);
    node.inputs.push_back(weight.scales);
    if (weight.zeros) node.inputs.push_back(*weight.zeros);
    node.inputs.insert(node.inputs.end(), linear.inputs.begin() + 2, linear.inputs.end());
    rewritten_.push_back(std::move(node));
    ++num_linears_[describe_scheme(scheme)];
  }

  PassReport report() {
    PassReport report;
    for (const auto& [scheme, count] : num_linears_) {
      report.num_rewrites += count;
      report.remarks.push_back(fmt::format("{} linears: {}", count, scheme));
    }
    std::ranges::move(left_alone_, std::back_inserter(report.remarks));
    return report;
  }

  /// The node's results where it stands already, so that what many readers want is computed once.
  std::vector<ValueId> once(Op op, std::vector<ValueId> inputs, ops::Attrs attrs,
                            std::initializer_list<const char*> suffixes) {
    const auto key = std::tuple(op, inputs, ops::to_string(attrs));
    const auto found = made_.find(key);
    if (found != made_.end()) return found->second;
    std::vector<std::string> names;
    for (const char* suffix : suffixes) names.push_back(graph_.value(inputs[0]).name + suffix);
    std::vector<ValueId> outputs =
        graph_.add_node(op, std::move(inputs), std::move(attrs), std::move(names));
    rewritten_.push_back(graph_.nodes().back());
    return made_[key] = std::move(outputs);
  }

  const QuantizedWeight& quantized_weight(const Node& linear, const std::string& module,
                                          const LinearScheme& scheme) {
    const ValueId weight = linear.inputs[1];
    const auto found = weights_.find(weight);
    if (found != weights_.end()) return found->second;
    const Shape shape = graph_.value(weight).type.bind({});
    const QuantizedShapes shapes = quantized_shapes(scheme, shape[0], shape[1]);
    QuantizedWeight result;
    result.codes = weight;
    if (is_read_as_table(graph_, uses_, weight))
      result.codes =
          graph_.add_weight(module, scheme.weight, shapes.codes, {{module + ".weight", shape[0]}});
    else
      graph_.set_weight_type(weight, scheme.weight, shapes.codes);
    const std::string name = graph_.value(result.codes).name;
    const auto add = [&](const char* suffix, DType dtype, const Shape& of, const char* tensor) {
      return graph_.add_weight(name + suffix, dtype, of, {{module + tensor, of[0]}});
    };
    result.scales = add(".scale", scheme.scale_dtype, shapes.scales, kScaleTensor);
    if (scheme.has_zeros)
      result.zeros = add(".zero", zero_dtype(scheme), shapes.scales, kZeroTensor);
    if (scheme.has_permutation)
      result.permutation = add(".permutation", DType::int32, {shape[1]}, kPermutationTensor);
    return weights_[weight] = result;
  }

  int64_t columns_of(ValueId x) const { return graph_.value(x).type.dims[1].value; }

  Graph& graph_;
  const QuantPlan& plan_;
  const UseMap uses_;  // of the graph as it was
  std::vector<Node> rewritten_;
  std::map<ValueId, QuantizedWeight> weights_;  // by the weight as it was
  std::map<std::tuple<Op, std::vector<ValueId>, std::string>, std::vector<ValueId>> made_;
  std::map<std::string, int64_t> num_linears_;  // rewritten, by scheme
  std::vector<std::string> left_alone_;
};

}  // namespace

PassReport quantize(Graph& graph, const PassContext& context) {
  if (context.quantization == nullptr || context.quantization->linears.empty()) return {};
  return Quantizer(graph, *context.quantization).run();
}

}  // namespace veloz::compiler
