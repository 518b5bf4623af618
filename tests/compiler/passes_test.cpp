// SPDX-License-Identifier: Apache-2.0
#include "compiler/passes/pass.h"

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "compiler/pipeline.h"
#include "graph/graph.h"
#include "pass_runs.h"

namespace veloz::compiler {
namespace {

using test::changed;
using test::expect_rewritten;
using test::expect_same_results;
using test::expect_unchanged;
using test::graph_text;
using test::Outcome;
using test::run;

TEST(FuseAddNorm, JoinsANormWithItsSumAndKeepsTheSumForOthers) {
  expect_rewritten(fuse_add_norm,
                   R"(  weight @g : fp32[64] = "g"[64]
  %s = add(%x, %d) : bf16[T,64]
  %n = rms_norm(%s, @g) {eps=1e-05} : bf16[T,64]
  %y = add(%s, %n) : bf16[T,64]
  return %y
)",
                   R"(  weight @g : fp32[64] = "g"[64]
  %s, %n = add_rms_norm(%x, %d, @g) {eps=1e-05} : bf16[T,64], bf16[T,64]
  %y = add(%s, %n) : bf16[T,64]
  return %y
)");
}

TEST(FuseAddNorm, JoinsALayerNormWithItsBeta) {
  expect_rewritten(fuse_add_norm,
                   R"(  weight @g : fp32[64] = "g"[64]
  weight @b : fp32[64] = "b"[64]
  %s = add(%x, %d) : bf16[T,64]
  %n = layer_norm(%s, @g, @b) {eps=1e-05} : bf16[T,64]
  return %n
)",
                   R"(  weight @g : fp32[64] = "g"[64]
  weight @b : fp32[64] = "b"[64]
  %s, %n = add_layer_norm(%x, %d, @g, @b) {eps=1e-05} : bf16[T,64], bf16[T,64]
  return %n
)");
}

TEST(FuseAddNorm, TakesTheOlderOperandForTheStream) {
  expect_rewritten(fuse_add_norm,
                   R"(  weight @g : fp32[64] = "g"[64]
  %u = act(%d) {act="relu"} : bf16[T,64]
  %s = add(%u, %x) : bf16[T,64]
  %n = rms_norm(%s, @g) {eps=1e-05} : bf16[T,64]
  return %n
)",
                   R"(  weight @g : fp32[64] = "g"[64]
  %u = act(%d) {act="relu"} : bf16[T,64]
  %s, %n = add_rms_norm(%x, %u, @g) {eps=1e-05} : bf16[T,64], bf16[T,64]
  return %n
)");
}

TEST(FuseAddNorm, KeepsASumThatIsAnOutput) {
  expect_rewritten(fuse_add_norm,
                   R"(  weight @g : fp32[64] = "g"[64]
  %s = add(%x, %d) : bf16[T,64]
  %n = rms_norm(%s, @g) {eps=1e-05} : bf16[T,64]
  return %s, %n
)",
                   R"(  weight @g : fp32[64] = "g"[64]
  %s, %n = add_rms_norm(%x, %d, @g) {eps=1e-05} : bf16[T,64], bf16[T,64]
  return %s, %n
)");
}

TEST(FuseAddNorm, LeavesANormOfSomethingElseAlone) {
  expect_unchanged(fuse_add_norm, R"(  weight @g : fp32[64] = "g"[64]
  %n = rms_norm(%x, @g) {eps=1e-05} : bf16[T,64]
  return %n
)",
                   "its input %x is not a sum");
}

TEST(FuseAddNorm, JoinsOnlyTheFirstOfTwoNorms) {
  const std::string before = R"(  weight @g : fp32[64] = "g"[64]
  weight @h : fp32[64] = "h"[64]
  %s = add(%x, %d) : bf16[T,64]
  %n = rms_norm(%s, @g) {eps=1e-05} : bf16[T,64]
  %m = rms_norm(%s, @h) {eps=1e-05} : bf16[T,64]
  %y = add(%n, %m) : bf16[T,64]
  return %y
)";
  const Outcome outcome = run(fuse_add_norm, before);
  EXPECT_EQ(outcome.report.num_rewrites, 1);
  EXPECT_NE(outcome.text.find("%m = rms_norm(%s, @h)"), std::string::npos);
  EXPECT_EQ(outcome.report.remarks.at(1), "%m left alone: the sum %s already has a norm");
  expect_same_results(graph_text(before), outcome.text);
}

