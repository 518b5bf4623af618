// SPDX-License-Identifier: Apache-2.0
#include "compiler/quant_plan_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "ops/attrs.h"

namespace veloz::compiler {
namespace {

using checkpoint::LinearScheme;
using checkpoint::QuantPlan;
using ops::Attrs;

Attrs linear_line(const std::string& module, const LinearScheme& scheme) {
  Attrs attrs = {{"module", module},
                 {"weight", std::string(to_string(scheme.weight))},
                 {"group", scheme.group},
                 {"scale", std::string(to_string(scheme.scale_dtype))}};
  if (scheme.has_zeros) attrs.set("zeros", int64_t{1});
  if (scheme.has_permutation) attrs.set("permutation", int64_t{1});
  if (scheme.activation) {
    attrs.set("activation", std::string(to_string(*scheme.activation)));
    attrs.set("activation_group", scheme.activation_group);
  }
  if (scheme.input_scale) attrs.set("input_scale", *scheme.input_scale);
  return attrs;
}

DType dtype_of(const Attrs& attrs, std::string_view name) {
  const std::string& text = attrs.get_string(name);
  const std::optional<DType> dtype = try_parse_dtype(text);
  if (!dtype)
    throw Error(ErrorKind::corrupt_data, fmt::format("{} \"{}\" is no dtype", name, text));
  return *dtype;
}

LinearScheme parse_linear(const Attrs& attrs) {
  LinearScheme scheme;
  scheme.weight = dtype_of(attrs, "weight");
  scheme.group = attrs.get_int("group");
  scheme.scale_dtype = dtype_of(attrs, "scale");
  scheme.has_zeros = attrs.contains("zeros");
  scheme.has_permutation = attrs.contains("permutation");
  if (attrs.contains("activation")) {
    scheme.activation = dtype_of(attrs, "activation");
    scheme.activation_group = attrs.get_int("activation_group");
  }
  if (attrs.contains("input_scale")) scheme.input_scale = attrs.get_float("input_scale");
  return scheme;
}

void parse_line(std::string_view line, QuantPlan& plan) {
  const size_t open = line.find(" {");
  if (open == std::string_view::npos || !line.ends_with('}'))
    throw Error(ErrorKind::corrupt_data, "not a word and {attributes}");
  const Attrs attrs = ops::parse_attrs(line.substr(open + 2, line.size() - open - 3));
  const std::string_view kind = line.substr(0, open);
  if (kind == "plan") {
    plan.name = attrs.get_string("name");
    if (attrs.contains("kv_cache")) plan.kv_cache = dtype_of(attrs, "kv_cache");
  } else if (kind == "linear") {
    plan.linears[attrs.get_string("module")] = parse_linear(attrs);
  } else if (kind == "kv_scales") {
    plan.kv_scales.push_back({attrs.get_float("k"), attrs.get_float("v")});
  } else {
    throw Error(ErrorKind::corrupt_data, fmt::format("unknown entry \"{}\"", kind.substr(0, 40)));
  }
}

}  // namespace

std::string print_quant_plan(const QuantPlan& plan) {
  Attrs head = {{"name", plan.name}};
  if (plan.kv_cache) head.set("kv_cache", std::string(to_string(*plan.kv_cache)));
  std::string text = fmt::format("plan{}\n", ops::to_string(head));
  for (const auto& [module, scheme] : plan.linears)
    text += fmt::format("linear{}\n", ops::to_string(linear_line(module, scheme)));
  for (const checkpoint::KvScales& scales : plan.kv_scales)
    text += fmt::format("kv_scales{}\n", ops::to_string(Attrs{{"k", scales.k}, {"v", scales.v}}));
  return text;
}

QuantPlan parse_quant_plan(std::string_view text) {
  QuantPlan plan;
  for (int64_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    try {
      parse_line(text.substr(0, end), plan);
    } catch (Error& e) {
      e.add_context(fmt::format("line {}", number));
      throw;
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return plan;
}

}  // namespace veloz::compiler
