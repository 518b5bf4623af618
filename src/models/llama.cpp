// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "models/builder.h"

namespace veloz::models {

using graph::ValueId;

// Llama (arXiv:2302.13971, arXiv:2307.09288) and what differs from it by biases only: Qwen2.
graph::Graph build_llama(const checkpoint::ModelConfig& config, const GraphOptions& options) {
  Builder b("llama", config, options);
  const int64_t q_size = config.num_heads * config.head_dim;
  const int64_t kv_size = config.num_kv_heads * config.head_dim;
  ValueId x = b.embedding("model.embed_tokens");
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    const std::string name = fmt::format("layers.{}.", layer);
    const std::string tensor = fmt::format("model.layers.{}.", layer);
    const ValueId normed = b.rms_norm(x, name + "attn.norm", tensor + "input_layernorm");
    const ValueId q =
        b.linear(normed, name + "attn.q", tensor + "self_attn.q_proj", q_size, config.qkv_bias);
    const ValueId k =
        b.linear(normed, name + "attn.k", tensor + "self_attn.k_proj", kv_size, config.qkv_bias);
    const ValueId v =
        b.linear(normed, name + "attn.v", tensor + "self_attn.v_proj", kv_size, config.qkv_bias);
    const ValueId context = b.attention(q, k, v, layer);
    const ValueId attended = b.linear(context, name + "attn.o", tensor + "self_attn.o_proj",
                                      config.hidden_size, config.o_bias);
    x = b.add(x, attended, name + "attn.out");
    const ValueId mlp_in = b.rms_norm(x, name + "mlp.norm", tensor + "post_attention_layernorm");
    const ValueId gate = b.linear(mlp_in, name + "mlp.gate", tensor + "mlp.gate_proj",
                                  config.intermediate_size, config.mlp_bias);
    const ValueId up = b.linear(mlp_in, name + "mlp.up", tensor + "mlp.up_proj",
                                config.intermediate_size, config.mlp_bias);
    const ValueId down = b.linear(b.gated_act(gate, up, name + "mlp.act"), name + "mlp.down",
                                  tensor + "mlp.down_proj", config.hidden_size, config.mlp_bias);
    x = b.add(x, down, name + "mlp.out");
  }
  const ValueId last = b.rms_norm(b.gather_logit_rows(x), "final_norm", "model.norm");
  return b.finish(b.lm_head(last, "lm_head", /*has_bias=*/false, config.tie_word_embeddings));
}

}  // namespace veloz::models
