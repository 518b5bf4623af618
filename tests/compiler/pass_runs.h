// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "compiler/passes/pass.h"
#include "graph/graph.h"
#include "support/graph_runs.h"

/// Passes on graphs given as text.
namespace veloz::test {

using compiler::Pass;
using compiler::PassContext;
using compiler::PassReport;

/// A graph around `nodes` with the inputs, state and weights that the tests use.
inline std::string graph_text(const std::string& nodes) {
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

inline Outcome run(Pass pass, const std::string& nodes, const PassContext& context = {}) {
  graph::Graph graph = graph::parse(graph_text(nodes));
  Outcome outcome;
  outcome.report = pass(graph, context);
  graph::verify(graph);
  outcome.text = graph::print(graph);
  EXPECT_EQ(pass(graph, context).num_rewrites, 0) << "a second run changed something";
  EXPECT_EQ(graph::print(graph), outcome.text);
  return outcome;
}

inline void expect_unchanged(Pass pass, const std::string& nodes, const std::string& remark,
                             const PassContext& context = {}) {
  const Outcome outcome = run(pass, nodes, context);
  EXPECT_EQ(outcome.text, graph_text(nodes));
  EXPECT_EQ(outcome.report.num_rewrites, 0);
  bool is_said = false;
  for (const std::string& said : outcome.report.remarks)
    is_said = is_said || said.find(remark) != std::string::npos;
  EXPECT_TRUE(is_said || remark.empty()) << "no remark says: " << remark;
}

/// Both graphs on the references: five tokens of two sequences. No pass moves a rounding, so every
/// bit is the same.
inline void expect_same_results(const std::string& before, const std::string& after) {
  ops::Binding binding{};
  const auto bind = [&](ops::Symbol symbol, int64_t extent) {
    binding[static_cast<size_t>(symbol)] = extent;
  };
  bind(ops::Symbol::T, 5);
  bind(ops::Symbol::S, 2);
  bind(ops::Symbol::B, 1);
  bind(ops::Symbol::N, 2);
  const GraphInputs inputs = {{"positions", {0, 1, 2, 0, 1}},
                              {"slots", {64, 65, 66, 0, 1}},
                              {"q_starts", {0, 3}},
                              {"q_lens", {3, 2}},
                              {"kv_lens", {3, 2}},
                              {"block_tables", {1, 0}}};
  const auto on_references = [&](const std::string& text) {
    return evaluate(graph::parse(text), binding, inputs);
  };
  const std::vector<OwnedTensor> expected = on_references(before);
  const std::vector<OwnedTensor> actual = on_references(after);
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_TENSOR_EQ(actual[i].view(), expected[i].view(), 0);
}

inline void expect_rewritten(Pass pass, const std::string& before, const std::string& after) {
  EXPECT_EQ(run(pass, before).text, graph_text(after));
  expect_same_results(graph_text(before), graph_text(after));
}

/// `text` with something replaced.
inline std::string changed(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

}  // namespace veloz::test
