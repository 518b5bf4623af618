// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/quantize_layer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "compress/quantize/tiny_model.h"

namespace veloz::compress {
namespace {

using checkpoint::Architecture;

/// Outcome of one recipe on the first layer of a small model.
struct Outcome {
  LayerResult result;
  double layer_error = 0;  // of the layer's output, squared, relative to its change of x
};

class QuantizeLayer : public testing::Test {
 protected:
  /// Channels of the first norm and of up are made to differ in size.
  QuantizeLayer() : model_(Architecture::llama, 2) {
    for (size_t k = 3; k < 64; k += 16) {
      gain(0)[k] *= 6;
      gain(1)[k] *= 6;
    }
  }

  std::vector<float>& gain(int i) {
    return model_.tensors
        .at(i == 0 ? "model.layers.0.input_layernorm.weight"
                   : "model.layers.0.post_attention_layernorm.weight")
        .values;
  }

  Outcome quantize(const RecipeOptions& recipe, const std::string& kept = "", int num_threads = 2) {
    test::TestMachine own(num_threads);
    const Machine machine = own.get();
    const GraphSlice& layer = model_.slices.layers[0];
    const auto groups = find_input_groups(model_.graph, layer);
    const auto treatments = treatments_of(recipe, DType::bf16);
    std::map<graph::ValueId, size_t> group_of;
    std::vector<InputStatistics> statistics;
    for (const InputGroup& group : groups) {
      group_of[group.input] = statistics.size();
      statistics.emplace_back(group.linears[0].columns, 100, statistics_of(treatments));
    }
    Matrix x = test::normal_matrix(100, 64, 1);
    const Matrix x_in = x;
    const std::vector<int32_t> tokens(100, 1);
    SliceRunner(model_.graph, layer, model_.tensors, machine)
        .run({{tokens}}, x.view(), [&](size_t index, const ops::OpCall& call) {
          const graph::Node& node = model_.graph.nodes()[index];
          if (node.op != ops::Op::linear) return;
          const size_t group = group_of.at(node.inputs[0]);
          if (groups[group].linears[0].node == index)
            statistics[group].add(call.inputs[0], machine);
        });
    const LayerTask task{.groups = &groups,
                         .treatments = &treatments,
                         .is_quantized = [&](std::string_view module) { return module != kept; },
                         .dtype_of = [](std::string_view) { return DType::bf16; },
                         .gptq = recipe.gptq};
    TensorSet tensors;
    for (const auto& [name, m] : model_.tensors)
      if (name.starts_with("model.layers.0.")) tensors[name] = m;
    Outcome outcome{quantize_layer(task, std::move(tensors), std::move(statistics), machine)};

    TensorSet quantized = model_.tensors;
    for (const auto& [name, m] : outcome.result.changed) quantized[name] = m;
    for (const TreatedLinear& linear : outcome.result.linears[0])
      quantized[linear.report.module + ".weight"] = decode(linear.weight, machine.pool);
    const Matrix y = model_.run(layer, quantized, x_in, machine);
    double signal = 0;
    for (size_t i = 0; i < x.values.size(); ++i) {
      outcome.layer_error += std::pow(static_cast<double>(y.values[i] - x.values[i]), 2);
      signal += std::pow(static_cast<double>(x.values[i] - x_in.values[i]), 2);
    }
    outcome.layer_error /= signal;
    return outcome;
  }

  test::TinyModel model_;
};

RecipeOptions recipe(Recipe name, int64_t group_size = 32) {
  RecipeOptions options;
  options.recipe = name;
  options.group_size = group_size;
  return options;
}

/// Of all linears together.
double mean_error(const Outcome& outcome) {
  double sum = 0;
  for (const TreatedLinear& linear : outcome.result.linears[0]) sum += linear.report.output_error;
  return sum / static_cast<double>(outcome.result.linears[0].size());
}

TEST_F(QuantizeLayer, EachRecipeKeepsTheOutputsOfItsLinears) {
  const std::map<Recipe, double> most_error = {
      {Recipe::fp8, 2e-3},      {Recipe::fp8_rowwise, 2e-3},
      {Recipe::int8, 1e-3},     {Recipe::int8_smoothquant, 3e-4},
      {Recipe::int4_awq, 1e-2}, {Recipe::int4_gptq, 1e-2}};
  for (const auto& [name, most] : most_error) {
    const Outcome outcome = quantize(recipe(name));
    EXPECT_LT(mean_error(outcome), most) << to_string(name);
    EXPECT_GT(mean_error(outcome), 0) << to_string(name);
    // Attention's softmax makes more of small errors.
    EXPECT_LT(outcome.layer_error, 20 * most) << to_string(name);
    EXPECT_EQ(outcome.result.linears[0].size(), 7u) << to_string(name);
  }
}

TEST_F(QuantizeLayer, SearchedRecipesBeatRoundingToNearest) {
  const double nearest = mean_error(quantize(recipe(Recipe::int4)));
  EXPECT_LT(mean_error(quantize(recipe(Recipe::int4_awq))), 0.6 * nearest);
  EXPECT_LT(mean_error(quantize(recipe(Recipe::int4_gptq))), 0.6 * nearest);
}

TEST_F(QuantizeLayer, SmoothQuantBeatsInt8WithoutIt) {
  EXPECT_LT(mean_error(quantize(recipe(Recipe::int8_smoothquant))),
            0.6 * mean_error(quantize(recipe(Recipe::int8))));
}

TEST_F(QuantizeLayer, FixedScalesOfOneInputAreEqual) {
  const Outcome outcome = quantize(recipe(Recipe::fp8));
  const auto& linears = outcome.result.linears[0];
  ASSERT_TRUE(linears[0].report.input_scale.has_value());
  EXPECT_EQ(linears[0].report.input_scale, linears[1].report.input_scale);
  EXPECT_EQ(linears[0].report.input_scale, linears[2].report.input_scale);
  EXPECT_NE(linears[0].report.input_scale, linears[3].report.input_scale);
}

TEST_F(QuantizeLayer, AKeptLinearTakesPartInScalingAsFloats) {
  const std::string kept = "model.layers.0.self_attn.k_proj";
  const Outcome outcome = quantize(recipe(Recipe::int4_awq), kept);
  EXPECT_EQ(outcome.result.linears[0].size(), 6u);
  EXPECT_TRUE(outcome.result.changed.contains(kept + ".weight"));
  EXPECT_LT(mean_error(outcome), 1e-2);
  EXPECT_LT(outcome.layer_error, 0.2);
}

TEST_F(QuantizeLayer, ThreadsDoNotShow) {
  for (const Recipe name : {Recipe::int4_awq, Recipe::int4_gptq, Recipe::int8_smoothquant}) {
    const LayerResult one = quantize(recipe(name), "", 1).result;
    const LayerResult three = quantize(recipe(name), "", 3).result;
    for (size_t i = 0; i < one.linears[0].size(); ++i)
      EXPECT_EQ(one.linears[0][i].weight.codes, three.linears[0][i].weight.codes)
          << to_string(name);
    for (const auto& [tensor, m] : one.changed)
      EXPECT_EQ(m.values, three.changed.at(tensor).values) << tensor;
  }
}

}  // namespace
}  // namespace veloz::compress
