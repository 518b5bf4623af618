// SPDX-License-Identifier: Apache-2.0
#include "models/builder.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "base/error.h"
#include "models/config_names.h"
#include "ops/kv_layout.h"

namespace veloz::models {

using graph::ValueId;
using ops::Op;
using ops::Symbol;

Builder::Builder(std::string name, const checkpoint::ModelConfig& config,
                 const GraphOptions& options)
    : config_(config), options_(options), graph_(std::move(name)) {
  tokens_ = graph_.add_input("tokens", {DType::int32, {Symbol::T}});
  positions_ = graph_.add_input("positions", {DType::int32, {Symbol::T}});
  slots_ = graph_.add_input("slots", {DType::int64, {Symbol::T}});
  q_starts_ = graph_.add_input("q_starts", {DType::int32, {Symbol::S}});
  q_lens_ = graph_.add_input("q_lens", {DType::int32, {Symbol::S}});
  kv_lens_ = graph_.add_input("kv_lens", {DType::int32, {Symbol::S}});
  block_tables_ = graph_.add_input("block_tables", {DType::int32, {Symbol::S, Symbol::B}});
  logit_rows_ = graph_.add_input("logit_rows", {DType::int32, {Symbol::R}});
  if (!options.kv_scales.empty() && std::ssize(options.kv_scales) != config.num_layers)
    throw Error(ErrorKind::corrupt_data,
                fmt::format("{} pairs of KV cache scales for {} layers", options.kv_scales.size(),
                            config.num_layers),
                "each layer needs a k_scale and a v_scale; quantize the checkpoint again");
  for (int64_t layer = 0; layer < config.num_layers; ++layer)
    caches_.push_back(
        graph_.add_state(fmt::format("kv.{}", layer),
                         {options.kv_cache_dtype,
                          {Symbol::N, int64_t{2}, config.num_kv_heads, options.block_size,
                           ops::kv_row_extent(options.kv_cache_dtype, config.head_dim)}}));
  angles_ = angles();
}

int64_t Builder::columns(ValueId x) const { return graph_.value(x).type.dims[1].value; }

ValueId Builder::vector(const std::string& name, const std::string& tensor, int64_t size) {
  return graph_.add_weight(name, DType::fp32, {size}, {{tensor, size}});
}

ValueId Builder::angles() {
  const checkpoint::RopeConfig& rope = config_.rope;
  return graph_.add(Op::rope_angles, {positions_},
                    {{"rotary_dim", rope.rotary_dim},
                     {"theta", rope.theta},
                     {"scaling", std::string(scaling_name(rope.scaling))},
                     {"factor", rope.factor},
                     {"low_freq_factor", rope.low_freq_factor},
                     {"high_freq_factor", rope.high_freq_factor},
                     {"original_max_position_embeddings", rope.original_max_position_embeddings}},
                    "angles");
}

ValueId Builder::embedding(const std::string& tensor) {
  embed_ = graph_.add_weight("embed", options_.dtype, {config_.vocab_size, config_.hidden_size},
                             {{tensor + ".weight", config_.vocab_size}});
  return graph_.add(Op::embedding, {tokens_, embed_}, {}, "embedded");
}

ValueId Builder::linear(ValueId x, const std::string& name, const std::string& tensor, int64_t rows,
                        bool has_bias) {
  std::vector<ValueId> inputs = {
      x, graph_.add_weight(name, options_.dtype, {rows, columns(x)}, {{tensor + ".weight", rows}})};
  if (has_bias) inputs.push_back(vector(name + ".bias", tensor + ".bias", rows));
  return graph_.add(Op::linear, std::move(inputs), {}, name);
}

ValueId Builder::lm_head(ValueId x, const std::string& tensor, bool has_bias, bool is_tied) {
  const int64_t rows = config_.vocab_size;
  std::vector<ValueId> inputs = {x, embed_};
  if (!is_tied)
    inputs[1] = graph_.add_weight("lm_head", options_.dtype, {rows, columns(x)},
                                  {{tensor + ".weight", rows}});
  if (has_bias) inputs.push_back(vector("lm_head.bias", tensor + ".bias", rows));
  return graph_.add(Op::linear, std::move(inputs), {{"out", std::string("fp32")}}, "logits");
}

ValueId Builder::rms_norm(ValueId x, const std::string& name, const std::string& tensor) {
  const ValueId gamma = vector(name, tensor + ".weight", columns(x));
  return graph_.add(Op::rms_norm, {x, gamma}, {{"eps", config_.norm_eps}}, name);
}

ValueId Builder::layer_norm(ValueId x, const std::string& name, const std::string& tensor) {
  const ValueId gamma = vector(name, tensor + ".weight", columns(x));
  const ValueId beta = vector(name + ".bias", tensor + ".bias", columns(x));
  return graph_.add(Op::layer_norm, {x, gamma, beta}, {{"eps", config_.norm_eps}}, name);
}

ValueId Builder::add(ValueId a, ValueId b, const std::string& name) {
  return graph_.add(Op::add, {a, b}, {}, name);
}

ValueId Builder::act(ValueId x, const std::string& name) {
  return graph_.add(Op::act, {x}, {{"act", std::string(activation_name(config_.activation))}},
                    name);
}

ValueId Builder::gated_act(ValueId gate, ValueId up, const std::string& name) {
  return graph_.add(Op::gated_act, {gate, up},
                    {{"act", std::string(activation_name(config_.activation))}}, name);
}

ValueId Builder::attention(ValueId q, ValueId k, ValueId v, int64_t layer) {
  const std::string prefix = fmt::format("layers.{}.attn.", layer);
  const auto rotate = [&](ValueId x, int64_t num_heads, const std::string& name) {
    return graph_.add(Op::rope, {x, angles_},
                      {{"head_dim", config_.head_dim},
                       {"num_heads", num_heads},
                       {"style", std::string(rope_style_name(config_.rope.style))}},
                      prefix + name);
  };
  const ValueId rotated_q = rotate(q, config_.num_heads, "q_rotated");
  const ValueId rotated_k = rotate(k, config_.num_kv_heads, "k_rotated");
  ops::Attrs append{{"head_dim", config_.head_dim}, {"num_kv_heads", config_.num_kv_heads}};
  ops::Attrs attend{{"head_dim", config_.head_dim},
                    {"num_heads", config_.num_heads},
                    {"num_kv_heads", config_.num_kv_heads},
                    {"scale", 1.0 / std::sqrt(static_cast<double>(config_.head_dim))}};
  if (options_.kv_cache_dtype == DType::fp8_e4m3 && !options_.kv_scales.empty()) {
    const checkpoint::KvScales& scales = options_.kv_scales[static_cast<size_t>(layer)];
    for (ops::Attrs* const attrs : {&append, &attend}) {
      attrs->set("k_scale", scales.k);
      attrs->set("v_scale", scales.v);
    }
  }
  ValueId& cache = caches_[static_cast<size_t>(layer)];
  cache = graph_.add(Op::kv_append, {cache, rotated_k, v, slots_}, std::move(append),
                     fmt::format("kv.{}.appended", layer));
  return graph_.add(Op::paged_attention,
                    {rotated_q, cache, q_starts_, q_lens_, kv_lens_, block_tables_},
                    std::move(attend), prefix + "context");
}

ValueId Builder::gather_logit_rows(ValueId x) {
  return graph_.add(Op::gather_rows, {x, logit_rows_}, {}, "last");
}

graph::Graph Builder::finish(ValueId logits) {
  graph_.set_outputs({logits});
  graph::verify(graph_);
  return std::move(graph_);
}

}  // namespace veloz::models
