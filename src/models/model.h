// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "checkpoint/model_config.h"
#include "graph/graph.h"

namespace veloz::models {

struct GraphOptions {
  DType dtype = DType::bf16;           // of activations and matrices; gains and biases are fp32
  DType kv_cache_dtype = DType::bf16;  // same as dtype today
  int64_t block_size = 64;
};

/// The graph of one step of a language model, as its paper writes it: no fusion, weights under the
/// names of this project with the checkpoint's tensors as segments. Inputs: tokens, positions
/// int32[T]; slots int64[T]; q_starts, q_lens, kv_lens int32[S]; block_tables int32[S,B];
/// logit_rows int32[R]. States: kv.<layer> [N, 2, num_kv_heads, block_size, head_dim]. Output:
/// logits fp32[R, V].
graph::Graph build_graph(const checkpoint::ModelConfig& config, const GraphOptions& options);

}  // namespace veloz::models
