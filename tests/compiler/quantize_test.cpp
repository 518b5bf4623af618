// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>

#include "pass_runs.h"

namespace veloz::compiler {
namespace {

using checkpoint::LinearScheme;
using checkpoint::QuantPlan;
using test::expect_rewritten;
using test::expect_unchanged;
using test::graph_text;

LinearScheme scheme(DType weight, std::optional<DType> activation) {
  LinearScheme scheme;
  scheme.weight = weight;
  scheme.activation = activation;
  return scheme;
}

QuantPlan plan_of(const std::map<std::string, LinearScheme>& linears) {
  QuantPlan plan;
  plan.name = "test";
  plan.linears = linears;
  return plan;
}

void expect_quantized(const QuantPlan& plan, const std::string& before, const std::string& after) {
  EXPECT_EQ(test::run(quantize, before, {&plan}).text, graph_text(after));
}

constexpr const char* kLinear = R"(  weight @w : bf16[32,64] = "m.weight"[32]
  %y = linear(%x, @w) : bf16[T,32]
  return %y
)";

TEST(Quantize, QuantizesActivationsOfAnEightBitLinear) {
  expect_quantized(plan_of({{"m", scheme(DType::int8, DType::int8)}}), kLinear,
                   R"(  weight @w : int8[32,64] = "m.weight"[32]
  weight @w.scale : fp32[32,1] = "m.weight_scale"[32]
  %x.codes, %x.scales = quantize(%x) {format="int8"} : int8[T,64], fp32[T,1]
  %y = quantized_linear(%x.codes, %x.scales, @w, @w.scale) {out="bf16"} : bf16[T,32]
  return %y
)");
}

TEST(Quantize, KeepsBiasAndDtypeOfTheResults) {
  expect_quantized(plan_of({{"m", scheme(DType::fp8_e4m3, DType::fp8_e4m3)}}),
                   R"(  weight @w : bf16[32,64] = "m.weight"[32]
  weight @b : fp32[32] = "m.bias"[32]
  %y = linear(%x, @w, @b) {out="fp32"} : fp32[T,32]
  return %y
)",
                   R"(  weight @w : fp8_e4m3[32,64] = "m.weight"[32]
  weight @b : fp32[32] = "m.bias"[32]
  weight @w.scale : fp32[32,1] = "m.weight_scale"[32]
  %x.codes, %x.scales = quantize(%x) {format="fp8_e4m3"} : fp8_e4m3[T,64], fp32[T,1]
  %y = quantized_linear(%x.codes, %x.scales, @w, @w.scale, @b) {out="fp32"} : fp32[T,32]
  return %y
)");
}

TEST(Quantize, LeavesActivationsOfAWeightOnlyLinearAsTheyAre) {
  LinearScheme int4 = scheme(DType::uint4x2, std::nullopt);
  int4.group = 32;
  int4.scale_dtype = DType::fp16;
  int4.has_zeros = true;
  expect_quantized(plan_of({{"m", int4}}), kLinear,
                   R"(  weight @w : uint4x2[32,32] = "m.weight"[32]
  weight @w.scale : fp16[32,2] = "m.weight_scale"[32]
  weight @w.zero : uint8[32,2] = "m.weight_zero"[32]
  %y = weight_only_linear(%x, @w, @w.scale, @w.zero) {zeros=1} : bf16[T,32]
  return %y
)");
}

TEST(Quantize, TakesGroupsAndFixedScalesOfActivationsFromThePlan) {
  LinearScheme grouped = scheme(DType::fp8_e4m3, DType::fp8_e4m3);
  grouped.group = grouped.activation_group = 32;
  expect_quantized(plan_of({{"m", grouped}}), kLinear,
                   R"(  weight @w : fp8_e4m3[32,64] = "m.weight"[32]
  weight @w.scale : fp32[32,2] = "m.weight_scale"[32]
  %x.codes, %x.scales = quantize(%x) {format="fp8_e4m3", group=32} : fp8_e4m3[T,64], fp32[T,2]
  %y = quantized_linear(%x.codes, %x.scales, @w, @w.scale) {out="bf16"} : bf16[T,32]
  return %y
)");
  LinearScheme fixed = scheme(DType::fp8_e4m3, DType::fp8_e4m3);
  fixed.input_scale = 0.5;
  expect_quantized(plan_of({{"m", fixed}}), kLinear,
                   R"(  weight @w : fp8_e4m3[32,64] = "m.weight"[32]
  weight @w.scale : fp32[32,1] = "m.weight_scale"[32]
  %x.codes, %x.scales = quantize(%x) {format="fp8_e4m3", scale=0.5} : fp8_e4m3[T,64], fp32[T,1]
  %y = quantized_linear(%x.codes, %x.scales, @w, @w.scale) {out="bf16"} : bf16[T,32]
  return %y
)");
}

