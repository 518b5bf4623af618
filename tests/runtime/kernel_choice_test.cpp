// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel_choice.h"

#include <gtest/gtest.h>

#include <string>

#include "support/expect_error.h"

namespace veloz::runtime {
namespace {

using engine::Plan;
using engine::PlanStep;
using engine::Program;
using ops::Op;

bool accepts_packed(const ops::KernelQuery& query) { return query.weight_layout == "packed"; }
bool accepts_other(const ops::KernelQuery& query) { return query.weight_layout == "other"; }
void do_nothing(ops::OpContext&, const ops::OpCall&) noexcept {}

ops::WeightLayout layout(std::string_view name, DType dtype, std::string_view companion = "plain") {
  ops::WeightLayout result = ops::plain_layouts().front();
  result.name = name;
  result.dtype = dtype;
  result.companion = companion;
  return result;
}

/// Knows how "packed" lies, with and without a kernel for it.
ops::KernelRegistry registry(bool (*accepts)(const ops::KernelQuery&), bool has_references = true) {
  std::vector<ops::Kernel> kernels = {
      {"weight_only_linear/fast", Op::weight_only_linear, accepts, do_nothing}};
  if (has_references)
    for (const ops::Kernel& kernel : ops::reference_kernels()) kernels.push_back(kernel);
  std::vector<ops::WeightLayout> layouts = ops::plain_layouts();
  layouts.push_back(layout("packed", DType::int8, "beside"));
  layouts.push_back(layout("beside", DType::fp32));
  return {std::move(kernels), std::move(layouts)};
}

/// %0 in; @1 codes, @2 scales; %3 = weight_only_linear(%0, @1, @2).
Plan quantized_plan() {
  Plan plan;
  plan.weights = {{"w", DType::int8, {48, 64}, "packed"},
                  {"w.scale", DType::fp32, {48, 1}, "beside"}};
  Program program;
  program.name = "test";
  program.values = {
      {"x", {DType::bf16, {ops::Symbol::R, 64}}, engine::InputSlot{}},
      {"w", {DType::int8, {48, 64}}, engine::WeightSlot{0}},
      {"w.scale", {DType::fp32, {48, 1}}, engine::WeightSlot{1}},
      {"y", {DType::fp32, {ops::Symbol::R, 48}}, engine::ArenaSlot{0}},
  };
  program.inputs = {0};
  program.outputs = {3};
  program.steps = {{Op::weight_only_linear, {0, 1, 2}, {3}, {{"out", "fp32"}}}};
  program.arena_bytes = 1 << 20;
  plan.programs = {program};
  return plan;
}

std::vector<std::string> layouts_of(const Plan& plan, const ops::KernelRegistry& with) {
  std::vector<std::string> names;
  for (const ops::WeightLayout* chosen : choose_kernels(plan, plan.programs[0], with).layouts)
    names.emplace_back(chosen->name);
  return names;
}

TEST(KernelChoice, KeepsAMatrixAndItsScalesAsTheyAreStored) {
  const ops::KernelRegistry with = registry(accepts_packed);
  EXPECT_EQ(layouts_of(quantized_plan(), with), (std::vector<std::string>{"packed", "beside"}));
  EXPECT_EQ(choose_kernels(quantized_plan(), quantized_plan().programs[0], with).kernels[0]->name,
            "weight_only_linear/fast");
}

TEST(KernelChoice, RepacksScalesWithTheirMatrix) {
  EXPECT_EQ(layouts_of(quantized_plan(), registry(accepts_other)),
            (std::vector<std::string>{"plain", "plain"}));
}

TEST(KernelChoice, RepacksScalesThatAreStoredOtherwiseThanTheirMatrixWants) {
  Plan plan = quantized_plan();
  plan.weights[1].layout = "plain";
  EXPECT_EQ(layouts_of(plan, registry(accepts_packed)),
            (std::vector<std::string>{"packed", "beside"}));
}

TEST(KernelChoice, TakesThePlainLayoutWhereTwoMatricesShareTheirScales) {
  Plan plan = quantized_plan();
  plan.weights.push_back({"v", DType::int8, {48, 64}, "packed"});
  Program& program = plan.programs[0];
  program.values.push_back({"v", {DType::int8, {48, 64}}, engine::WeightSlot{2}});
  program.values.push_back({"z", {DType::fp32, {ops::Symbol::R, 48}}, engine::ArenaSlot{1 << 16}});
  program.steps.push_back({Op::weight_only_linear, {0, 4, 2}, {5}, {{"out", "fp32"}}});
  EXPECT_EQ(layouts_of(plan, registry(accepts_packed)),
            (std::vector<std::string>{"plain", "plain", "plain"}));
}

TEST(KernelChoice, RepacksWhatOnlyAReferenceReads) {
  Plan plan = quantized_plan();
  for (engine::PlanWeight& weight : plan.weights) weight.layout = "plain";
  EXPECT_EQ(layouts_of(plan, registry(accepts_packed)),
            (std::vector<std::string>{"packed", "beside"}));
}

TEST(KernelChoice, UnpacksForeignLayoutsAndNeverChoosesThem) {
  const auto accepts_all = [](const ops::KernelQuery&) { return true; };
  const ops::KernelRegistry own(
      {{"weight_only_linear/fast", Op::weight_only_linear, accepts_all, do_nothing}},
      ops::plain_layouts());
  EXPECT_TRUE(test::throws_error(ErrorKind::unsupported, {"unknown weight layout \"packed\""},
                                 [&] { layouts_of(quantized_plan(), own); }));
  const ops::KernelRegistry with = own.with_foreign_layouts(
      {layout("packed", DType::int8, "beside"), layout("beside", DType::fp32)});
  EXPECT_EQ(layouts_of(quantized_plan(), with), (std::vector<std::string>{"plain", "plain"}));
}

TEST(KernelChoice, RefusesAMatrixThatNoKernelTakes) {
  EXPECT_TRUE(test::throws_error(
      ErrorKind::unsupported, {"no kernel here runs weight_only_linear on weight \"w\""},
      [] { layouts_of(quantized_plan(), registry(accepts_other, /*has_references=*/false)); }));
}

}  // namespace
}  // namespace veloz::runtime
