// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "checkpoint/model_config.h"
#include "compiler/pipeline.h"
#include "graph/graph.h"
#include "models/model.h"

namespace veloz::models {
namespace {

graph::Graph build(const std::string& config) {
  return build_graph(checkpoint::parse_model_config(config), {DType::bf16, DType::bf16, 64});
}

constexpr const char* kLlama =
    R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 96,
  "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 50,
  "tie_word_embeddings": true})";

TEST(LlamaGraph, TiedModelHasOneTableWithTwoReaders) {
  const graph::Graph graph = build(kLlama);
  EXPECT_FALSE(graph.try_find("lm_head", graph::ValueKind::weight).has_value());
  const graph::UseMap uses(graph);
  EXPECT_EQ(uses.readers(*graph.try_find("embed", graph::ValueKind::weight)).size(), 2u);
}

TEST(LlamaGraph, PrintsAndParsesTheSame) {
  const graph::Graph graph = build(kLlama);
  EXPECT_EQ(graph::print(graph::parse(graph::print(graph))), graph::print(graph));
}

TEST(LlamaGraph, FusesToNineStepsALayer) {
  graph::Graph graph = build(kLlama);
  compiler::run_pipeline(graph, {});
  const auto count = [&](ops::Op op) {
    return std::ranges::count(graph.nodes(), op, &graph::Node::op);
  };
  EXPECT_EQ(count(ops::Op::linear), 2 * 4 + 1);  // qkv, o, gate_up, down; lm_head
  EXPECT_EQ(count(ops::Op::rope_append), 2);
  EXPECT_EQ(count(ops::Op::rope) + count(ops::Op::kv_append), 0);
  // Beside them: embedding and angles; the last sum, rows of logits, norm and lm_head.
  EXPECT_EQ(std::ssize(graph.nodes()) - count(ops::Op::slice), 2 * 9 + 2 + 4);
  const graph::Value& qkv =
      graph.value(*graph.try_find("layers.0.attn.qkv", graph::ValueKind::weight));
  EXPECT_EQ(to_string(qkv.type), "bf16[128,64]");
  EXPECT_EQ(qkv.segments[1].tensor, "model.layers.0.self_attn.k_proj.weight");
  EXPECT_EQ(qkv.segments[1].rows, 32);
}

TEST(QwenGraph, HasBiasesOnQueriesKeysAndValuesOnly) {
  std::string config = kLlama;
  config.replace(config.find("Llama"), 5, "Qwen2");
  const graph::Graph graph = build(config);
  EXPECT_TRUE(graph.try_find("layers.0.attn.q.bias", graph::ValueKind::weight).has_value());
  EXPECT_FALSE(graph.try_find("layers.0.attn.o.bias", graph::ValueKind::weight).has_value());
}

TEST(GptjGraph, ReadsOneNormTwiceAndHasABiasOnTheHead) {
  const graph::Graph graph =
      build(R"({"architectures": ["GPTJForCausalLM"], "n_embd": 64, "n_layer": 1, "n_head": 4,
    "rotary_dim": 8, "vocab_size": 50, "n_positions": 128})");
  const graph::UseMap uses(graph);
  EXPECT_EQ(uses.readers(*graph.try_find("layers.0.norm", graph::ValueKind::result)).size(),
            4u);  // q, k, v, mlp
  EXPECT_TRUE(graph.try_find("lm_head.bias", graph::ValueKind::weight).has_value());
}

}  // namespace
}  // namespace veloz::models
