// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "engine/plan.h"
#include "support/expect_error.h"
#include "support/tiny_engine.h"

namespace veloz::engine {
namespace {

using ops::Symbol;
using test::TinyModel;

struct BadPlan {
  std::string name;
  std::vector<std::string> message;
  void (*damage)(Plan& plan, Program& program);
};

PlanValue& value(Program& program, int64_t index) {
  return program.values[static_cast<size_t>(index)];
}

class VerifyPlan : public ::testing::TestWithParam<BadPlan> {};

TEST_P(VerifyPlan, Refuses) {
  Plan plan = test::tiny_model().plan;
  verify_plan(plan);
  GetParam().damage(plan, plan.programs[0]);
  try {
    verify_plan(plan);
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::corrupt_data) << e.message();
    for (const std::string& part : GetParam().message)
      EXPECT_NE(e.message().find(part), std::string::npos) << part << " in " << e.message();
  }
}

using P = Plan;
using G = Program;
using M = TinyModel;

INSTANTIATE_TEST_SUITE_P(
    Indices, VerifyPlan,
    ::testing::Values(
        BadPlan{"OperandBeyondValues",
                {"value 28", "has 28"},
                [](P&, G& p) { p.steps[0].inputs[0] = 28; }},
        BadPlan{"OutputNegative", {"value -1"}, [](P&, G& p) { p.steps[0].outputs[0] = -1; }},
        BadPlan{"WeightBeyondPlan",
                {"\"embed\"", "weight 4", "has 4"},
                [](P&, G& p) { value(p, M::embed).slot = WeightSlot{4}; }},
        BadPlan{"StateBeyondPlan",
                {"state 1", "has 1"},
                [](P&, G& p) { value(p, M::kv0).slot = StateSlot{1}; }},
        BadPlan{"ViewOfItself",
                {"does not stand before"},
                [](P&, G& p) {
                  value(p, M::q).slot = ViewSlot{M::q, 0};
                }},
        BadPlan{"ProgramOutputBeyondValues", {"value 1000"}, [](P&, G& p) { p.outputs[0] = 1000; }},
        BadPlan{"InputBeyondValues", {"value 99"}, [](P&, G& p) { p.inputs[0] = 99; }}),
    [](const auto& test_info) { return test_info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Types, VerifyPlan,
    ::testing::Values(BadPlan{"WrongInferredType",
                              {"step 3 (linear)", "fp32[T,17]", "the op gives fp32[T,16]"},
                              [](P&, G& p) {
                                value(p, M::qkv).type.dims[1] = 17;
                                p.arena_bytes += 1 << 20;
                                value(p, M::qkv).slot = ArenaSlot{p.arena_bytes - (1 << 20)};
                              }},
                      BadPlan{"WeightTypeDiffers",
                              {"\"embed\"", "fp32[12,8]", "fp32[11,8]"},
                              [](P&, G& p) { value(p, M::embed).type.dims[0] = 12; }},
                      BadPlan{"StateTypeDiffers",
                              {"\"kv\"", "its state"},
                              [](P&, G& p) { value(p, M::kv0).type.dims[4] = 8; }},
                      BadPlan{"InputTypeDiffers",
                              {"\"tokens\"", "int64[T]", "int32[T]"},
                              [](P&, G& p) { value(p, M::tokens).type.dtype = DType::int64; }},
                      BadPlan{"InputUnknown",
                              {"\"pixels\"", "none that a step supplies"},
                              [](P&, G& p) { value(p, M::tokens).name = "pixels"; }},
                      BadPlan{"InputTwice",
                              {"two inputs", "\"positions\""},
                              [](P&, G& p) { value(p, M::tokens).name = "positions"; }},
                      BadPlan{
                          "InputNotListed", {"not listed"}, [](P&, G& p) { p.inputs.pop_back(); }},
                      BadPlan{"MissingAttribute",
                              {"step 2 (rms_norm)", "eps"},
                              [](P&, G& p) { p.steps[2].attrs.erase("eps"); }},
                      BadPlan{"UnknownAttribute",
                              {"step 2 (rms_norm)", "warp"},
                              [](P&, G& p) { p.steps[2].attrs.set("warp", int64_t{1}); }},
                      BadPlan{"HugeAttribute",
                              {"step 7", "num_heads"},
                              [](P&, G& p) { p.steps[7].attrs.set("num_heads", INT64_MAX); }},
                      BadPlan{"TooManyOutputs",
                              {"2 outputs", "the op has 1"},
                              [](P&, G& p) { p.steps[2].outputs.push_back(M::y); }},
                      BadPlan{"TooFewOperands",
                              {"step 0 (embedding)", "1 operands"},
                              [](P&, G& p) { p.steps[0].inputs.pop_back(); }},
                      BadPlan{"SliceAsStep",
                              {"(slice)", "no op that runs"},
                              [](P&, G& p) { p.steps[0].op = ops::Op::slice; }},
                      BadPlan{"ExtentOverflow",
                              {"\"h\"", "64 TiB"},
                              [](P&, G& p) {
                                value(p, M::h).type.dims = {Symbol::T, int64_t{1} << 40, 1 << 30};
                              }},
                      BadPlan{"ZeroExtent",
                              {"\"h\"", "at least 1"},
                              [](P&, G& p) { value(p, M::h).type.dims[1] = 0; }},
                      BadPlan{"NInTheArena",
                              {"\"h\"", "extent N"},
                              [](P&, G& p) { value(p, M::h).type.dims[0] = Symbol::N; }},
                      BadPlan{"LogitsOfTokens",
                              {"output 0", "fp32[T,8]", "fp32[R,vocab_size]"},
                              [](P&, G& p) { p.outputs[0] = M::y; }},
                      BadPlan{"NoOutput", {"no output"}, [](P&, G& p) { p.outputs.clear(); }}),
    [](const auto& test_info) { return test_info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Order, VerifyPlan,
    ::testing::Values(BadPlan{"ReadBeforeWritten",
                              {"step 0 (rms_norm)", "\"x\"", "no earlier step has written"},
                              [](P&, G& p) { std::swap(p.steps[0], p.steps[2]); }},
                      BadPlan{"ViewBeforeItsParent",
                              {"step 3 (rope)", "\"q\"", "no earlier step has written"},
                              [](P&, G& p) { std::swap(p.steps[3], p.steps[4]); }},
                      BadPlan{"WrittenTwice",
                              {"step 12", "a second time"},
                              [](P&, G& p) { p.steps.push_back(p.steps[11]); }},
                      BadPlan{"OutputNeverWritten",
                              {"output", "\"logits\"", "written by no step"},
                              [](P&, G& p) { p.steps.pop_back(); }},
                      BadPlan{"StaleState",
                              {"step 8", "not current"},
                              [](P&, G& p) {
                                PlanStep step = p.steps[7];
                                step.inputs[1] = M::kv0;
                                step.outputs[0] = M::o;
                                p.steps[8] = step;
                              }},
                      BadPlan{"StateBecomesAnother",
                              {"step 6 (kv_append)", "not the same state"},
                              [](P& plan, G& p) {
                                plan.states.push_back({"kv2", plan.states[0].type});
                                value(p, M::kv1).slot = StateSlot{1};
                              }},
                      BadPlan{"WritesAView",
                              {"step 2", "\"h\"", "does not lie in the arena"},
                              [](P&, G& p) {
                                value(p, M::h).slot = ViewSlot{M::x, 0};
                              }}),
    [](const auto& test_info) { return test_info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Memory, VerifyPlan,
    ::testing::Values(
        BadPlan{"ArenaOverlap",
                {"step 2 (rms_norm)", "\"h\"", "\"x\"", "overlap"},
                [](P&, G& p) { value(p, M::h).slot = value(p, M::x).slot; }},
        BadPlan{"ArenaPartOverlap",
                {"overlap"},
                [](P&, G& p) { value(p, M::h).slot = ArenaSlot{448}; }},
        BadPlan{"ArenaOverlapThroughAView",
                {"\"attended\"", "\"qkv\"", "overlap"},
                [](P&, G& p) {
                  value(p, M::attended).slot = value(p, M::qkv).slot;
                  p.steps[9].inputs[1] = M::q;
                }},
        BadPlan{"OutputOverwritten",
                {"overlap"},
                [](P&, G& p) {
                  p.outputs.push_back(M::x);
                  value(p, M::rows).slot = value(p, M::x).slot;
                }},
        BadPlan{
            "ArenaEnd", {"\"logits\"", "of an arena of"}, [](P&, G& p) { p.arena_bytes -= 64; }},
        BadPlan{"ArenaMisaligned",
                {"\"logits\"", "multiple of 64"},
                [](P&, G& p) { value(p, M::logits).slot = ArenaSlot{8}; }},
        BadPlan{"ArenaOffsetHuge",
                {"\"h\"", "of an arena of"},
                [](P&, G& p) { value(p, M::h).slot = ArenaSlot{INT64_MAX - 63}; }},
        BadPlan{"ArenaNegative", {"arena_bytes is -1"}, [](P&, G& p) { p.arena_bytes = -1; }},
        BadPlan{"ArenaAbsurd", {"arena_bytes"}, [](P&, G& p) { p.arena_bytes = INT64_MAX; }},
        BadPlan{"ViewPastItsParent",
                {"\"v\"", "column 13", "no range"},
                [](P&, G& p) {
                  value(p, M::v).slot = ViewSlot{M::qkv, 13};
                }},
        BadPlan{"ViewBeginHuge",
                {"\"v\"", "no range"},
                [](P&, G& p) {
                  value(p, M::v).slot = ViewSlot{M::qkv, INT64_MAX};
                }},
        BadPlan{"ViewOfAWeight",
                {"\"q\"", "no step computes"},
                [](P&, G& p) {
                  value(p, M::q).slot = ViewSlot{M::embed, 0};
                }},
        BadPlan{"ViewOfAnotherDtype",
                {"\"q\"", "no range"},
                [](P&, G& p) { value(p, M::q).type.dtype = DType::bf16; }}),
    [](const auto& test_info) { return test_info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Meaning, VerifyPlan,
    ::testing::Values(
        BadPlan{"IndicesFromAnotherInput",
                {"step 10 (gather_rows)", "\"logit_rows\""},
                [](P&, G& p) {
                  p.steps[10].inputs[1] = M::q_lens;
                  value(p, M::rows).type.dims[0] = Symbol::S;
                }},
        BadPlan{"TokensFromPositions",
                {"step 0 (embedding)", "\"tokens\""},
                [](P&, G& p) { p.steps[0].inputs[0] = M::positions; }},
        BadPlan{"GatherFromRows",
                {"gather_rows", "each token"},
                [](P&, G& p) {
                  p.steps.push_back({ops::Op::gather_rows, {M::rows, M::logit_rows}, {28}, {}});
                  p.values.push_back({"again", value(p, M::rows).type, ArenaSlot{p.arena_bytes}});
                  p.arena_bytes += 128;
                }},
        BadPlan{"BlockSizeDiffers",
                {"step 6 (kv_append)", "block_size"},
                [](P& plan, G&) { plan.limits.block_size = 8; }},
        BadPlan{"HeadsDifferFromTheCache",
                {"step 6 (kv_append)"},
                [](P&, G& p) { p.steps[6].attrs.set("num_kv_heads", int64_t{2}); }},
        BadPlan{"LimitZero",
                {"max_num_batched_tokens is 0"},
                [](P& plan, G&) { plan.limits.max_num_batched_tokens = 0; }},
        BadPlan{"PackedNorm",
                {"step 2 (rms_norm)", "\"norm\"", "only \"plain\""},
                [](P& plan, G& p) {
                  plan.weights[2].layout = "n16k2_bf16";
                  value(p, M::x).slot = WeightSlot{2};
                  value(p, M::x).type = {DType::fp32, {16, 8}};
                  plan.weights[1].layout = "plain";
                  p.steps[0].outputs[0] = M::y;
                  p.steps[2].inputs[0] = M::x;
                  plan.weights[2].name = "norm";
                  plan.weights[1].name = "norm1";
                }},
        BadPlan{"PackedVector",
                {"\"norm\"", "only matrices"},
                [](P& plan, G&) { plan.weights[1].layout = "n16k2_bf16"; }},
        BadPlan{"LayoutName",
                {"\"../plain\"", "no layout's name"},
                [](P& plan, G&) { plan.weights[0].layout = "../plain"; }},
        BadPlan{"LinearOnAnActivation",
                {"step 3 (linear)", "not a weight"},
                [](P&, G& p) { p.steps[3].inputs[1] = M::x; }},
        BadPlan{"WeightTwice",
                {"\"embed\"", "twice"},
                [](P& plan, G&) { plan.weights[1].name = "embed"; }},
        BadPlan{"WeightReservedName",
                {"__pad.0", "reserved"},
                [](P& plan, G&) { plan.weights[1].name = "__pad.0"; }},
        BadPlan{"WeightsAbsurd",
                {"\"embed\"", "64 TiB"},
                [](P& plan, G&) {
                  plan.weights[0].shape = {int64_t{1} << 40, int64_t{1} << 40};
                }},
        BadPlan{"StateOfTokens",
                {"\"kv\"", "outlives a step"},
                [](P& plan, G&) { plan.states[0].type.dims[3] = Symbol::T; }},
        BadPlan{"ProgramTwice",
                {"\"step\"", "name of its own"},
                [](P& plan, G&) { plan.programs.push_back(plan.programs[0]); }}),
    [](const auto& test_info) { return test_info.param.name; });

TEST(VerifyPlanAccepts, ArenaReuseAfterTheLastRead) {
  Plan plan = test::tiny_model().plan;
  Program& program = plan.programs[0];
  value(program, M::o).slot = value(program, M::q_rotated).slot;  // read last by attention
  verify_plan(plan);
  value(program, M::attended).slot =
      value(program, M::qkv).slot;  // its last view read by kv_append
  verify_plan(plan);
}

/// The tiny model as fuse_rope_append leaves it.
void fuse_append(Program& program) {
  const auto first = program.steps.begin() + 4;
  PlanStep append = first[2];
  append.op = ops::Op::rope_append;
  append.inputs = {M::kv0, M::qkv, M::angles, M::slots};
  append.outputs = {M::kv1, M::q_rotated};
  append.attrs.set("num_heads", M::kHeads);
  append.attrs.set("style", "neox");
  *first = std::move(append);
  program.steps.erase(first + 1, first + 3);
}

TEST(VerifyPlanAccepts, AFusedAppend) {
  Plan plan = test::tiny_model().plan;
  fuse_append(plan.programs[0]);
  verify_plan(plan);
}

INSTANTIATE_TEST_SUITE_P(
    FusedAppend, VerifyPlan,
    ::testing::Values(
        BadPlan{"SlotsFromElsewhere",
                {"step 4 (rope_append)", "\"slots\""},
                [](P&, G& p) {
                  p.name = "other";  // a step supplies no second list of slots
                  fuse_append(p);
                  p.values.push_back({"other", value(p, M::slots).type, engine::InputSlot{}});
                  p.inputs.push_back(std::ssize(p.values) - 1);
                  p.steps[4].inputs[3] = p.inputs.back();
                }},
        BadPlan{"BlockSizeDiffersFused",
                {"step 4 (rope_append)", "block_size"},
                [](P& plan, G& p) {
                  fuse_append(p);
                  plan.limits.block_size = 8;
                }},
        BadPlan{"HeadsDifferFromTheCacheFused",
                {"step 4 (rope_append)"},
                [](P&, G& p) {
                  fuse_append(p);
                  p.steps[4].attrs.set("num_kv_heads", int64_t{2});
                }},
        BadPlan{"StateBecomesAnotherFused",
                {"step 4 (rope_append)", "not the same state"},
                [](P& plan, G& p) {
                  fuse_append(p);
                  plan.states.push_back({"kv2", plan.states[0].type});
                  value(p, M::kv1).slot = StateSlot{1};
                }},
        BadPlan{"QueriesOverTheProjection",
                {"step 4 (rope_append)", "overlap"},
                [](P&, G& p) {
                  fuse_append(p);
                  value(p, M::q_rotated).slot = value(p, M::qkv).slot;
                }}),
    [](const auto& test_info) { return test_info.param.name; });

TEST(VerifyPlanAccepts, AViewOfAView) {
  Plan plan = test::tiny_model().plan;
  Program& program = plan.programs[0];
  program.values.push_back({"kv_half", {DType::fp32, {Symbol::T, 8}}, ViewSlot{M::qkv, 8}});
  program.values.push_back({"k_again", {DType::fp32, {Symbol::T, 4}}, ViewSlot{28, 0}});
  program.steps[5].inputs[0] = 29;
  verify_plan(plan);
}

TEST(VerifyPlanAccepts, ProgramsThatAreNoStep) {
  Plan plan = test::tiny_model().plan;
  Program other;
  other.name = "encoder";
  other.values = {{"image", {DType::fp32, {Symbol::T, 4}}, InputSlot{}},
                  {"y", {DType::fp32, {Symbol::T, 4}}, ArenaSlot{0}}};
  other.steps = {{ops::Op::act, {0}, {1}, {{"act", "relu"}}}};
  other.inputs = {0};
  other.outputs = {1};
  other.arena_bytes = 256;
  plan.programs.push_back(other);
  verify_plan(plan);
}

TEST(VerifyPlanAccepts, TenThousandNestedViewsQuickly) {
  Plan plan = test::tiny_model().plan;
  Program& program = plan.programs[0];
  for (int64_t i = 0; i < 10'000; ++i)
    program.values.push_back(
        {"view", {DType::fp32, {Symbol::T, 16}}, ViewSlot{i == 0 ? int64_t{M::qkv} : 27 + i, 0}});
  verify_plan(plan);
}

}  // namespace
}  // namespace veloz::engine
