// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace veloz::compress {

/// Nodes of a model's graph that make one value of another (and of the step's inputs, states and
/// weights), in order.
struct GraphSlice {
  std::string name;  // "layers.3", "head"
  std::vector<size_t> nodes;
  graph::ValueId input{};
  graph::ValueId output{};
};

/// A model as a chain: tokens -> embedding -> layers -> logits.
struct ModelSlices {
  graph::ValueId embedded{};  // the first layer's input
  size_t embedding_node = 0;
  std::vector<GraphSlice> layers;
  GraphSlice head;  // from the last layer's output to the logits
};

/// Cuts a graph as models/ writes it, where the values and weights of layer i are named
/// "layers.<i>.": a layer ends with the last of them. Throws Error(unsupported) for a graph that is
/// no such chain.
ModelSlices slice_model(const graph::Graph& graph);

/// A linear of the checkpoint.
struct LinearModule {
  size_t node = 0;
  std::string module;  // "model.layers.0.self_attn.q_proj"
  std::string bias;    // tensor, "" where there is none
  int64_t rows = 0;
  int64_t columns = 0;
  std::string weight() const { return module + ".weight"; }
};

/// Where factors between an input and its linears can be hidden, so that the model computes the
/// same: whatever makes the input gives it divided by them.
enum class FoldKind {
  none,    // an activation function stands between
  norm,    // gain (and bias) of the norm before
  linear,  // rows (and bias) of a linear: up before down, v before o
};

/// Linears with one input: they share scales, and one quantization of it.
struct InputGroup {
  graph::ValueId input{};
  std::vector<LinearModule> linears;
  FoldKind fold = FoldKind::none;
  std::vector<std::string> norm_tensors;  // of FoldKind::norm: gain, bias
  LinearModule producer;                  // of FoldKind::linear
  /// Of FoldKind::linear: row of the producer that column k is made from; several columns may share
  /// one (grouped-query attention). Empty: row k.
  std::vector<int32_t> channel_of_column;
};

/// The groups of a slice, in the order of their first linear. A group's linears stand behind the
/// producer of its input, so whoever folds from the last group to the first sees each weight as its
/// readers left it.
std::vector<InputGroup> find_input_groups(const graph::Graph& graph, const GraphSlice& slice);

}  // namespace veloz::compress