TEST(FuseQuantize, LetsANormQuantizeItsOutput) {
  expect_rewritten(fuse_quantize,
                   R"(  weight @g : fp32[64] = "g"[64]
  %n = rms_norm(%x, @g) {eps=1e-05} : bf16[T,64]
  %c, %s = quantize(%n) {format="int8"} : int8[T,64], fp32[T,1]
  return %c, %s
)",
                   R"(  weight @g : fp32[64] = "g"[64]
  %c, %s = rms_norm(%x, @g) {eps=1e-05, quantize="int8"} : int8[T,64], fp32[T,1]
  return %c, %s
)");
}

TEST(FuseQuantize, KeepsTheSumOfAResidualNormAndGroups) {
  expect_rewritten(fuse_quantize,
                   R"(  weight @g : fp32[64] = "g"[64]
  weight @b : fp32[64] = "b"[64]
  %sum, %n = add_layer_norm(%x, %d, @g, @b) {eps=1e-05} : bf16[T,64], bf16[T,64]
  %c, %s = quantize(%n) {format="fp8_e4m3", group=32} : fp8_e4m3[T,64], fp32[T,2]
  return %sum, %c, %s
)",
                   R"(  weight @g : fp32[64] = "g"[64]
  weight @b : fp32[64] = "b"[64]
  %sum, %c, %s = add_layer_norm(%x, %d, @g, @b) {eps=1e-05, group=32, quantize="fp8_e4m3"} : bf16[T,64], fp8_e4m3[T,64], fp32[T,2]
  return %sum, %c, %s
)");
}

TEST(FuseQuantize, TakesActivationsAndFixedScalesToo) {
  expect_rewritten(
      fuse_quantize,
      R"(  %a = gated_act(%x, %d) {act="silu"} : bf16[T,64]
  %c, %s = quantize(%a) {format="int8", scale=0.01} : int8[T,64], fp32[T,1]
  %b = act(%x) {act="relu"} : bf16[T,64]
  %e, %t = quantize(%b) {format="fp8_e4m3"} : fp8_e4m3[T,64], fp32[T,1]
  return %c, %s, %e, %t
)",
      R"(  %c, %s = gated_act(%x, %d) {act="silu", quantize="int8", scale=0.01} : int8[T,64], fp32[T,1]
  %e, %t = act(%x) {act="relu", quantize="fp8_e4m3"} : fp8_e4m3[T,64], fp32[T,1]
  return %c, %s, %e, %t
)");
}

TEST(FuseQuantize, LeavesAnOutputWithAnotherReaderAlone) {
  expect_unchanged(fuse_quantize, R"(  %a = act(%x) {act="relu"} : bf16[T,64]
  %c, %s = quantize(%a) {format="int8"} : int8[T,64], fp32[T,1]
  %b = add(%a, %d) : bf16[T,64]
  return %c, %s, %b
)",
                   "%c left alone: %a has another reader");
}

TEST(FuseQuantize, LeavesAnOutputOfTheGraphAlone) {
  expect_unchanged(fuse_quantize, R"(  %a = act(%x) {act="relu"} : bf16[T,64]
  %c, %s = quantize(%a) {format="int8"} : int8[T,64], fp32[T,1]
  return %a, %c, %s
)",
                   "%c left alone: %a is a graph output");
}

TEST(FuseQuantize, LeavesOtherInputsAndTheSumOfAResidualNormAlone) {
  expect_unchanged(fuse_quantize, R"(  weight @g : fp32[64] = "g"[64]
  %sum, %n = add_rms_norm(%x, %d, @g) {eps=1e-05} : bf16[T,64], bf16[T,64]
  %c, %s = quantize(%sum) {format="int8"} : int8[T,64], fp32[T,1]
  %e, %t = quantize(%x) {format="int8"} : int8[T,64], fp32[T,1]
  return %n, %c, %s, %e, %t
)",
                   "%c left alone: its input %sum is no norm or activation");
}

std::string attention(const std::string& v_input, const std::string& extra_output) {
  return R"(  weight @a.q : bf16[64,64] = "q"[64]
  weight @a.k : bf16[32,64] = "k"[32]
  weight @a.v : bf16[32,64] = "v"[32]
  %q = linear(%x, @a.q) : bf16[T,64]
  %k = linear(%x, @a.k) : bf16[T,32]
  %v = linear()" +
         v_input + R"(, @a.v) : bf16[T,32]
  %angles = rope_angles(%positions) {factor=1.0, high_freq_factor=1.0, low_freq_factor=1.0, original_max_position_embeddings=0, rotary_dim=16, scaling="none", theta=10000.0} : fp32[T,16]
  %qr = rope(%q, %angles) {head_dim=16, num_heads=4, style="neox"} : bf16[T,64]
  %kr = rope(%k, %angles) {head_dim=16, num_heads=2, style="neox"} : bf16[T,32]
  %kv1 = kv_append(%kv, %kr, %v, %slots) {head_dim=16, num_kv_heads=2} : bf16[N,2,2,64,16]
  %y = paged_attention(%qr, %kv1, %q_starts, %q_lens, %kv_lens, %block_tables) {head_dim=16, num_heads=4, num_kv_heads=2, scale=0.25} : bf16[T,64]
  return %y)" +
         extra_output + "\n";
}

