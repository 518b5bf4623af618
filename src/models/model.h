// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "base/dtype.h"
#include "checkpoint/model_config.h"
#include "checkpoint/quantization.h"
#include "graph/graph.h"

namespace veloz::models {

struct GraphOptions {
  DType dtype = DType::bf16;  // of activations and matrices; gains and biases are fp32
  DType kv_cache_dtype = DType::bf16;
  int64_t block_size = 64;
  std::vector<checkpoint::KvScales> kv_scales{};  // per layer, of an fp8_e4m3 cache; or none: 1
};

/// The graph of one step of a language model, as its paper writes it: no fusion, weights under the
/// names of this project with the checkpoint's tensors as segments. Inputs: tokens, positions
/// int32[T]; slots int64[T]; q_starts, q_lens, kv_lens int32[S]; block_tables int32[S,B];
/// logit_rows int32[R]. States: kv.<layer>, a cache of ops/attention.h. Output: logits fp32[R, V].
/// Throws Error(corrupt_data) where `kv_scales` are not one per layer.
graph::Graph build_graph(const checkpoint::ModelConfig& config, const GraphOptions& options);

}  // namespace veloz::models
