// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/model_structure.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "compress/quantize/tiny_model.h"
#include "support/expect_error.h"

namespace veloz::compress {
namespace {

using checkpoint::Architecture;

std::vector<std::string> modules_of(const InputGroup& group) {
  std::vector<std::string> modules;
  for (const LinearModule& linear : group.linears) modules.push_back(linear.module);
  return modules;
}

TEST(ModelStructure, AModelIsAChainOfLayers) {
  const test::TinyModel model(Architecture::llama);
  ASSERT_EQ(model.slices.layers.size(), 2u);
  EXPECT_EQ(model.slices.layers[0].input, model.slices.embedded);
  EXPECT_EQ(model.slices.layers[1].input, model.slices.layers[0].output);
  EXPECT_EQ(model.slices.head.input, model.slices.layers[1].output);
  EXPECT_EQ(model.graph.value(model.slices.layers[1].output).name, "layers.1.mlp.out");
  EXPECT_EQ(model.graph.value(model.slices.head.output).name, "logits");
}

TEST(ModelStructure, LlamaHasFourInputsALayer) {
  const test::TinyModel model(Architecture::llama, /*kv_heads=*/2);
  const auto groups = find_input_groups(model.graph, model.slices.layers[1]);
  ASSERT_EQ(groups.size(), 4u);
  const std::string layer = "model.layers.1.";
  EXPECT_EQ(modules_of(groups[0]),
            (std::vector<std::string>{layer + "self_attn.q_proj", layer + "self_attn.k_proj",
                                      layer + "self_attn.v_proj"}));
  EXPECT_EQ(groups[0].fold, FoldKind::norm);
  EXPECT_EQ(groups[0].norm_tensors, std::vector<std::string>{layer + "input_layernorm.weight"});
  EXPECT_EQ(modules_of(groups[1]), std::vector<std::string>{layer + "self_attn.o_proj"});
  EXPECT_EQ(modules_of(groups[2]),
            (std::vector<std::string>{layer + "mlp.gate_proj", layer + "mlp.up_proj"}));
  EXPECT_EQ(groups[2].fold, FoldKind::norm);
  EXPECT_EQ(modules_of(groups[3]), std::vector<std::string>{layer + "mlp.down_proj"});
  EXPECT_EQ(groups[3].fold, FoldKind::linear);
  EXPECT_EQ(groups[3].producer.module, layer + "mlp.up_proj");
  EXPECT_TRUE(groups[3].channel_of_column.empty());
}

TEST(ModelStructure, ColumnsOfOShareTheChannelOfTheirKvHead) {
  const test::TinyModel model(Architecture::llama, /*kv_heads=*/2);
  const InputGroup o = find_input_groups(model.graph, model.slices.layers[0])[1];
  EXPECT_EQ(o.fold, FoldKind::linear);
  EXPECT_EQ(o.producer.module, "model.layers.0.self_attn.v_proj");
  ASSERT_EQ(o.channel_of_column.size(), 64u);
  EXPECT_EQ(o.channel_of_column[3], 3);    // head 0
  EXPECT_EQ(o.channel_of_column[19], 3);   // head 1, of the same kv head
  EXPECT_EQ(o.channel_of_column[35], 19);  // head 2, of the next
}

TEST(ModelStructure, GptjSharesOneNormAmongAttentionAndMlp) {
  const test::TinyModel model(Architecture::gptj);
  const auto groups = find_input_groups(model.graph, model.slices.layers[0]);
  ASSERT_EQ(groups.size(), 3u);
  const std::string layer = "transformer.h.0.";
  EXPECT_EQ(modules_of(groups[0]),
            (std::vector<std::string>{layer + "attn.q_proj", layer + "attn.k_proj",
                                      layer + "attn.v_proj", layer + "mlp.fc_in"}));
  EXPECT_EQ(groups[0].norm_tensors,
            (std::vector<std::string>{layer + "ln_1.weight", layer + "ln_1.bias"}));
  EXPECT_EQ(groups[1].producer.module, layer + "attn.v_proj");
  EXPECT_EQ(modules_of(groups[2]), std::vector<std::string>{layer + "mlp.fc_out"});
  EXPECT_EQ(groups[2].fold, FoldKind::none) << "an activation function stands between";
}

TEST(ModelStructure, BiasesAreKnown) {
  const test::TinyModel model(Architecture::qwen2);
  const auto groups = find_input_groups(model.graph, model.slices.layers[0]);
  EXPECT_EQ(groups[1].producer.bias, "model.layers.0.self_attn.v_proj.bias");
}

TEST(ModelStructure, AGraphWithoutLayersIsRefused) {
  EXPECT_TRUE(test::throws_error(ErrorKind::unsupported, {"\"odd\"", "layer by layer"},
                                 [] { slice_model(graph::Graph("odd")); }));
}

}  // namespace
}  // namespace veloz::compress
