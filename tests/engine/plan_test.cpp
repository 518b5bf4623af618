// SPDX-License-Identifier: Apache-2.0
#include "engine/plan.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/expect_error.h"
#include "support/tiny_engine.h"

namespace veloz::engine {
namespace {

using test::throws_error;
using Json = nlohmann::json;

/// The tiny plan's JSON plan_with one value replaced.
std::string plan_with(const std::string& pointer, const Json& value) {
  Json json = Json::parse(print_plan(test::tiny_model().plan));
  json[Json::json_pointer(pointer)] = value;
  return json.dump();
}
std::string without(const std::string& pointer, const std::string& key) {
  Json json = Json::parse(print_plan(test::tiny_model().plan));
  json[Json::json_pointer(pointer)].erase(key);
  return json.dump();
}

TEST(PlanJson, ReadsBackWhatItPrints) {
  const Plan plan = test::tiny_model().plan;
  const std::string text = print_plan(plan);
  const Plan back = parse_plan(text);
  EXPECT_EQ(print_plan(back), text);
  EXPECT_EQ(back.limits, plan.limits);
  ASSERT_EQ(back.programs.size(), 1u);
  const Program& program = back.programs[0];
  ASSERT_EQ(program.steps.size(), plan.programs[0].steps.size());
  for (size_t i = 0; i < program.steps.size(); ++i) {
    EXPECT_EQ(program.steps[i].op, plan.programs[0].steps[i].op);
    EXPECT_EQ(program.steps[i].attrs, plan.programs[0].steps[i].attrs) << i;
  }
  for (size_t i = 0; i < program.values.size(); ++i) {
    EXPECT_EQ(program.values[i].slot, plan.programs[0].values[i].slot) << i;
    EXPECT_EQ(program.values[i].type, plan.programs[0].values[i].type) << i;
  }
}

TEST(PlanJson, KeepsEveryBitOfAFloatAndItsType) {
  Plan plan = test::tiny_model().plan;
  for (const double eps : {0.1 + 0.2, 5e-324, 1.7976931348623157e308, 1.0, 1e22}) {
    plan.programs[0].steps[2].attrs.set("eps", eps);
    const Plan back = parse_plan(print_plan(plan));
    EXPECT_EQ(back.programs[0].steps[2].attrs, plan.programs[0].steps[2].attrs) << eps;
  }
}

TEST(PlanJson, PutsEachStepOnOneLine) {
  EXPECT_NE(
      print_plan(test::tiny_model().plan)
          .find(
              "\n        {\"op\":\"linear\",\"inputs\":[15,11],\"outputs\":[16],\"attrs\":{}},\n"),
      std::string::npos);
}

TEST(Plan, NamesTheProgramsThereAre) {
  const Plan plan = test::tiny_model().plan;
  EXPECT_EQ(plan.program("step").steps.size(), 12u);
  EXPECT_TRUE(
      throws_error(ErrorKind::not_found, {"\"unet\"", "step"}, [&] { plan.program("unet"); }));
}

TEST(Plan, BindsSymbolsAtTheLimits) {
  const ops::Binding binding = limit_binding(test::tiny_model().plan.limits, 7);
  EXPECT_EQ(binding[static_cast<size_t>(ops::Symbol::T)], 16);
  EXPECT_EQ(binding[static_cast<size_t>(ops::Symbol::S)], 4);
  EXPECT_EQ(binding[static_cast<size_t>(ops::Symbol::R)], 4);
  EXPECT_EQ(binding[static_cast<size_t>(ops::Symbol::B)], 8);
  EXPECT_EQ(binding[static_cast<size_t>(ops::Symbol::N)], 7);
}

struct BadPlanCase {
  std::string name;
  std::string text;
  std::vector<std::string> message;
};

class BadPlanText : public ::testing::TestWithParam<BadPlanCase> {};

TEST_P(BadPlanText, IsRefusedWithFileKeyAndValue) {
  const BadPlanCase& bad = GetParam();
  try {
    parse_plan(bad.text);
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::corrupt_data) << e.message();
    EXPECT_FALSE(e.hint().empty());
    EXPECT_NE(e.message().find("plan.json"), std::string::npos) << e.message();
    for (const std::string& part : bad.message)
      EXPECT_NE(e.message().find(part), std::string::npos) << part << " in " << e.message();
  }
}

const std::string kStep0 = "/programs/0/steps/0";
const std::string kValue0 = "/programs/0/values/0";

INSTANTIATE_TEST_SUITE_P(
    All, BadPlanText,
    ::testing::Values(
        BadPlanCase{"Empty", "", {"no valid JSON"}},
        BadPlanCase{"NotJson", "{\"limits\": ", {"no valid JSON"}},
        BadPlanCase{"Array", "[]", {"not an object"}},
        BadPlanCase{"Deep", std::string(100'000, '['), {"nested deeper than 16", "byte 16"}},
        BadPlanCase{"DuplicateKey", "{\"limits\": {}, \"limits\": {}}", {"\"limits\" twice"}},
        BadPlanCase{"BadUtf8", "{\"limits\": \"\xff\"}", {"no valid JSON"}},
        BadPlanCase{"HugeNumber", "{\"limits\": 1e999}", {"no valid JSON"}},
        BadPlanCase{
            "UnknownKey", plan_with("/speed", 1), {"unknown key \"speed\"", "limits, weights"}},
        BadPlanCase{"MissingKey", without("", "weights"), {"\"weights\" is missing"}},
        BadPlanCase{"MissingNestedKey",
                    without(kStep0, "attrs"),
                    {"\"programs[0].steps[0].attrs\" is missing"}},
        BadPlanCase{"LimitZero",
                    plan_with("/limits/max_num_seqs", 0),
                    {"\"limits.max_num_seqs\" is 0", "between 1 and"}},
        BadPlanCase{"LimitHuge",
                    plan_with("/limits/max_model_len", int64_t{1} << 40),
                    {"\"limits.max_model_len\"", "between 1 and 1073741824"}},
        BadPlanCase{"LimitFloat", plan_with("/limits/block_size", 4.5), {"4.5", "not an integer"}},
        BadPlanCase{"LimitBeyondInt64",
                    plan_with("/limits/block_size", UINT64_MAX),
                    {"18446744073709551615", "not between"}},
        BadPlanCase{"UnknownOp",
                    plan_with(kStep0 + "/op", "matmul"),
                    {"\"programs[0].steps[0].op\" is \"matmul\"", "not an op"}},
        BadPlanCase{"OperandText", plan_with(kStep0 + "/inputs/0", "x"), {"not an integer"}},
        BadPlanCase{"OperandNegative", plan_with(kStep0 + "/inputs/0", -1), {"is -1"}},
        BadPlanCase{"AttrNull",
                    plan_with("/programs/0/steps/2/attrs/eps", nullptr),
                    {"is null", "not a string"}},
        BadPlanCase{"AttrList",
                    plan_with("/programs/0/steps/2/attrs/eps", Json::array()),
                    {"not a string"}},
        BadPlanCase{
            "UnknownDtype", plan_with(kValue0 + "/type", "int31[T]"), {"not a type", "int31"}},
        BadPlanCase{"UnknownSymbol", plan_with(kValue0 + "/type", "int32[Q]"), {"not a type", "Q"}},
        BadPlanCase{
            "RankSeven", plan_with(kValue0 + "/type", "int32[1,1,1,1,1,1,1]"), {"6 extents"}},
        BadPlanCase{"ExtentOverflow",
                    plan_with(kValue0 + "/type", "int32[99999999999999999999]"),
                    {"not a type"}},
        BadPlanCase{"SlotUnknown", plan_with(kValue0 + "/slot", "output"), {"not \"input\""}},
        BadPlanCase{"SlotTwoKinds",
                    plan_with(kValue0 + "/slot", Json{{"arena", 0}, {"weight", 0}}),
                    {"not one of"}},
        BadPlanCase{"ViewWithoutBegin",
                    plan_with("/programs/0/values/17/slot", Json{{"view", 16}}),
                    {"not one of"}},
        BadPlanCase{
            "WeightSymbolic", plan_with("/weights/0/type", "fp32[T,8]"), {"constant extents"}},
        BadPlanCase{
            "WeightZeroExtent", plan_with("/weights/0/type", "fp32[0,8]"), {"constant extents"}},
        BadPlanCase{"LongName",
                    plan_with("/weights/0/name", std::string(600, 'a')),
                    {"600 bytes", "at most 512"}},
        BadPlanCase{"WeightsObject",
                    plan_with("/weights", "none"),
                    {"\"weights\" is \"none\"", "not an array"}}),
    [](const auto& test_info) { return test_info.param.name; });

/// Values a careless or hostile writer might put anywhere.
const std::vector<Json>& odd_values() {
  static const std::vector<Json> values = {nullptr,
                                           true,
                                           -1,
                                           0,
                                           1,
                                           27,
                                           int64_t{1} << 31,
                                           INT64_MAX,
                                           INT64_MIN,
                                           UINT64_MAX,
                                           0.5,
                                           -1e308,
                                           "",
                                           "x",
                                           "input",
                                           "fp32[N,8]",
                                           "T",
                                           Json::array(),
                                           Json::object(),
                                           Json::array({0}),
                                           Json{{"arena", 0}},
                                           Json{{"view", 16}, {"begin", 4}}};
  return values;
}

TEST(PlanJson, NeverCrashesOnAMutatedDocument) {
  const Json original = Json::parse(print_plan(test::tiny_model().plan));
  size_t refused = 0;
  size_t accepted = 0;
  const Json leaves = original.flatten();
  for (const auto& [pointer, unused] : leaves.items()) {
    for (const Json& value : odd_values()) {
      Json json = original;
      json[Json::json_pointer(pointer)] = value;
      try {
        const Plan plan = parse_plan(json.dump());
        verify_plan(plan);
        ++accepted;
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::corrupt_data) << pointer << " = " << value << e.message();
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 4000u);
  // Names of values, limits within range and attributes like eps may change freely.
  EXPECT_LT(accepted, refused / 10) << accepted << " of " << refused;
}

}  // namespace
}  // namespace veloz::engine