TEST(FuseQkv, StacksTheThreeProjectionsOfAnAttention) {
  const std::string text = run(fuse_qkv, attention("%x", "")).text;
  EXPECT_NE(text.find("weight @a.qkv : bf16[128,64] = \"q\"[64] + \"k\"[32] + \"v\"[32]"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("%a.qkv = linear(%x, @a.qkv) : bf16[T,128]\n"
                      "  %q.slice = slice(%a.qkv) {begin=0, end=64} : bf16[T,64]\n"
                      "  %k.slice = slice(%a.qkv) {begin=64, end=96} : bf16[T,32]\n"
                      "  %v.slice = slice(%a.qkv) {begin=96, end=128} : bf16[T,32]\n"),
            std::string::npos)
      << text;
  EXPECT_EQ(text.find("@a.q :"), std::string::npos);
  expect_same_results(graph_text(attention("%x", "")), text);
}

TEST(FuseQkv, LeavesWhatFuseRopeAppendJoins) {
  const std::string joined = run(fuse_qkv, attention("%x", "")).text;
  graph::Graph graph = graph::parse(joined);
  EXPECT_EQ(fuse_rope_append(graph, {}).num_rewrites, 1);
  const std::string after = graph::print(graph);
  EXPECT_NE(after.find("%kv1, %qr = rope_append(%kv, %a.qkv, %angles, %slots)"), std::string::npos)
      << after;
  EXPECT_EQ(fuse_qkv(graph, {}).num_rewrites, 0);
  expect_same_results(graph_text(attention("%x", "")), after);
}

TEST(FuseRopeAppend, LeavesProjectionsThatAreNotJoinedAlone) {
  expect_unchanged(fuse_rope_append, attention("%d", ""),
                   "its keys and values are not the last columns of one matrix");
}

TEST(FuseQkv, StacksBiasesWhereAllHaveOne) {
  std::string before = attention("%x", "");
  for (const std::string name : {"q", "k", "v"}) {
    const std::string rows = name == "q" ? "64" : "32";
    before = changed(before, "@a." + name + ") :", "@a." + name + ", @a." + name + ".bias) :");
    before = "  weight @a." + name + ".bias : fp32[" + rows + "] = \"b" + name + "\"[" + rows +
             "]\n" + before;
  }
  const std::string text = run(fuse_qkv, before).text;
  EXPECT_NE(text.find("weight @a.qkv.bias : fp32[128] = \"bq\"[64] + \"bk\"[32] + \"bv\"[32]"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("%a.qkv = linear(%x, @a.qkv, @a.qkv.bias) : bf16[T,128]"), std::string::npos)
      << text;
  expect_same_results(graph_text(before), text);
}

TEST(FuseQkv, LeavesABiasOnOneOfThemAlone) {
  expect_unchanged(fuse_qkv,
                   changed("  weight @a.bias : fp32[32] = \"b\"[32]\n" + attention("%x", ""),
                           "@a.k) :", "@a.k, @a.bias) :"),
                   "@a.qkv not joined: only some have a bias (see %k)");
}

TEST(FuseQkv, LeavesAWeightWithAnotherReaderAlone) {
  expect_unchanged(fuse_qkv,
                   changed(attention("%x", ", %other"), "  return",
                           "  %other = linear(%d, @a.v) : bf16[T,32]\n  return"),
                   "@a.v has another reader");
}

TEST(FuseQkv, LeavesWhatIsNoProjectionAlone) {
  const std::string without_v =
      changed(attention("%x", ""), "  weight @a.v : bf16[32,64] = \"v\"[32]\n", "");
  expect_unchanged(fuse_qkv,
                   changed(without_v, "linear(%x, @a.v) :", "slice(%x) {begin=0, end=32} :"), "");
}

TEST(FuseQkv, JoinsEveryAttention) {
  const std::string before = R"(  weight @0.q : bf16[64,64] = "q"[64]
  weight @0.k : bf16[32,64] = "k"[32]
  weight @0.v : bf16[32,64] = "v"[32]
  weight @1.q : bf16[64,64] = "q1"[64]
  weight @1.k : bf16[32,64] = "k1"[32]
  weight @1.v : bf16[32,64] = "v1"[32]
  %q = linear(%x, @0.q) : bf16[T,64]
  %k = linear(%x, @0.k) : bf16[T,32]
  %v = linear(%x, @0.v) : bf16[T,32]
  %kv1 = kv_append(%kv, %k, %v, %slots) {head_dim=16, num_kv_heads=2} : bf16[N,2,2,64,16]
  %y = paged_attention(%q, %kv1, %q_starts, %q_lens, %kv_lens, %block_tables) {head_dim=16, num_heads=4, num_kv_heads=2, scale=0.25} : bf16[T,64]
  %q1 = linear(%y, @1.q) : bf16[T,64]
  %k1 = linear(%y, @1.k) : bf16[T,32]
  %v1 = linear(%y, @1.v) : bf16[T,32]
  %kv2 = kv_append(%kv1, %k1, %v1, %slots) {head_dim=16, num_kv_heads=2} : bf16[N,2,2,64,16]
  %z = paged_attention(%q1, %kv2, %q_starts, %q_lens, %kv_lens, %block_tables) {head_dim=16, num_heads=4, num_kv_heads=2, scale=0.25} : bf16[T,64]
  return %z
)";
  const Outcome outcome = run(fuse_qkv, before);
  EXPECT_EQ(outcome.report.num_rewrites, 2);
  EXPECT_EQ(outcome.report.remarks, (std::vector<std::string>{"joined 3 linears into @0.qkv",
                                                              "joined 3 linears into @1.qkv"}));
  expect_same_results(graph_text(before), outcome.text);
}

TEST(FuseQkv, LeavesProjectionsOfDifferentInputsAlone) {
  expect_unchanged(fuse_qkv, attention("%d", ""), "read different inputs");
}

TEST(FuseQkv, LeavesAProjectionThatIsAnOutputAlone) {
  expect_unchanged(fuse_qkv, attention("%x", ", %k"), "%k is a graph output");
}

constexpr const char* kUpWeight = "  weight @m.up : bf16[32,64] = \"up\"[32]\n";
constexpr const char* kBias = "  weight @m.bias : fp32[32] = \"bias\"[32]\n";

std::string mlp(const std::string& weights, const std::string& up_operands) {
  return R"(  weight @m.gate : bf16[32,64] = "gate"[32]
)" + weights +
         R"(  %g = linear(%x, @m.gate) : bf16[T,32]
  %u = linear(%x, )" +
         up_operands + R"() : bf16[T,32]
  %y = gated_act(%g, %u) {act="silu"} : bf16[T,32]
  return %y
)";
}