TEST(Quantize, TakesAGroupOfAllColumnsForTheRow) {
  LinearScheme whole = scheme(DType::fp8_e4m3, DType::fp8_e4m3);
  whole.group = whole.activation_group = 64;
  const QuantPlan with_group = plan_of({{"m", whole}});
  const QuantPlan without = plan_of({{"m", scheme(DType::fp8_e4m3, DType::fp8_e4m3)}});
  EXPECT_EQ(test::run(quantize, kLinear, {&with_group}).text,
            test::run(quantize, kLinear, {&without}).text);
}

TEST(Quantize, ReordersTheColumnsOfXBeforeItQuantizesThem) {
  LinearScheme act_order = scheme(DType::int8, DType::int8);
  act_order.has_permutation = true;
  expect_quantized(plan_of({{"m", act_order}}), kLinear,
                   R"(  weight @w : int8[32,64] = "m.weight"[32]
  weight @w.scale : fp32[32,1] = "m.weight_scale"[32]
  weight @w.permutation : int32[64] = "m.permutation"[64]
  %x.permuted = permute_columns(%x, @w.permutation) : bf16[T,64]
  %x.permuted.codes, %x.permuted.scales = quantize(%x.permuted) {format="int8"} : int8[T,64], fp32[T,1]
  %y = quantized_linear(%x.permuted.codes, %x.permuted.scales, @w, @w.scale) {out="bf16"} : bf16[T,32]
  return %y
)");
}

TEST(Quantize, QuantizesOnceWhatSeveralLinearsReadAlike) {
  expect_quantized(plan_of({{"a", scheme(DType::int8, DType::int8)},
                            {"b", scheme(DType::int8, DType::int8)},
                            {"c", scheme(DType::fp8_e4m3, DType::fp8_e4m3)}}),
                   R"(  weight @a : bf16[32,64] = "a.weight"[32]
  weight @b : bf16[32,64] = "b.weight"[32]
  weight @c : bf16[32,64] = "c.weight"[32]
  %p = linear(%x, @a) : bf16[T,32]
  %q = linear(%x, @b) : bf16[T,32]
  %r = linear(%x, @c) : bf16[T,32]
  return %p, %q, %r
)",
                   R"(  weight @a : int8[32,64] = "a.weight"[32]
  weight @b : int8[32,64] = "b.weight"[32]
  weight @c : fp8_e4m3[32,64] = "c.weight"[32]
  weight @a.scale : fp32[32,1] = "a.weight_scale"[32]
  weight @b.scale : fp32[32,1] = "b.weight_scale"[32]
  weight @c.scale : fp32[32,1] = "c.weight_scale"[32]
  %x.codes, %x.scales = quantize(%x) {format="int8"} : int8[T,64], fp32[T,1]
  %p = quantized_linear(%x.codes, %x.scales, @a, @a.scale) {out="bf16"} : bf16[T,32]
  %q = quantized_linear(%x.codes, %x.scales, @b, @b.scale) {out="bf16"} : bf16[T,32]
  %x.codes.1, %x.scales.1 = quantize(%x) {format="fp8_e4m3"} : fp8_e4m3[T,64], fp32[T,1]
  %r = quantized_linear(%x.codes.1, %x.scales.1, @c, @c.scale) {out="bf16"} : bf16[T,32]
  return %p, %q, %r
)");
}

TEST(Quantize, GivesAHeadThatSharesTheEmbeddingsTableAWeightOfItsOwn) {
  expect_quantized(plan_of({{"lm_head", scheme(DType::int8, std::nullopt)}}),
                   R"(  weight @embed : bf16[96,64] = "model.embed_tokens.weight"[96]
  %e = embedding(%positions, @embed) : bf16[T,64]
  %logits = linear(%e, @embed) {out="fp32"} : fp32[T,96]
  return %logits
)",
                   R"(  weight @embed : bf16[96,64] = "model.embed_tokens.weight"[96]
  weight @lm_head : int8[96,64] = "lm_head.weight"[96]
  weight @lm_head.scale : fp32[96,1] = "lm_head.weight_scale"[96]
  %e = embedding(%positions, @embed) : bf16[T,64]
  %logits = weight_only_linear(%e, @lm_head, @lm_head.scale) {out="fp32"} : fp32[T,96]
  return %logits
)");
}

