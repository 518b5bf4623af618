// SPDX-License-Identifier: Apache-2.0
#include "compiler/quant_schemes.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "compiler/quantized_tensors.h"

namespace veloz::compiler {
namespace {

using checkpoint::LinearScheme;

LinearScheme int8_weights(std::optional<DType> activation) {
  return {.weight = DType::int8, .activation = activation, .input_scale = {}};
}
LinearScheme fp8_weights(std::optional<DType> activation, int64_t group = 0) {
  return {.weight = DType::fp8_e4m3,
          .group = group,
          .activation = activation,
          .activation_group = group,
          .input_scale = {}};
}
LinearScheme int4_weights(std::optional<DType> activation, int64_t group) {
  return {.weight = DType::uint4x2,
          .group = group,
          .scale_dtype = DType::fp16,
          .activation = activation,
          .input_scale = {}};
}

bool matches(const std::string& pattern, const std::string& module) {
  return ::fnmatch(pattern.c_str(), module.c_str(), FNM_NOESCAPE) == 0;
}

/// The graph's linears: the tensor of each module's weight.
std::map<std::string, std::string> tensors_of(const graph::Graph& graph) {
  const graph::UseMap uses(graph);
  std::map<std::string, std::string> tensors;
  for (const graph::Node& node : graph.nodes()) {
    if (node.op != ops::Op::linear) continue;
    const std::optional<std::string> module = module_of(graph, uses, node);
    if (module) tensors[*module] = graph.value(node.inputs[1]).segments.at(0).tensor;
  }
  return tensors;
}

/// The name of the scheme that the request gives a module.
std::string scheme_of(const QuantRequest& request, const std::string& module) {
  if (module == kLmHead) return request.lm_head;
  const auto layer = std::ranges::find_if(
      request.layers, [&](const QuantLayer& entry) { return matches(entry.pattern, module); });
  return layer == request.layers.end() ? request.scheme : layer->scheme;
}

/// `tensors` are by module.
void check_pattern(const QuantLayer& layer, const std::map<std::string, std::string>& tensors) {
  std::string example;
  for (const auto& entry : tensors) {
    if (entry.first == kLmHead) continue;
    if (matches(layer.pattern, entry.first)) return;
    example = entry.first;
  }
  throw Error(
      ErrorKind::invalid_input,
      fmt::format("--quant-layer \"{}={}\" matches no linear of the model", layer.pattern,
                  layer.scheme),
      fmt::format("a linear is, for example, \"{}\"; lm_head has --quant-lm-head", example));
}

std::string plan_name(const QuantRequest& request) {
  const bool is_mixed = request.scheme == kNoScheme || !request.layers.empty();
  const std::string base = request.scheme == kNoScheme ? "" : request.scheme;
  std::string name = is_mixed ? base + (base.empty() ? "mixed" : " mixed") : base;
  if (request.lm_head != kNoScheme) name += fmt::format(", lm_head {}", request.lm_head);
  return name;
}

}  // namespace

std::span<const QuantScheme> quant_schemes() {
  static const std::array<QuantScheme, 10> kSchemes = {{
      {"fp8", "FP8 weights, a scale per channel; FP8 activations, a scale per token",
       fp8_weights(DType::fp8_e4m3)},
      {"fp8-block", "FP8 weights and activations, a scale per 128 columns of each row",
       fp8_weights(DType::fp8_e4m3, 128)},
      {"fp8-a16", "FP8 weights, a scale per channel; activations as they are",
       fp8_weights(std::nullopt)},
      {"int8", "INT8 weights, a scale per channel; INT8 activations, a scale per token",
       int8_weights(DType::int8)},
      {"int8-a16", "INT8 weights, a scale per channel; activations as they are",
       int8_weights(std::nullopt)},
      {"int4", "4-bit weights, a scale per 32 columns; INT8 activations, a scale per token",
       int4_weights(DType::int8, 32)},
      {"int4-g128", "4-bit weights, a scale per 128 columns; INT8 activations, a scale per token",
       int4_weights(DType::int8, 128)},
      {"int4-a16", "4-bit weights, a scale per 128 columns; activations as they are",
       int4_weights(std::nullopt, 128)},
      {"int4-channel", "4-bit weights, a scale per channel: naive, damages most models",
       int4_weights(std::nullopt, 0)},
      {"int4-tensor", "4-bit weights, a scale per tensor: naive, damages most models",
       int4_weights(std::nullopt, 0), true},
  }};
  return kSchemes;
}

const QuantScheme& quant_scheme(std::string_view name, std::string_view flag) {
  std::vector<std::string_view> names;
  for (const QuantScheme& scheme : quant_schemes()) {
    if (scheme.name == name) return scheme;
    names.push_back(scheme.name);
  }
  throw Error(ErrorKind::invalid_input, fmt::format("{} \"{}\" is not known", flag, name),
              fmt::format("it is {} or {}", kNoScheme, fmt::join(names, ", ")));
}

QuantLayer parse_quant_layer(const std::string& text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0)
    throw Error(ErrorKind::invalid_input,
                fmt::format("--quant-layer \"{}\" is no PATTERN=SCHEME", text),
                "write, for example, --quant-layer '*.mlp.down_proj=int8'");
  return {text.substr(0, equals), text.substr(equals + 1)};
}

bool QuantRequest::is_empty() const {
  return scheme == kNoScheme && lm_head == kNoScheme &&
         std::ranges::all_of(layers, [](const QuantLayer& l) { return l.scheme == kNoScheme; });
}

void QuantRequest::check() const {
  if (scheme != kNoScheme) quant_scheme(scheme, "--quant");
  if (lm_head != kNoScheme) quant_scheme(lm_head, "--quant-lm-head");
  for (const QuantLayer& layer : layers)
    if (layer.scheme != kNoScheme) quant_scheme(layer.scheme, "the scheme of --quant-layer");
}

std::string QuantRequest::text() const {
  std::string text = fmt::format("{}; lm_head {}", scheme, lm_head);
  for (const QuantLayer& layer : layers)
    text += fmt::format("; {}={}", layer.pattern, layer.scheme);
  return text;
}

RequestedQuantization plan_quantization(const graph::Graph& graph, const QuantRequest& request) {
  RequestedQuantization result;
  if (request.is_empty()) return result;
  request.check();
  const std::map<std::string, std::string> tensors = tensors_of(graph);
  for (const QuantLayer& layer : request.layers) check_pattern(layer, tensors);
  result.plan.name = plan_name(request);
  for (const auto& [module, tensor] : tensors) {
    const std::string name = scheme_of(request, module);
    if (name == kNoScheme) continue;
    const QuantScheme& scheme = quant_scheme(name, "--quant");
    result.plan.linears[module] = scheme.linear;
    result.linears[module] = {scheme.linear, tensor, scheme.has_one_scale};
  }
  return result;
}

}  // namespace veloz::compiler
