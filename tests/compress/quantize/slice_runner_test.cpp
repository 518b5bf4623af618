// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/slice_runner.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "compress/quantize/tiny_model.h"
#include "support/graph_runs.h"

namespace veloz::compress {
namespace {

using checkpoint::Architecture;

/// The tensors that support/graph_runs.h makes up for a graph.
TensorSet tensors_of_graph_runs(const graph::Graph& graph) {
  TensorSet tensors;
  for (const graph::ValueId id : graph.values_of_kind(graph::ValueKind::weight)) {
    const test::OwnedTensor weight = test::graph_internal::weight_tensor(graph.value(id));
    const Shape& shape = weight.view().shape;
    Matrix m(shape.rank() > 1 ? shape[0] : 1, shape.back());
    std::memcpy(m.values.data(), weight.view().data, m.values.size() * sizeof(float));
    tensors[graph.value(id).segments[0].tensor] = std::move(m);
  }
  return tensors;
}

TEST(SliceRunner, LayersOneAfterTheOtherGiveWhatTheGraphGives) {
  test::TestMachine own;
  for (const Architecture architecture : {Architecture::llama, Architecture::gptj}) {
    const test::TinyModel model(architecture);
    const TensorSet tensors = tensors_of_graph_runs(model.graph);
    const std::vector<int32_t> first = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3};
    const std::vector<int32_t> second = {2, 7, 1};
    const TextBatch batch{{first, second}};

    Matrix x(batch.num_tokens(), 64);
    const graph::Node& embedding = model.graph.nodes()[model.slices.embedding_node];
    const Matrix& table = tensors.at(model.graph.value(embedding.inputs[1]).segments[0].tensor);
    int64_t row = 0;
    for (const auto& text : batch.texts)
      for (const int32_t token : text)
        std::memcpy(x.row(row++), table.row(token), 64 * sizeof(float));
    for (const GraphSlice& layer : model.slices.layers)
      SliceRunner(model.graph, layer, tensors, own.get()).run(batch, x.view(), {});
    Matrix logits;
    SliceRunner head(model.graph, model.slices.head, tensors, own.get());
    Matrix head_input;
    head.run(batch, x.view(), [&](size_t node, const ops::OpCall& call) {
      if (model.graph.nodes()[node].op != ops::Op::linear) return;
      head_input = Matrix(call.inputs[0].shape[0], 64);
      std::memcpy(head_input.values.data(), call.inputs[0].data, call.inputs[0].num_bytes());
    });

    // The step as the whole graph takes it: blocks 0, 1 hold the first text, 2, 3 the second.
    test::GraphInputs inputs;
    for (const auto& text : batch.texts)
      for (size_t i = 0; i < text.size(); ++i) {
        inputs["tokens"].push_back(text[i]);
        inputs["positions"].push_back(static_cast<int64_t>(i));
        inputs["slots"].push_back((&text == &batch.texts[0] ? 0 : 32) + static_cast<int64_t>(i));
        inputs["logit_rows"].push_back(static_cast<int64_t>(inputs["logit_rows"].size()));
      }
    inputs["q_starts"] = {0, 18};
    inputs["q_lens"] = inputs["kv_lens"] = {18, 3};
    inputs["block_tables"] = {0, 1, 2, 3};
    ops::Binding binding{};
    binding[static_cast<size_t>(ops::Symbol::T)] = binding[static_cast<size_t>(ops::Symbol::R)] =
        21;
    binding[static_cast<size_t>(ops::Symbol::S)] = binding[static_cast<size_t>(ops::Symbol::B)] = 2;
    binding[static_cast<size_t>(ops::Symbol::N)] = 4;
    // Stop before lm_head, so that both sides can be compared as they come.
    graph::Graph graph = model.graph;
    for (const graph::Node& node : graph.nodes())
      if (node.outputs[0] == graph.outputs()[0]) {
        graph.set_outputs({node.inputs[0]});
        break;
      }
    const auto expected = test::evaluate(graph, binding, inputs);
    EXPECT_TRUE(test::compare_tensors(
        head_input.view(), expected[0].view(), [](int64_t) { return 2e-4; }, 0));
  }
}

TEST(SliceRunner, ATextDoesNotSeeItsNeighbours) {
  test::TestMachine machine;
  const test::TinyModel model(Architecture::llama, 2);
  const std::vector<int32_t> tokens(9, 1);
  const Matrix alone = test::normal_matrix(5, 64, 1);
  Matrix together(14, 64);
  std::copy(alone.values.begin(), alone.values.end(), together.row(9));
  SliceRunner runner(model.graph, model.slices.layers[0], model.tensors, machine.get());
  runner.run({{tokens, std::span(tokens).first(5)}}, together.view(), {});
  const Matrix expected = model.run(model.slices.layers[0], model.tensors, alone, machine.get());
  EXPECT_TRUE(std::equal(expected.values.begin(), expected.values.end(), together.row(9)));
}

TEST(SliceRunner, EveryLinearIsObserved) {
  test::TestMachine machine;
  const test::TinyModel model(Architecture::llama);
  const std::vector<int32_t> tokens(4, 1);
  Matrix x = test::normal_matrix(4, 64, 2);
  int num_linears = 0;
  SliceRunner(model.graph, model.slices.layers[0], model.tensors, machine.get())
      .run({{tokens}}, x.view(), [&](size_t node, const ops::OpCall&) {
        num_linears += model.graph.nodes()[node].op == ops::Op::linear ? 1 : 0;
      });
  EXPECT_EQ(num_linears, 7);
}

}  // namespace
}  // namespace veloz::compress
