// SPDX-License-Identifier: Apache-2.0
#include "compiler/passes/pass.h"

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "compiler/pipeline.h"
#include "graph/graph.h"

namespace veloz::compiler {
namespace {

/// A graph around `nodes` with the inputs, state and weights that the tests use.
std::string graph_text(const std::string& nodes) {
  return R"(graph test {
  input %x : bf16[T,64]
  input %d : bf16[T,64]
  input %positions : int32[T]
  input %slots : int64[T]
  input %q_starts : int32[S]
  input %q_lens : int32[S]
  input %kv_lens : int32[S]
  input %block_tables : int32[S,B]
  state %kv : bf16[N,2,2,64,16]
)" + nodes +
         "}\n";
}

struct Outcome {
  std::string text;
  PassReport report;
};

Outcome run(Pass pass, const std::string& nodes) {
  graph::Graph graph = graph::parse(graph_text(nodes));
  Outcome outcome;
  outcome.report = pass(graph, {});
  graph::verify(graph);
  outcome.text = graph::print(graph);
  EXPECT_EQ(pass(graph, {}).num_rewrites, 0) << "a second run changed something";
  EXPECT_EQ(graph::print(graph), outcome.text);
  return outcome;
}

void expect_unchanged(Pass pass, const std::string& nodes, const std::string& remark) {
  const Outcome outcome = run(pass, nodes);
  EXPECT_EQ(outcome.text, graph_text(nodes));
  EXPECT_EQ(outcome.report.num_rewrites, 0);
  bool is_said = false;
  for (const std::string& said : outcome.report.remarks)
    is_said = is_said || said.find(remark) != std::string::npos;
  EXPECT_TRUE(is_said || remark.empty()) << "no remark says: " << remark;
}

void expect_rewritten(Pass pass, const std::string& before, const std::string& after) {
  EXPECT_EQ(run(pass, before).text, graph_text(after));
}

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

TEST(FuseAddNorm, LeavesANormOfSomethingElseAlone) {
  expect_unchanged(fuse_add_norm, R"(  weight @g : fp32[64] = "g"[64]
  %n = rms_norm(%x, @g) {eps=1e-05} : bf16[T,64]
  return %n
)",
                   "its input %x is not a sum");
}

TEST(FuseAddNorm, JoinsOnlyTheFirstOfTwoNorms) {
  const Outcome outcome = run(fuse_add_norm, R"(  weight @g : fp32[64] = "g"[64]
  weight @h : fp32[64] = "h"[64]
  %s = add(%x, %d) : bf16[T,64]
  %n = rms_norm(%s, @g) {eps=1e-05} : bf16[T,64]
  %m = rms_norm(%s, @h) {eps=1e-05} : bf16[T,64]
  %y = add(%n, %m) : bf16[T,64]
  return %y
)");
  EXPECT_EQ(outcome.report.num_rewrites, 1);
  EXPECT_NE(outcome.text.find("%m = rms_norm(%s, @h)"), std::string::npos);
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
  EXPECT_TRUE(records[1].is_disabled);
  EXPECT_TRUE(graph.try_find("a.q", graph::ValueKind::weight).has_value());
}

}  // namespace
}  // namespace veloz::compiler
