// SPDX-License-Identifier: Apache-2.0
#include "compiler/lower.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "graph/graph.h"
#include "small_limits.h"
#include "support/expect_error.h"

namespace veloz::compiler {
namespace {

constexpr const char* kTied = R"(graph tied {
  input %tokens : int32[T]
  input %logit_rows : int32[R]
  weight @embed : bf16[48,64] = "embed"[48]
  weight @g : fp32[64] = "g"[64]
  %0 = embedding(%tokens, @embed) : bf16[T,64]
  %1 = gather_rows(%0, %logit_rows) : bf16[R,64]
  %2 = rms_norm(%1, @g) {eps=1e-05} : bf16[R,64]
  %logits = linear(%2, @embed) {out="fp32"} : fp32[R,48]
  return %logits
}
)";

bool accepts_packed(const ops::KernelQuery& query) { return query.weight_layout == "packed"; }
void do_nothing(ops::OpContext&, const ops::OpCall&) noexcept {}

/// The reference kernels, preceded by a made-up packed linear, and an embedding for it where asked.
ops::KernelRegistry target_with_packed_linear(bool has_packed_embedding) {
  std::vector<ops::Kernel> kernels = {
      {"linear/packed", ops::Op::linear, accepts_packed, do_nothing}};
  if (has_packed_embedding)
    kernels.push_back({"embedding/packed", ops::Op::embedding, accepts_packed, do_nothing});
  for (const ops::Kernel& kernel : ops::reference_kernels()) kernels.push_back(kernel);
  std::vector<ops::WeightLayout> layouts = ops::plain_layouts();
  ops::WeightLayout packed = layouts.front();
  packed.name = "packed";
  packed.dtype = DType::bf16;
  layouts.push_back(packed);
  return {std::move(kernels), std::move(layouts)};
}

TEST(Lower, GivesATiedTableTheLayoutThatItsLinearWants) {
  const LoweredGraph lowered =
      lower(graph::parse(kTied), test::small_limits(), target_with_packed_linear(true));
  EXPECT_EQ(lowered.plan.weights[0].layout, "packed");
  EXPECT_EQ(lowered.layouts[0].reason, "for linear/packed, shared by 2 readers");
  EXPECT_EQ(lowered.plan.weights[1].layout, "plain");
}

TEST(Lower, KeepsATiedTablePlainWhereOneReaderCannotUnpack) {
  const LoweredGraph lowered =
      lower(graph::parse(kTied), test::small_limits(), target_with_packed_linear(false));
  EXPECT_EQ(lowered.plan.weights[0].layout, "plain");
}

constexpr const char* kQuantizedGraph = R"(graph quantized {
  input %tokens : int32[T]
  input %logit_rows : int32[R]
  weight @embed : bf16[48,64] = "embed"[48]
  weight @w.scale : fp32[48,1] = "scale"[48]
  weight @w : int8[48,64] = "codes"[48]
  %0 = embedding(%tokens, @embed) : bf16[T,64]
  %1 = gather_rows(%0, %logit_rows) : bf16[R,64]
  %logits = weight_only_linear(%1, @w, @w.scale) {out="fp32"} : fp32[R,48]
  return %logits
}
)";

/// The reference kernels, preceded by a weight_only_linear whose scales lie in "beside", a layout
/// that there is for `scale_dtype`.
ops::KernelRegistry target_with_companions(DType scale_dtype) {
  std::vector<ops::Kernel> kernels = {
      {"weight_only_linear/packed", ops::Op::weight_only_linear, accepts_packed, do_nothing}};
  for (const ops::Kernel& kernel : ops::reference_kernels()) kernels.push_back(kernel);
  std::vector<ops::WeightLayout> layouts = ops::plain_layouts();
  ops::WeightLayout packed = layouts.front();
  packed.name = "packed";
  packed.dtype = DType::int8;
  packed.companion = "beside";
  layouts.push_back(packed);
  ops::WeightLayout beside = layouts.front();
  beside.name = "beside";
  beside.dtype = scale_dtype;
  layouts.push_back(beside);
  return {std::move(kernels), std::move(layouts)};
}

TEST(Lower, GivesScalesTheCompanionOfTheirMatrixsLayout) {
  const LoweredGraph lowered = lower(graph::parse(kQuantizedGraph), test::small_limits(),
                                     target_with_companions(DType::fp32));
  EXPECT_EQ(lowered.plan.weights[1].layout, "beside");
  EXPECT_EQ(lowered.layouts[1].reason, "beside @w");
  EXPECT_EQ(lowered.plan.weights[2].layout, "packed");
  EXPECT_EQ(lowered.layouts[2].reason, "for weight_only_linear/packed");
}

TEST(Lower, LeavesAMatrixPlainWhoseScalesCannotHaveTheCompanion) {
  const LoweredGraph lowered = lower(graph::parse(kQuantizedGraph), test::small_limits(),
                                     target_with_companions(DType::bf16));
  EXPECT_EQ(lowered.plan.weights[1].layout, "plain");
  EXPECT_EQ(lowered.plan.weights[2].layout, "plain");
}

