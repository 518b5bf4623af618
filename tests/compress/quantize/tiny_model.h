// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/model_config.h"
#include "compress/quantize/model_structure.h"
#include "compress/quantize/slice_runner.h"
#include "compress/quantize/tensor_set.h"
#include "compress/quantize/test_machine.h"
#include "graph/graph.h"
#include "models/model.h"

namespace veloz::test {

/// A two-layer model of random fp32 weights, `kv_heads` of 4 heads.
struct TinyModel {
  explicit TinyModel(checkpoint::Architecture architecture, int64_t kv_heads = 4)
      : graph(models::build_graph(config_of(architecture, kv_heads),
                                  {DType::fp32, DType::fp32, /*block_size=*/16})),
        slices(compress::slice_model(graph)) {
    uint64_t seed = 100;
    for (const graph::ValueId id : graph.values_of_kind(graph::ValueKind::weight)) {
      const graph::Value& value = graph.value(id);
      const Shape shape = value.type.bind({});
      const bool is_vector = shape.rank() == 1;
      compress::Matrix m = normal_matrix(is_vector ? 1 : shape[0], shape.back(), seed++);
      const bool is_gain = is_vector && value.segments[0].tensor.ends_with(".weight");
      for (float& v : m.values) v = is_gain ? 1 + 0.2f * v : 0.2f * v;
      tensors[value.segments[0].tensor] = std::move(m);
    }
  }

  static checkpoint::ModelConfig config_of(checkpoint::Architecture architecture,
                                           int64_t kv_heads) {
    checkpoint::ModelConfig config;
    config.architecture = architecture;
    config.hidden_size = 64;
    config.intermediate_size = 96;
    config.num_layers = 2;
    config.num_heads = 4;
    config.num_kv_heads = kv_heads;
    config.head_dim = 16;
    config.vocab_size = 50;
    config.max_position_embeddings = 128;
    config.norm_eps = 1e-5;
    config.qkv_bias = architecture == checkpoint::Architecture::qwen2;
    config.rope.rotary_dim = architecture == checkpoint::Architecture::gptj ? 8 : 16;
    if (architecture == checkpoint::Architecture::gptj) {
      config.activation = checkpoint::Activation::gelu_tanh;
      config.rope.style = checkpoint::RopeStyle::interleaved;
    }
    return config;
  }

  /// Output of one slice for `x`, on one text of x's rows.
  compress::Matrix run(const compress::GraphSlice& slice, const compress::TensorSet& set,
                       compress::Matrix x, const compress::Machine& machine) const {
    const std::vector<int32_t> tokens(static_cast<size_t>(x.rows), 1);
    compress::SliceRunner(graph, slice, set, machine).run({{tokens}}, x.view(), {});
    return x;
  }

  graph::Graph graph;
  compress::ModelSlices slices;
  compress::TensorSet tensors;
};

}  // namespace veloz::test
