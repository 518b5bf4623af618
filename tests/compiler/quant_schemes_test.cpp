// SPDX-License-Identifier: Apache-2.0
#include "compiler/quant_schemes.h"

#include <gtest/gtest.h>

#include "compiler/quant_plan_text.h"
#include "support/expect_error.h"

namespace veloz::compiler {
namespace {

using checkpoint::QuantPlan;
using test::throws_error;

graph::Graph two_layers() {
  return graph::parse(R"(graph test {
  input %tokens : int32[T]
  weight @embed : bf16[96,64] = "model.embed.weight"[96]
  weight @a : bf16[64,64] = "layers.0.down.weight"[64]
  weight @b : bf16[64,64] = "layers.1.down.weight"[64]
  %x = embedding(%tokens, @embed) : bf16[T,64]
  %y = linear(%x, @a) : bf16[T,64]
  %z = linear(%y, @b) : bf16[T,64]
  %logits = linear(%z, @embed) {out="fp32"} : fp32[T,96]
  return %logits
}
)");
}

QuantRequest request(const std::string& scheme, std::vector<QuantLayer> layers = {}) {
  return {.scheme = scheme, .layers = std::move(layers)};
}

std::vector<std::string> modules(const QuantPlan& plan) {
  std::vector<std::string> names;
  for (const auto& entry : plan.linears) names.push_back(entry.first);
  return names;
}

TEST(QuantSchemes, AreForEveryLinearButTheHead) {
  const RequestedQuantization requested = plan_quantization(two_layers(), request("int8"));
  EXPECT_EQ(modules(requested.plan), (std::vector<std::string>{"layers.0.down", "layers.1.down"}));
  EXPECT_EQ(requested.plan.name, "int8");
  EXPECT_EQ(requested.plan.linears.at("layers.0.down"), quant_scheme("int8", "").linear);
  EXPECT_EQ(requested.linears.at("layers.0.down").tensor, "layers.0.down.weight");
}

TEST(QuantSchemes, OfTheHeadTakeTheTableItShares) {
  QuantRequest only_head;
  only_head.lm_head = "int8";
  const RequestedQuantization requested = plan_quantization(two_layers(), only_head);
  EXPECT_EQ(modules(requested.plan), (std::vector<std::string>{"lm_head"}));
  EXPECT_EQ(requested.linears.at("lm_head").tensor, "model.embed.weight");
  EXPECT_EQ(requested.plan.name, "mixed, lm_head int8");
}

TEST(QuantSchemes, FollowTheFirstPatternThatMatches) {
  const QuantPlan plan =
      plan_quantization(two_layers(), request("int4", {{"layers.1.*", "none"}, {"*", "fp8"}})).plan;
  EXPECT_EQ(modules(plan), (std::vector<std::string>{"layers.0.down"}));
  EXPECT_EQ(plan.linears.at("layers.0.down"), quant_scheme("fp8", "").linear);
  EXPECT_EQ(plan.name, "int4 mixed");
}

TEST(QuantSchemes, OfNothingPlanNothing) {
  EXPECT_TRUE(plan_quantization(two_layers(), {}).plan.is_empty());
  EXPECT_TRUE(plan_quantization(two_layers(), request("none", {{"*", "none"}})).plan.is_empty());
}

TEST(QuantSchemes, AreRefusedWhereTheyAreNotKnown) {
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"--quant \"int3\"", "int4-g128"},
                           [] { request("int3").check(); }));
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"--quant-layer \"int3\""}, [] {
    request("int8", {{"*", "int3"}}).check();
  }));
}

TEST(QuantSchemes, RefuseAPatternThatMatchesNoLinear) {
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input,
                           {"\"lm_*=fp8\" matches no linear", "layers.1.down", "--quant-lm-head"},
                           [] {
                             plan_quantization(two_layers(), request("int8", {{"lm_*", "fp8"}}));
                           }));
}

TEST(QuantLayers, AreAPatternAndAScheme) {
  EXPECT_EQ(parse_quant_layer("a[=]b=int8").pattern, "a[=]b");
  EXPECT_EQ(parse_quant_layer("*.down=none").scheme, "none");
  for (const char* text : {"", "int8", "=int8"})
    EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"is no PATTERN=SCHEME"},
                             [&] { parse_quant_layer(text); }));
}

QuantPlan full_plan() {
  QuantPlan plan;
  plan.name = "a \"name\"";
  checkpoint::LinearScheme& scheme = plan.linears["layers.0.\xc3\xa9"];
  scheme.weight = DType::fp8_e4m3;
  scheme.activation = DType::fp8_e4m3;
  scheme.input_scale = 0.1;
  scheme.has_permutation = true;
  plan.linears["b"] = quant_scheme("int4", "").linear;
  plan.linears["b"].has_zeros = true;
  plan.linears["c"] = quant_scheme("fp8-block", "").linear;
  plan.kv_cache = DType::fp8_e4m3;
  plan.kv_scales = {{0.5, 1}, {1e-3, 2.25}};
  return plan;
}

TEST(QuantPlanText, ReadsBackWhatItPrints) {
  const QuantPlan plan = full_plan();
  const QuantPlan back = parse_quant_plan(print_quant_plan(plan));
  EXPECT_EQ(back.name, plan.name);
  EXPECT_EQ(back.linears, plan.linears);
  EXPECT_EQ(back.kv_cache, plan.kv_cache);
  ASSERT_EQ(back.kv_scales.size(), 2u);
  EXPECT_EQ(back.kv_scales[1].k, 1e-3);
  EXPECT_EQ(back.kv_scales[1].v, 2.25);
}

TEST(QuantPlanText, RefusesWhatItDoesNotKnow) {
  for (const char* text : {"plan", "plan {name=\"x\"", "layer {k=1}", "linear {module=\"m\"}",
                           "plan {kv_cache=\"fp7\", name=\"x\"}"})
    EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"line 1"}, [&] { parse_quant_plan(text); }));
}

}  // namespace
}  // namespace veloz::compiler
