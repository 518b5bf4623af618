// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "engine/json_fields.h"
#include "engine/limits_json.h"
#include "engine/plan.h"

namespace veloz::engine {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr size_t kMaxPlanBytes = size_t{64} << 20;
constexpr size_t kMaxEntries = size_t{1} << 20;  // weights, values, steps of one plan
constexpr size_t kMaxOperands = 64;
constexpr size_t kMaxAttrs = 64;
constexpr size_t kMaxPlanNameBytes = 512;

template <typename... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};
template <typename... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;

OrderedJson slot_json(const Slot& slot) {
  return std::visit(Overloaded{
                        [](InputSlot) { return OrderedJson("input"); },
                        [](WeightSlot s) {
                          return OrderedJson{{"weight", s.weight}};
                        },
                        [](StateSlot s) {
                          return OrderedJson{{"state", s.state}};
                        },
                        [](ArenaSlot s) {
                          return OrderedJson{{"arena", s.offset}};
                        },
                        [](ViewSlot s) {
                          return OrderedJson{{"view", s.value}, {"begin", s.begin}};
                        },
                    },
                    slot);
}

OrderedJson attrs_json(const ops::Attrs& attrs) {
  OrderedJson object = OrderedJson::object();
  for (const auto& entry : attrs.entries()) {
    if (const double* number = std::get_if<double>(&entry.second))
      VELOZ_CHECK(std::isfinite(*number), "attribute \"{}\" is not finite", entry.first);
    std::visit([&](const auto& value) { object[entry.first] = value; }, entry.second);
  }
  return object;
}

/// Entries one per line, so that a person can read the file and diff it.
std::string print_lines(const std::vector<OrderedJson>& entries, std::string_view indent) {
  std::string text = "[";
  for (size_t i = 0; i < entries.size(); ++i)
    text += fmt::format("{}\n{}  {}", i == 0 ? "" : ",", indent, dump_line(entries[i]));
  if (!entries.empty()) text += fmt::format("\n{}", indent);
  return text + "]";
}

std::string print_program(const Program& program) {
  std::vector<OrderedJson> values;
  for (const PlanValue& value : program.values)
    values.push_back({{"name", value.name},
                      {"type", ops::to_string(value.type)},
                      {"slot", slot_json(value.slot)}});
  std::vector<OrderedJson> steps;
  for (const PlanStep& step : program.steps)
    steps.push_back({{"op", ops::op_def(step.op).name},
                     {"inputs", step.inputs},
                     {"outputs", step.outputs},
                     {"attrs", attrs_json(step.attrs)}});
  return fmt::format(
      "    {{\n      \"name\": {},\n      \"arena_bytes\": {},\n      \"inputs\": {},\n"
      "      \"outputs\": {},\n      \"values\": {},\n      \"steps\": {}\n    }}",
      dump_line(program.name), program.arena_bytes, dump_line(program.inputs),
      dump_line(program.outputs), print_lines(values, "      "), print_lines(steps, "      "));
}

ops::ValueType parse_type(const JsonNode& node) {
  const std::string text = node.text(kMaxPlanNameBytes);
  try {
    return ops::parse_value_type(text);
  } catch (const Error& e) {
    node.fail(fmt::format("not a type: {}", e.message()));
  }
}

PlanWeight parse_weight(const JsonNode& node) {
  node.expect_keys({"name", "type", "layout"});
  PlanWeight weight;
  weight.name = node.at("name").text(kMaxPlanNameBytes);
  weight.layout = node.at("layout").text(kMaxPlanNameBytes);
  const ops::ValueType type = parse_type(node.at("type"));
  weight.dtype = type.dtype;
  if (type.dims.size() > Shape::kMaxRank)
    node.at("type").fail(fmt::format("of more than {} axes", Shape::kMaxRank));
  std::vector<int64_t> dims;
  for (const ops::Dim& dim : type.dims) {
    if (!dim.is_constant() || dim.value < 1)
      node.at("type").fail("but a weight has constant extents >= 1");
    dims.push_back(dim.value);
  }
  weight.shape = Shape(dims);
  return weight;
}

Slot parse_slot(const JsonNode& node) {
  if (node.is_text()) {
    if (node.text(kMaxPlanNameBytes) != "input") node.fail("not \"input\" or an object");
    return InputSlot{};
  }
  node.expect_keys({"weight", "state", "arena", "view", "begin"});
  const size_t num_keys = node.keys().size();
  if (num_keys == 2 && node.has("view"))
    return ViewSlot{node.at("view").integer(0, INT64_MAX), node.at("begin").integer(0, INT64_MAX)};
  if (num_keys == 1 && node.has("weight"))
    return WeightSlot{node.at("weight").integer(0, INT64_MAX)};
  if (num_keys == 1 && node.has("state")) return StateSlot{node.at("state").integer(0, INT64_MAX)};
  if (num_keys == 1 && node.has("arena")) return ArenaSlot{node.at("arena").integer(0, INT64_MAX)};
  node.fail("not one of {\"weight\"}, {\"state\"}, {\"arena\"}, {\"view\", \"begin\"}");
}

