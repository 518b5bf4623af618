// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/fold.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "compress/quantize/tiny_model.h"
#include "support/tensors.h"

namespace veloz::compress {
namespace {

using checkpoint::Architecture;

/// Scales from 1/8 to 8; columns that share a channel get the same.
std::vector<float> random_scales(const InputGroup& group, uint64_t seed) {
  const Matrix random = test::normal_matrix(1, group.linears[0].columns, seed);
  std::vector<float> scales;
  for (size_t k = 0; k < random.values.size(); ++k) {
    const size_t channel =
        group.channel_of_column.empty() ? k : static_cast<size_t>(group.channel_of_column[k]);
    scales.push_back(std::exp2(std::clamp(random.values[channel], -3.0f, 3.0f)));
  }
  return scales;
}

class Fold : public testing::TestWithParam<std::tuple<Architecture, int, DType>> {};

INSTANTIATE_TEST_SUITE_P(
    All, Fold,
    testing::Combine(testing::Values(Architecture::llama, Architecture::gptj, Architecture::qwen2),
                     testing::Values(4, 2), testing::Values(DType::fp32, DType::bf16)));

TEST_P(Fold, LeavesTheModelsFunctionButForRounding) {
  const auto [architecture, kv_heads, dtype] = GetParam();
  test::TestMachine own;
  const test::TinyModel model(architecture, architecture == Architecture::gptj ? 4 : kv_heads);
  const GraphSlice& layer = model.slices.layers[0];
  TensorSet folded = model.tensors;
  std::set<std::string> changed;
  const auto groups = find_input_groups(model.graph, layer);
  for (size_t i = groups.size(); i-- > 0;)
    if (groups[i].fold != FoldKind::none)
      fold_scales(
          groups[i], random_scales(groups[i], i),
          [dtype_of = dtype](std::string_view) { return dtype_of; }, folded, changed);
  EXPECT_GE(changed.size(), 7u);
  for (const std::string& name : changed)
    EXPECT_NE(folded.at(name).values, model.tensors.at(name).values) << name;

  const Matrix x = test::normal_matrix(12, 64, 9);
  const Matrix before = model.run(layer, model.tensors, x, own.get());
  const Matrix after = model.run(layer, folded, x, own.get());
  // Outputs are of order 1; gains rounded to bf16 leave nothing behind, the columns follow them.
  EXPECT_TRUE(test::compare_tensors(
      after.view(), before.view(), [](int64_t) { return 3e-5; }, 9));
}

TEST(FoldEdges, AGainOfZeroKeepsItsScaleOfOne) {
  const test::TinyModel model(Architecture::llama);
  TensorSet tensors = model.tensors;
  const auto groups = find_input_groups(model.graph, model.slices.layers[0]);
  tensors.at(groups[0].norm_tensors[0]).values[5] = 0;
  std::set<std::string> changed;
  const std::vector<float> scales = fold_scales(
      groups[0], std::vector<float>(64, 4.0f), [](std::string_view) { return DType::fp32; },
      tensors, changed);
  EXPECT_EQ(scales[5], 1.0f);
  EXPECT_EQ(scales[6], 4.0f);
}

}  // namespace
}  // namespace veloz::compress
