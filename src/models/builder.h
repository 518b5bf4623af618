// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/model_config.h"
#include "graph/graph.h"
#include "models/model.h"

namespace veloz::models {

/// What architectures share: the step's inputs, weights by checkpoint name, one call per op.
class Builder {
 public:
  Builder(std::string name, const checkpoint::ModelConfig& config, const GraphOptions& options);

  graph::ValueId embedding(const std::string& tensor);
  /// y = x W^T (+ b): weight `<tensor>.weight` [rows, columns of x], bias `<tensor>.bias` where
  /// `has_bias`.
  graph::ValueId linear(graph::ValueId x, const std::string& name, const std::string& tensor,
                        int64_t rows, bool has_bias);
  /// As linear, with fp32 results, on an existing matrix where `tied_to` names one.
  graph::ValueId lm_head(graph::ValueId x, const std::string& tensor, bool has_bias, bool is_tied);
  graph::ValueId rms_norm(graph::ValueId x, const std::string& name, const std::string& tensor);
  graph::ValueId layer_norm(graph::ValueId x, const std::string& name, const std::string& tensor);
  graph::ValueId add(graph::ValueId a, graph::ValueId b, const std::string& name);
  graph::ValueId act(graph::ValueId x, const std::string& name);
  graph::ValueId gated_act(graph::ValueId gate, graph::ValueId up, const std::string& name);
  /// Rotates q and k, appends k and v to the layer's cache, attends.
  graph::ValueId attention(graph::ValueId q, graph::ValueId k, graph::ValueId v, int64_t layer);
  /// The rows whose logits are wanted.
  graph::ValueId gather_logit_rows(graph::ValueId x);
  graph::Graph finish(graph::ValueId logits);

 private:
  int64_t columns(graph::ValueId x) const;
  graph::ValueId vector(const std::string& name, const std::string& tensor, int64_t size);
  graph::ValueId angles();

  const checkpoint::ModelConfig& config_;
  const GraphOptions options_;
  graph::Graph graph_;
  graph::ValueId tokens_, positions_, slots_, q_starts_, q_lens_, kv_lens_, block_tables_,
      logit_rows_;
  graph::ValueId embed_{};
  graph::ValueId angles_{};
  std::vector<graph::ValueId> caches_;  // per layer
};

/// Architectures, each in its own file.
graph::Graph build_gptj(const checkpoint::ModelConfig& config, const GraphOptions& options);
graph::Graph build_llama(const checkpoint::ModelConfig& config,
                         const GraphOptions& options);  // and Qwen2

}  // namespace veloz::models