TEST(Quantize, SaysHowManyLinearsGotWhichScheme) {
  const QuantPlan plan = plan_of({{"m", scheme(DType::int8, DType::int8)}});
  EXPECT_EQ(test::run(quantize, kLinear, {&plan}).report.remarks,
            (std::vector<std::string>{
                "1 linears: int8 weights per channel (fp32 scales), int8 activations per token"}));
}

TEST(Quantize, DoesNothingWithoutAPlan) {
  expect_unchanged(quantize, kLinear, "");
  const QuantPlan empty;
  expect_unchanged(quantize, kLinear, "", {&empty});
}

TEST(Quantize, LeavesAModuleThatThePlanDoesNotNameAlone) {
  const QuantPlan plan = plan_of({{"other", scheme(DType::int8, DType::int8)}});
  expect_unchanged(quantize, kLinear, "%y left alone: the plan has no \"m\"", {&plan});
}

TEST(Quantize, LeavesAWeightOfSeveralTensorsAlone) {
  const QuantPlan plan = plan_of({{"m", scheme(DType::int8, DType::int8)}});
  expect_unchanged(quantize, R"(  weight @w : bf16[32,64] = "m.weight"[16] + "n.weight"[16]
  %y = linear(%x, @w) : bf16[T,32]
  return %y
)",
                   "%y left alone: @w is several tensors", {&plan});
}

TEST(Quantize, LeavesASchemeThatDoesNotFitTheShapeAlone) {
  LinearScheme wide = scheme(DType::uint4x2, DType::int8);
  wide.group = 48;
  const QuantPlan uneven = plan_of({{"m", wide}});
  expect_unchanged(quantize, kLinear, "groups of 48 do not divide its 64 columns", {&uneven});
  wide.group = 16;
  const QuantPlan narrow = plan_of({{"m", wide}});
  expect_unchanged(quantize, kLinear, "groups of a multiple of 32 columns", {&narrow});
}

constexpr const char* kQuantizedPair = R"(  weight @m.gate : uint4x2[32,32] = "gate.weight"[32]
  weight @m.gate.scale : fp32[32,2] = "gate.weight_scale"[32]
  weight @m.gate.zero : uint8[32,2] = "gate.weight_zero"[32]
  weight @m.gate.bias : fp32[32] = "gate.bias"[32]
  weight @m.up : uint4x2[32,32] = "up.weight"[32]
  weight @m.up.scale : fp32[32,2] = "up.weight_scale"[32]
  weight @m.up.zero : uint8[32,2] = "up.weight_zero"[32]
  weight @m.up.bias : fp32[32] = "up.bias"[32]
  %c, %s = quantize(%x) {format="int8"} : int8[T,64], fp32[T,1]
  %g = quantized_linear(%c, %s, @m.gate, @m.gate.scale, @m.gate.zero, @m.gate.bias) {out="bf16", zeros=1} : bf16[T,32]
  %u = quantized_linear(%c, %s, @m.up, @m.up.scale, @m.up.zero, @m.up.bias) {out="bf16", zeros=1} : bf16[T,32]
  %y = gated_act(%g, %u) {act="silu"} : bf16[T,32]
  return %y
)";

TEST(FuseGateUp, StacksCodesScalesZerosAndBiasesOfQuantizedLinears) {
  expect_rewritten(fuse_gate_up, kQuantizedPair,
                   R"(  weight @m.gate_up : uint4x2[64,32] = "gate.weight"[32] + "up.weight"[32]
  weight @m.gate_up.scale : fp32[64,2] = "gate.weight_scale"[32] + "up.weight_scale"[32]
  weight @m.gate_up.zero : uint8[64,2] = "gate.weight_zero"[32] + "up.weight_zero"[32]
  weight @m.gate_up.bias : fp32[64] = "gate.bias"[32] + "up.bias"[32]
  %c, %s = quantize(%x) {format="int8"} : int8[T,64], fp32[T,1]
  %m.gate_up = quantized_linear(%c, %s, @m.gate_up, @m.gate_up.scale, @m.gate_up.zero, @m.gate_up.bias) {out="bf16", zeros=1} : bf16[T,64]
  %g.slice = slice(%m.gate_up) {begin=0, end=32} : bf16[T,32]
  %u.slice = slice(%m.gate_up) {begin=32, end=64} : bf16[T,32]
  %y = gated_act(%g.slice, %u.slice) {act="silu"} : bf16[T,32]
  return %y
)");
}