TEST(FuseGateUp, StacksGateAndUp) {
  const std::string text = run(fuse_gate_up, mlp(kUpWeight, "@m.up")).text;
  EXPECT_NE(text.find("weight @m.gate_up : bf16[64,64] = \"gate\"[32] + \"up\"[32]"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("%y = gated_act(%g.slice, %u.slice)"), std::string::npos) << text;
  expect_same_results(graph_text(mlp(kUpWeight, "@m.up")), text);
}

TEST(FuseGateUp, LeavesProjectionsOfDifferentInputsAlone) {
  expect_unchanged(fuse_gate_up,
                   changed(mlp(kUpWeight, "@m.up"), "%u = linear(%x", "%u = linear(%d"),
                   "%g and %u read different inputs");
}

TEST(FuseGateUp, LeavesAProjectionThatIsAnOutputAlone) {
  expect_unchanged(fuse_gate_up, changed(mlp(kUpWeight, "@m.up"), "return %y", "return %y, %u"),
                   "%u is a graph output");
}

TEST(FuseGateUp, LeavesABiasOnOneOfThemAlone) {
  expect_unchanged(fuse_gate_up, mlp(std::string(kUpWeight) + kBias, "@m.up, @m.bias"),
                   "only some have a bias");
}

TEST(FuseGateUp, LeavesAWeightWithAnotherReaderAlone) {
  expect_unchanged(fuse_gate_up, mlp("", "@m.gate"), "@m.gate has another reader");
}

TEST(Canonicalise, ComputesEqualThingsOnceAndDropsWhatNobodyReads) {
  expect_rewritten(canonicalise,
                   R"(  %a = add(%x, %d) : bf16[T,64]
  %b = add(%x, %d) : bf16[T,64]
  %unused = add(%x, %x) : bf16[T,64]
  %y = add(%a, %b) : bf16[T,64]
  return %y
)",
                   R"(  %a = add(%x, %d) : bf16[T,64]
  %y = add(%a, %a) : bf16[T,64]
  return %y
)");
}