TEST(Lower, LeavesAMatrixPlainWhoseScalesOthersReadToo) {
  std::string text = kQuantizedGraph;
  const std::string logits = "  return %logits";
  text.replace(text.find(logits), logits.size(),
               "  %two = weight_only_linear(%1, @v, @w.scale) {out=\"fp32\"} : fp32[R,48]\n"
               "  return %logits, %two");
  const std::string codes = "  weight @w : ";
  text.insert(text.find(codes), "  weight @v : int8[48,64] = \"v\"[48]\n");
  const LoweredGraph lowered =
      lower(graph::parse(text), test::small_limits(), target_with_companions(DType::fp32));
  for (const engine::PlanWeight& weight : lowered.plan.weights) EXPECT_EQ(weight.layout, "plain");
}

TEST(Lower, TurnsSlicesIntoViewsAndStatesIntoOneSlot) {
  const LoweredGraph lowered = lower(graph::parse(R"(graph kv {
  input %tokens : int32[T]
  input %slots : int64[T]
  input %logit_rows : int32[R]
  input %q_starts : int32[S]
  input %q_lens : int32[S]
  input %kv_lens : int32[S]
  input %block_tables : int32[S,B]
  state %kv : bf16[N,2,1,64,32]
  weight @embed : bf16[48,96] = "embed"[48]
  weight @lm_head : bf16[48,32] = "lm_head"[48]
  %x = embedding(%tokens, @embed) : bf16[T,96]
  %k = slice(%x) {begin=32, end=64} : bf16[T,32]
  %q = slice(%x) {begin=0, end=32} : bf16[T,32]
  %kv1 = kv_append(%kv, %k, %k, %slots) {head_dim=32, num_kv_heads=1} : bf16[N,2,1,64,32]
  %y = paged_attention(%q, %kv1, %q_starts, %q_lens, %kv_lens, %block_tables) {head_dim=32, num_heads=1, num_kv_heads=1, scale=0.125} : bf16[T,32]
  %last = gather_rows(%y, %logit_rows) : bf16[R,32]
  %logits = linear(%last, @lm_head) {out="fp32"} : fp32[R,48]
  return %logits
}
)"),
                                     test::small_limits(), target_with_packed_linear(false));
  const engine::Program& program = lowered.plan.program("step");
  EXPECT_EQ(program.steps.size(), 5u);
  const auto slot_of = [&](int64_t value) {
    return program.values[static_cast<size_t>(value)].slot;
  };
  EXPECT_EQ(std::get<engine::ViewSlot>(slot_of(program.steps[1].inputs[1])).begin, 32);
  EXPECT_EQ(slot_of(program.steps[1].inputs[0]), slot_of(program.steps[1].outputs[0]));
  EXPECT_EQ(program.arena_bytes, 32 * (96 + 32) * 2);  // x, and y beside it
}

TEST(Lower, RecordsWhyEachWeightHasItsLayout) {
  const LoweredGraph lowered =
      lower(graph::parse(kTied), test::small_limits(), target_with_packed_linear(false));
  ASSERT_EQ(lowered.layouts.size(), 2u);
  EXPECT_EQ(lowered.layouts[0].weight, "embed");
  EXPECT_EQ(lowered.layouts[0].reason, "for linear/reference, shared by 2 readers");
  EXPECT_EQ(lowered.layouts[1].weight, "g");
  EXPECT_EQ(lowered.layouts[1].reason, "read element by element");
}

TEST(Lower, SaysWhatTheArenaWouldTakeWithoutReuse) {
  const LoweredGraph lowered =
      lower(graph::parse(kTied), test::small_limits(), target_with_packed_linear(false));
  const int64_t embedded = 32 * 64 * 2;
  const int64_t gathered = 4 * 64 * 2;
  const int64_t normed = 4 * 64 * 2;
  const int64_t logits = 4 * 48 * 4;
  EXPECT_EQ(lowered.arena_bytes_unshared, embedded + gathered + normed + logits);
  EXPECT_LT(lowered.plan.program("step").arena_bytes, lowered.arena_bytes_unshared);
  EXPECT_GE(lowered.plan.program("step").arena_bytes, embedded + gathered);
}

/// The reference kernels without those of `missing`.
ops::KernelRegistry target_without(ops::Op missing) {
  std::vector<ops::Kernel> kernels = ops::reference_kernels();
  std::erase_if(kernels, [missing](const ops::Kernel& kernel) { return kernel.op == missing; });
  return {std::move(kernels), ops::plain_layouts()};
}

TEST(Lower, RefusesAGraphWithAnOpThatTheTargetLacks) {
  EXPECT_TRUE(test::throws_error(ErrorKind::unsupported, {"no kernel runs rms_norm"}, [] {
    lower(graph::parse(kTied), test::small_limits(), target_without(ops::Op::rms_norm));
  }));
  EXPECT_TRUE(test::throws_error(
      ErrorKind::unsupported, {"no kernel of the target takes weight @embed : bf16[48,64]"},
      [] { lower(graph::parse(kTied), test::small_limits(), target_without(ops::Op::linear)); }));
}

}  // namespace
}  // namespace veloz::compiler
