// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include "base/device.h"
#include "compress/machine.h"
#include "compress/quantize/model_structure.h"
#include "compress/quantize/packed_matrix.h"
#include "compress/quantize/tensor_set.h"
#include "graph/graph.h"

namespace veloz::compress {

/// Whole texts that go through the model together, each from its beginning.
struct TextBatch {
  std::vector<std::span<const int32_t>> texts;  // 1 token or more each
  int64_t num_tokens() const;
};

/// Runs one slice of an fp32 graph on texts, node by node, so that every value can be looked at.
/// Holds the slice's weights packed, and activations of one batch.
class SliceRunner {
 public:
  /// Called before each node runs, with its operands.
  using Observer = std::function<void(size_t node, const ops::OpCall& call)>;

  /// `graph` and `slice` outlive it; `tensors` need not.
  SliceRunner(const graph::Graph& graph, const GraphSlice& slice, const TensorSet& tensors,
              const Machine& machine);

  /// x [T, D] fp32, the slice's input for the batch's T tokens, is replaced by its output where
  /// that has the same shape; otherwise it is left.
  void run(const TextBatch& batch, const TensorView& x, const Observer& observer);

 private:
  TensorView view_of(graph::ValueId id, const ops::Binding& binding);
  void run_node(size_t index, const ops::Binding& binding, const Observer& observer);

  const graph::Graph& graph_;
  const GraphSlice& slice_;
  const Machine machine_;
  std::map<graph::ValueId, PackedMatrix> packed_;      // weights of linears
  std::map<graph::ValueId, Buffer> plain_;             // other weights
  std::map<graph::ValueId, Buffer> memory_;            // inputs, states and results of a batch
  std::map<graph::ValueId, TensorView> views_;         // of one batch
  std::map<graph::ValueId, graph::ValueId> state_of_;  // versions of a state share its memory
  Buffer workspace_;
};

}  // namespace veloz::compress