TEST(Canonicalise, ReplacesASliceOfAllColumnsByItsOperand) {
  expect_rewritten(canonicalise,
                   R"(  %a = slice(%x) {begin=0, end=64} : bf16[T,64]
  %b = slice(%x) {begin=0, end=32} : bf16[T,32]
  %c = slice(%x) {begin=32, end=64} : bf16[T,32]
  %s = add(%b, %c) : bf16[T,32]
  %y = add(%a, %d) : bf16[T,64]
  return %y, %s
)",
                   R"(  %b = slice(%x) {begin=0, end=32} : bf16[T,32]
  %c = slice(%x) {begin=32, end=64} : bf16[T,32]
  %s = add(%b, %c) : bf16[T,32]
  %y = add(%x, %d) : bf16[T,64]
  return %y, %s
)");
}

TEST(Canonicalise, MergesChainsOfEqualNodes) {
  expect_rewritten(canonicalise,
                   R"(  %a = act(%x) {act="relu"} : bf16[T,64]
  %b = act(%x) {act="relu"} : bf16[T,64]
  %c = add(%a, %d) : bf16[T,64]
  %e = add(%b, %d) : bf16[T,64]
  %y = add(%c, %e) : bf16[T,64]
  return %y
)",
                   R"(  %a = act(%x) {act="relu"} : bf16[T,64]
  %c = add(%a, %d) : bf16[T,64]
  %y = add(%c, %c) : bf16[T,64]
  return %y
)");
}

TEST(Canonicalise, LeavesNodesWithOtherAttributesOrOperandsAlone) {
  expect_unchanged(canonicalise,
                   R"(  %a = act(%x) {act="relu"} : bf16[T,64]
  %b = act(%x) {act="silu"} : bf16[T,64]
  %c = act(%d) {act="silu"} : bf16[T,64]
  %s = add(%a, %b) : bf16[T,64]
  %y = add(%s, %c) : bf16[T,64]
  return %y
)",
                   "");
}

TEST(Canonicalise, LeavesOutputsTheirNames) {
  expect_unchanged(canonicalise,
                   R"(  %a = add(%x, %d) : bf16[T,64]
  %b = add(%x, %d) : bf16[T,64]
  return %a, %b
)",
                   "");
}

TEST(Canonicalise, NeverMergesUpdatesOfAStateAndKeepsThemAll) {
  expect_unchanged(canonicalise,
                   R"(  %k = slice(%x) {begin=0, end=32} : bf16[T,32]
  %kv1 = kv_append(%kv, %k, %k, %slots) {head_dim=16, num_kv_heads=2} : bf16[N,2,2,64,16]
  %kv2 = kv_append(%kv1, %k, %k, %slots) {head_dim=16, num_kv_heads=2} : bf16[N,2,2,64,16]
  return %x
)",
                   "");
}

TEST(Canonicalise, SaysWhatItDid) {
  const Outcome outcome = run(canonicalise, R"(  %a = add(%x, %d) : bf16[T,64]
  %b = add(%x, %d) : bf16[T,64]
  %c = slice(%b) {begin=0, end=64} : bf16[T,64]
  %unused = add(%x, %x) : bf16[T,64]
  %y = add(%a, %c) : bf16[T,64]
  return %y
)");
  EXPECT_EQ(outcome.report.remarks,
            (std::vector<std::string>{"%b equals %a: computed once",
                                      "%c takes all columns: replaced by its operand",
                                      "1 nodes nobody reads: removed"}));
  EXPECT_EQ(outcome.report.num_rewrites, 3);
}

TEST(Pipeline, RefusesToDisableAPassThatDoesNotExist) {
  graph::Graph graph = graph::parse(graph_text("  return %x\n"));
  try {
    run_pipeline(graph, {.disabled_passes = {"fuse_everything"}, .on_pass = {}});
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::invalid_input);
    EXPECT_EQ(e.message(), "there is no pass \"fuse_everything\"");
    EXPECT_NE(e.hint().find("fuse_qkv"), std::string::npos);
  }
}

TEST(Pipeline, ReportsADisabledPassAndRunsTheOthers) {
  graph::Graph graph = graph::parse(graph_text(attention("%x", "")));
  const std::vector<PassRecord> records =
      run_pipeline(graph, {.disabled_passes = {"fuse_qkv"}, .on_pass = {}});
  ASSERT_EQ(records.size(), pipeline().size());
  for (const PassRecord& record : records)
    EXPECT_EQ(record.is_disabled, record.pass == "fuse_qkv") << record.pass;
  EXPECT_TRUE(graph.try_find("a.q", graph::ValueKind::weight).has_value());
}

}  // namespace
}  // namespace veloz::compiler
