// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "models/builder.h"

namespace veloz::models {

using graph::ValueId;

// GPT-J: attention and MLP read one norm and are added to the stream side by side, in the order of
// the published code: (attention + mlp) + stream. github.com/kingoflolz/mesh-transformer-jax
graph::Graph build_gptj(const checkpoint::ModelConfig& config, const GraphOptions& options) {
  Builder b("gptj", config, options);
  const int64_t q_size = config.num_heads * config.head_dim;
  ValueId x = b.embedding("transformer.wte");
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    const std::string name = fmt::format("layers.{}.", layer);
    const std::string tensor = fmt::format("transformer.h.{}.", layer);
    const ValueId normed = b.layer_norm(x, name + "norm", tensor + "ln_1");
    const ValueId q = b.linear(normed, name + "attn.q", tensor + "attn.q_proj", q_size, false);
    const ValueId k = b.linear(normed, name + "attn.k", tensor + "attn.k_proj", q_size, false);
    const ValueId v = b.linear(normed, name + "attn.v", tensor + "attn.v_proj", q_size, false);
    const ValueId context = b.attention(q, k, v, layer);
    const ValueId attended =
        b.linear(context, name + "attn.o", tensor + "attn.out_proj", config.hidden_size, false);
    const ValueId up =
        b.linear(normed, name + "mlp.up", tensor + "mlp.fc_in", config.intermediate_size, true);
    const ValueId activated = b.act(up, name + "mlp.act");
    const ValueId down =
        b.linear(activated, name + "mlp.down", tensor + "mlp.fc_out", config.hidden_size, true);
    x = b.add(b.add(attended, down, name + "update"), x, name + "out");
  }
  const ValueId last = b.layer_norm(b.gather_logit_rows(x), "final_norm", "transformer.ln_f");
  return b.finish(b.lm_head(last, "lm_head", /*has_bias=*/true, config.tie_word_embeddings));
}

}  // namespace veloz::models
