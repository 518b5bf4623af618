// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "compiler/passes/pass.h"
#include "graph/graph.h"
#include "pass_runs.h"

namespace veloz::compiler {
namespace {

using test::changed;
using test::expect_same_results;
using test::graph_text;
using test::Outcome;

/// An attention on the columns of one projection, two heads of q and one of k and v.
const std::string kJoinedAttention =
    R"(  %a = rope_angles(%positions) {rotary_dim=8, scaling="none", theta=10000.0} : fp32[T,8]
  %k = slice(%x) {begin=32, end=48} : bf16[T,16]
  %q = slice(%x) {begin=0, end=32} : bf16[T,32]
  %v = slice(%x) {begin=48, end=64} : bf16[T,16]
  %kr = rope(%k, %a) {head_dim=16, num_heads=1, style="neox"} : bf16[T,16]
  %qr = rope(%q, %a) {head_dim=16, num_heads=2, style="neox"} : bf16[T,32]
  %kv1 = kv_append(%kv, %kr, %v, %slots) {head_dim=16, num_kv_heads=1} : bf16[N,2,1,64,16]
  %y = paged_attention(%qr, %kv1, %q_starts, %q_lens, %kv_lens, %block_tables) {head_dim=16, num_heads=2, num_kv_heads=1, scale=0.25} : bf16[T,32]
  return %y
)";

/// As graph_text, with one head in the cache.
std::string one_kv_head(const std::string& nodes) {
  return changed(graph_text(nodes), "bf16[N,2,2,64,16]", "bf16[N,2,1,64,16]");
}

Outcome run_on_one_kv_head(const std::string& nodes) {
  graph::Graph graph = graph::parse(one_kv_head(nodes));
  Outcome outcome;
  outcome.report = fuse_rope_append(graph, {});
  graph::verify(graph);
  outcome.text = graph::print(graph);
  EXPECT_EQ(fuse_rope_append(graph, {}).num_rewrites, 0) << "a second run changed something";
  return outcome;
}

TEST(FuseRopeAppend, JoinsTheRopesOfAProjectionWithItsAppend) {
  for (const std::string style : {"neox", "interleaved"}) {
    std::string before = kJoinedAttention;
    for (int i = 0; i < 2 && style != "neox"; ++i)
      before = changed(before, "\"neox\"", "\"interleaved\"");
    const Outcome outcome = run_on_one_kv_head(before);
    EXPECT_EQ(
        outcome.text,
        one_kv_head(
            R"(  %a = rope_angles(%positions) {rotary_dim=8, scaling="none", theta=10000.0} : fp32[T,8]
  %kv1, %qr = rope_append(%kv, %x, %a, %slots) {head_dim=16, num_heads=2, num_kv_heads=1, style=")" +
            style + R"("} : bf16[N,2,1,64,16], bf16[T,32]
  %y = paged_attention(%qr, %kv1, %q_starts, %q_lens, %kv_lens, %block_tables) {head_dim=16, num_heads=2, num_kv_heads=1, scale=0.25} : bf16[T,32]
  return %y
)"));
    EXPECT_EQ(outcome.report.remarks, (std::vector<std::string>{"joined %qr and %kr with %kv1"}));
    expect_same_results(one_kv_head(before), outcome.text);
  }
}

TEST(FuseRopeAppend, KeepsRotatedQueriesThatAreAnOutputAndValuesThatOthersRead) {
  const std::string before =
      changed(kJoinedAttention, "return %y",
              "%w = act(%v) {act=\"relu\"} : bf16[T,16]\n  return %y, %qr, %w");
  const Outcome outcome = run_on_one_kv_head(before);
  EXPECT_EQ(outcome.report.num_rewrites, 1);
  EXPECT_NE(outcome.text.find("%v = slice(%x) {begin=48, end=64}"), std::string::npos);
  expect_same_results(one_kv_head(before), outcome.text);
}

TEST(FuseRopeAppend, KeepsTheScalesOfTheCache) {
  const auto fp8 = [](const std::string& nodes) {
    return changed(graph_text(nodes), "bf16[N,2,2,64,16]", "fp8_e4m3[N,2,1,64,16]");
  };
  std::string before = changed(kJoinedAttention, "num_kv_heads=1} : bf16[N",
                               "k_scale=0.5, num_kv_heads=1, v_scale=2.0} : fp8_e4m3[N");
  before = changed(before, "num_heads=2, num_kv_heads=1, scale",
                   "k_scale=0.5, num_heads=2, num_kv_heads=1, v_scale=2.0, scale");
  graph::Graph graph = graph::parse(fp8(before));
  EXPECT_EQ(fuse_rope_append(graph, {}).num_rewrites, 1);
  graph::verify(graph);
  const std::string after = graph::print(graph);
  EXPECT_NE(
      after.find(
          "{head_dim=16, k_scale=0.5, num_heads=2, num_kv_heads=1, style=\"neox\", v_scale=2.0}"),
      std::string::npos)
      << after;
  expect_same_results(fp8(before), after);
}

TEST(FuseRopeAppend, JoinsEveryLayer) {
  const auto second = [](std::string text) {
    text = text.substr(text.find("  %k ="));
    for (const char* const name : {"k", "q", "v", "kr", "qr", "kv1", "y"})
      for (const std::string end : {" ", ",", ")", "\n"}) {
        const std::string from = "%" + std::string(name) + end,
                          to = "%b." + std::string(name) + end;
        for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
          text.replace(at, from.size(), to);
      }
    return changed(text, "%kv,", "%kv1,");
  };
  const std::string first = changed(kJoinedAttention, "  return %y\n", "");
  const std::string before =
      first + changed(second(kJoinedAttention), "return %b.y", "return %y, %b.y");
  const Outcome outcome = run_on_one_kv_head(before);
  EXPECT_EQ(outcome.report.num_rewrites, 2);
  expect_same_results(one_kv_head(before), outcome.text);
}

/// What is changed in kJoinedAttention so that it stays as it is, and the remark that says why.
struct Blocked {
  const char* from;
  const char* to;
  const char* remark;
};

TEST(FuseRopeAppend, LeavesOtherAttentionsAlone) {
  const char* const kOtherAngles =
      "%b = rope_angles(%positions) {rotary_dim=8, scaling=\"none\", theta=500000.0} : fp32[T,8]\n "
      " %k =";
  for (const Blocked& blocked :
       {Blocked{"rope(%k, %a) {head_dim=16, num_heads=1, style=\"neox\"}", "act(%k) {act=\"relu\"}",
                "its keys %kr are not rotated"},
        Blocked{"return %y", "return %y, %kr", "its keys %kr have another reader"},
        Blocked{"return %y", "%w = act(%kr) {act=\"relu\"} : bf16[T,16]\n  return %y, %w",
                "its keys %kr have another reader"},
        Blocked{"%v = slice(%x)", "%v = slice(%d)", "not the last columns of one matrix"},
        Blocked{"%v = slice(%x) {begin=48, end=64}", "%v = slice(%x) {begin=32, end=48}",
                "not the last columns of one matrix"},
        Blocked{"%k = slice(%x) {begin=32, end=48}", "%k = slice(%x) {begin=16, end=32}",
                "not the last columns of one matrix"},
        Blocked{"%k = slice(%x) {begin=32, end=48} : bf16[T,16]",
                "%w = slice(%x) {begin=32, end=48} : bf16[T,16]\n  %k = act(%w) {act=\"relu\"} : "
                "bf16[T,16]",
                "not the last columns of one matrix"},
        Blocked{"%q = slice(%x)", "%q = slice(%d)",
                "no queries beside its keys are rotated as %kr"},
        Blocked{"num_heads=2, style=\"neox\"", "num_heads=2, style=\"interleaved\"",
                "no queries beside its keys are rotated as %kr"},
        Blocked{"{head_dim=16, num_heads=2, style", "{head_dim=32, num_heads=1, style",
                "no queries beside its keys are rotated as %kr"},
        Blocked{"{head_dim=16, num_heads=1, style", "{head_dim=8, num_heads=2, style",
                "its keys %kr are rotated in other heads"},
        Blocked{"  %kv1 =", "  %w = act(%qr) {act=\"relu\"} : bf16[T,32]\n  %kv1 =",
                "%qr is read before it"}}) {
    std::string nodes = changed(kJoinedAttention, blocked.from, blocked.to);
    if (std::string(blocked.remark).starts_with("%qr"))
      nodes = changed(nodes, "return %y", "return %y, %w");
    const Outcome outcome = run_on_one_kv_head(nodes);
    EXPECT_EQ(outcome.text, one_kv_head(nodes));
    ASSERT_EQ(outcome.report.remarks.size(), 1u);
    EXPECT_NE(outcome.report.remarks[0].find(blocked.remark), std::string::npos)
        << outcome.report.remarks[0] << " for " << blocked.to;
  }
  const std::string other =
      changed(changed(kJoinedAttention, "%k =", kOtherAngles), "rope(%k, %a)", "rope(%k, %b)");
  EXPECT_EQ(
      run_on_one_kv_head(other).report.remarks,
      (std::vector<std::string>{"%kv1 left alone: no queries beside its keys are rotated as %kr"}));
}

}  // namespace
}  // namespace veloz::compiler
