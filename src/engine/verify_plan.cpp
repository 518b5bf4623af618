// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <span>

#include "base/error.h"
#include "base/numeric.h"
#include "engine/json_fields.h"
#include "engine/limits_json.h"
#include "engine/plan.h"
#include "engine/verify_program.h"
#include "engine/weights_file.h"

namespace veloz::engine {
namespace {

using ops::Dim;
using ops::Symbol;
using ops::ValueType;

constexpr uint64_t kMaxWeightBytes = uint64_t{1} << 50;  // of all weights together
constexpr int64_t kMaxExtent = int64_t{1} << 40;

/// Bytes of a value whose extents are bound, checked for overflow; nothing where absurd.
std::optional<uint64_t> try_bytes(DType dtype, std::span<const Dim> dims,
                                  const ops::Binding& binding) {
  uint64_t bytes = dtype_bytes(dtype);
  for (const Dim& dim : dims) {
    const int64_t extent = dim.is_constant() ? dim.value : binding[static_cast<size_t>(dim.symbol)];
    if (extent < 1 || extent > kMaxExtent) return std::nullopt;
    const std::optional<uint64_t> product = try_multiply(bytes, static_cast<uint64_t>(extent));
    if (!product || *product > kMaxValueBytes) return std::nullopt;
    bytes = *product;
  }
  return bytes;
}

bool is_layout_name(std::string_view name) {
  constexpr size_t kMaxLayoutName = 64;
  return !name.empty() && name.size() <= kMaxLayoutName && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

void verify_weights(const Plan& plan) {
  std::set<std::string_view> names;
  uint64_t total = 0;
  for (const PlanWeight& weight : plan.weights) {
    const std::string what = fmt::format("weight {}", quote_text(weight.name));
    if (weight.name.empty() || is_reserved_tensor_name(weight.name))
      refuse(fmt::format("{} has a name that is reserved", what));
    if (!names.insert(weight.name).second) refuse(fmt::format("{} is listed twice", what));
    total += checked_bytes(type_of(weight), {}, what);
    if (total > kMaxWeightBytes) refuse("the weights together exceed 1 PiB");
    if (!is_layout_name(weight.layout))
      refuse(fmt::format("{} has layout {}, which is no layout's name", what,
                         quote_text(weight.layout)));
    if (weight.layout != kPlainLayout && weight.shape.rank() != 2)
      refuse(fmt::format("{} of shape {} has layout \"{}\", only matrices are packed", what,
                         to_string(weight.shape), weight.layout));
  }
}

void verify_states(const Plan& plan) {
  std::set<std::string_view> names;
  for (const PlanState& state : plan.states) {
    const std::string what = fmt::format("state {}", quote_text(state.name));
    if (state.name.empty() || !names.insert(state.name).second)
      refuse(fmt::format("{} has no name of its own", what));
    checked_bytes(state.type, limit_binding(plan.limits, 1), what);
    for (size_t axis = 0; axis < state.type.dims.size(); ++axis) {
      const Dim& dim = state.type.dims[axis];
      if (!dim.is_constant() && (axis > 0 || dim.symbol != Symbol::N))
        refuse(fmt::format("{} is {}: only N, on the first axis, outlives a step", what,
                           ops::to_string(state.type)));
    }
  }
}

}  // namespace

void refuse(std::string message) {
  throw Error(ErrorKind::corrupt_data, std::move(message), kRebuildHint);
}

uint64_t checked_bytes(const ValueType& type, const ops::Binding& binding,
                       const std::string& what) {
  if (type.dims.size() > Shape::kMaxRank)
    refuse(fmt::format("{} has {} axes, at most {} are held", what, type.dims.size(),
                       Shape::kMaxRank));
  const std::optional<uint64_t> bytes = try_bytes(type.dtype, type.dims, binding);
  if (!bytes)
    refuse(
        fmt::format("{} is {}: extents must be at least 1 and its size at the limits at most "
                    "64 TiB",
                    what, ops::to_string(type)));
  return *bytes;
}

ValueType type_of(const PlanWeight& weight) {
  ValueType type{weight.dtype, {}};
  for (const int64_t dim : weight.shape.dims()) type.dims.emplace_back(dim);
  return type;
}

void verify_plan(const Plan& plan) {
  verify_limits(plan.limits);
  verify_weights(plan);
  verify_states(plan);
  std::set<std::string_view> names;
  for (const Program& program : plan.programs) {
    const std::string what = fmt::format("program {}", quote_text(program.name));
    if (program.name.empty() || !names.insert(program.name).second)
      refuse(fmt::format("{} has no name of its own", what));
    try {
      verify_program(plan, program);
    } catch (Error& e) {
      e.add_context(what);
      throw;
    }
  }
}

}  // namespace veloz::engine