ops::Attrs parse_attrs(const JsonNode& node) {
  if (!node.is_object()) node.fail("not an object");
  ops::Attrs attrs;
  const std::vector<std::string> names = node.keys();
  const std::vector<JsonNode> values = node.items(kMaxAttrs);
  for (size_t i = 0; i < names.size(); ++i) {
    const JsonNode& value = values[i];
    if (names[i].empty() || names[i].size() > kMaxPlanNameBytes)
      value.fail("an attribute without a name");
    if (value.is_integer())
      attrs.set(names[i], value.integer(INT64_MIN, INT64_MAX));
    else if (value.is_float())
      attrs.set(names[i], value.number());
    else
      attrs.set(names[i], value.text(kMaxPlanNameBytes));
  }
  return attrs;
}

PlanStep parse_step(const JsonNode& node) {
  node.expect_keys({"op", "inputs", "outputs", "attrs"});
  PlanStep step;
  const JsonNode op_node = node.at("op");
  const std::optional<ops::Op> op = ops::try_parse_op(op_node.text(kMaxPlanNameBytes));
  if (!op) op_node.fail("not an op this veloz knows");
  step.op = *op;
  step.inputs = node.at("inputs").integers(0, INT64_MAX, kMaxOperands);
  step.outputs = node.at("outputs").integers(0, INT64_MAX, kMaxOperands);
  step.attrs = parse_attrs(node.at("attrs"));
  return step;
}

Program parse_program(const JsonNode& node) {
  node.expect_keys({"name", "arena_bytes", "inputs", "outputs", "values", "steps"});
  Program program;
  program.name = node.at("name").text(kMaxPlanNameBytes);
  program.arena_bytes = node.at("arena_bytes").integer(0, INT64_MAX);
  program.inputs = node.at("inputs").integers(0, INT64_MAX, kMaxEntries);
  program.outputs = node.at("outputs").integers(0, INT64_MAX, kMaxEntries);
  for (const JsonNode& item : node.at("values").items(kMaxEntries)) {
    item.expect_keys({"name", "type", "slot"});
    program.values.push_back({item.at("name").text(kMaxPlanNameBytes), parse_type(item.at("type")),
                              parse_slot(item.at("slot"))});
  }
  for (const JsonNode& item : node.at("steps").items(kMaxEntries))
    program.steps.push_back(parse_step(item));
  return program;
}

}  // namespace

std::string print_plan(const Plan& plan) {
  std::vector<OrderedJson> weights;
  for (const PlanWeight& weight : plan.weights) {
    ops::ValueType type{weight.dtype, {}};
    for (const int64_t dim : weight.shape.dims()) type.dims.emplace_back(dim);
    weights.push_back(
        {{"name", weight.name}, {"type", ops::to_string(type)}, {"layout", weight.layout}});
  }
  std::vector<OrderedJson> states;
  for (const PlanState& state : plan.states)
    states.push_back({{"name", state.name}, {"type", ops::to_string(state.type)}});
  std::vector<std::string> programs;
  for (const Program& program : plan.programs) programs.push_back(print_program(program));
  return fmt::format(
      "{{\n  \"limits\": {},\n  \"weights\": {},\n  \"states\": {},\n  \"programs\": [\n{}\n  "
      "]\n}}\n",
      dump_line(limits_json(plan.limits)), print_lines(weights, "  "), print_lines(states, "  "),
      fmt::join(programs, ",\n"));
}

Plan parse_plan(std::string_view json) {
  const JsonDocument document(json, "plan.json", kMaxPlanBytes);
  const JsonNode root = document.root();
  root.expect_keys({"limits", "weights", "states", "programs"});
  Plan plan;
  plan.limits = parse_limits(root.at("limits"));
  for (const JsonNode& item : root.at("weights").items(kMaxEntries))
    plan.weights.push_back(parse_weight(item));
  for (const JsonNode& item : root.at("states").items(kMaxEntries)) {
    item.expect_keys({"name", "type"});
    plan.states.push_back({item.at("name").text(kMaxPlanNameBytes), parse_type(item.at("type"))});
  }
  for (const JsonNode& item : root.at("programs").items(kMaxEntries))
    plan.programs.push_back(parse_program(item));
  try {
    verify_plan(plan);
  } catch (Error& e) {
    e.add_context("plan.json");
    throw;
  }
  return plan;
}

}  // namespace veloz::engine