std::string weight_only_pair(const std::string& up_weight, const std::string& up_scale) {
  return R"(  weight @m.gate : int8[32,64] = "gate.weight"[32]
  weight @m.gate.scale : fp32[32,1] = "gate.weight_scale"[32]
  weight @m.up : )" +
         up_weight + R"( = "up.weight"[32]
  weight @m.up.scale : )" +
         up_scale + R"( = "up.weight_scale"[32]
  %g = weight_only_linear(%x, @m.gate, @m.gate.scale) : bf16[T,32]
  %u = weight_only_linear(%x, @m.up, @m.up.scale) : bf16[T,32]
  %y = gated_act(%g, %u) {act="silu"} : bf16[T,32]
  return %y
)";
}

TEST(FuseGateUp, StacksWeightOnlyLinears) {
  expect_rewritten(fuse_gate_up, weight_only_pair("int8[32,64]", "fp32[32,1]"),
                   R"(  weight @m.gate_up : int8[64,64] = "gate.weight"[32] + "up.weight"[32]
  weight @m.gate_up.scale : fp32[64,1] = "gate.weight_scale"[32] + "up.weight_scale"[32]
  %m.gate_up = weight_only_linear(%x, @m.gate_up, @m.gate_up.scale) : bf16[T,64]
  %g.slice = slice(%m.gate_up) {begin=0, end=32} : bf16[T,32]
  %u.slice = slice(%m.gate_up) {begin=32, end=64} : bf16[T,32]
  %y = gated_act(%g.slice, %u.slice) {act="silu"} : bf16[T,32]
  return %y
)");
}

TEST(FuseGateUp, LeavesWeightsOfDifferentFormatsAlone) {
  expect_unchanged(fuse_gate_up, weight_only_pair("fp8_e4m3[32,64]", "fp32[32,1]"),
                   "@m.up has another format");
  expect_unchanged(fuse_gate_up, weight_only_pair("int8[32,64]", "fp32[32,2]"),
                   "@m.up.scale has another format");
}

TEST(FuseGateUp, LeavesAQuantizedAndAPlainLinearAlone) {
  expect_unchanged(fuse_gate_up, R"(  weight @m.gate : int8[32,64] = "gate.weight"[32]
  weight @m.gate.scale : fp32[32,1] = "gate.weight_scale"[32]
  weight @m.up : bf16[32,64] = "up.weight"[32]
  %g = weight_only_linear(%x, @m.gate, @m.gate.scale) : bf16[T,32]
  %u = linear(%x, @m.up) : bf16[T,32]
  %y = gated_act(%g, %u) {act="silu"} : bf16[T,32]
  return %y
)",
                   "%u is quantized in another way");
}

TEST(Canonicalise, MergesNodesOfSeveralResults) {
  expect_rewritten(canonicalise, R"(  weight @a : int8[32,64] = "a"[32]
  weight @s : fp32[32,1] = "s"[32]
  %c, %cs = quantize(%x) {format="int8"} : int8[T,64], fp32[T,1]
  %e, %es = quantize(%x) {format="int8"} : int8[T,64], fp32[T,1]
  %p = quantized_linear(%c, %cs, @a, @s) {out="bf16"} : bf16[T,32]
  %q = quantized_linear(%e, %cs, @a, @s) {out="fp32"} : fp32[T,32]
  return %p, %q
)",
                   R"(  weight @a : int8[32,64] = "a"[32]
  weight @s : fp32[32,1] = "s"[32]
  %c, %cs = quantize(%x) {format="int8"} : int8[T,64], fp32[T,1]
  %p = quantized_linear(%c, %cs, @a, @s) {out="bf16"} : bf16[T,32]
  %q = quantized_linear(%c, %cs, @a, @s) {out="fp32"} : fp32[T,32]
  return %p, %q
)");
}

TEST(Canonicalise, LeavesANodeAloneOfWhichAnyResultIsAnOutput) {
  expect_unchanged(canonicalise, R"(  %c, %cs = quantize(%x) {format="int8"} : int8[T,64], fp32[T,1]
  %e, %es = quantize(%x) {format="int8"} : int8[T,64], fp32[T,1]
  return %c, %es
)",
                   "");
}

}  // namespace
}  // namespace veloz::compiler
