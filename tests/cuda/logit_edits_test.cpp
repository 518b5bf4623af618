// SPDX-License-Identifier: Apache-2.0
#include "cuda/logit_cases.h"

namespace veloz::cuda {
namespace {

using ops::Op;
using test::OwnedTensor;

/// Runs each kernel of an op that edits logits on a copy of them.
void expect_same_edits(Op op, const TensorView& logits, std::vector<TensorView> operands) {
  operands.insert(operands.begin(), logits);
  const OwnedTensor want = test::copy_of(logits);
  std::vector<TensorView> reference_inputs = operands;
  reference_inputs[0] = want.view();
  test::run_reference_into(op, reference_inputs, {want.view()}, {});
  for (const ops::Kernel& kernel : kernels_of(op)) {
    const OwnedTensor edited(DType::fp32, logits.shape, logits.row_stride);
    for (int64_t r = 0; r < logits.shape[0]; ++r)
      std::copy_n(logits.row<const float>(r), logits.shape[1], edited.view().row<float>(r));
    operands[0] = edited.view();
    run_kernel(kernel, operands, {edited.view()});
    EXPECT_TENSOR_EQ(edited.view(), want.view(), 0) << kernel.name;
    EXPECT_TRUE(edited.gaps_untouched());
  }
}

/// Distinct tokens of each row, none for every fourth.
struct TokenLists {
  std::vector<int32_t> offsets = {0};
  std::vector<int32_t> tokens;

  TokenLists(int64_t num_rows, int64_t num_columns) {
    for (int64_t r = 0; r < num_rows; ++r) {
      const int64_t step = 1 + r % 3;
      for (int64_t i = 0; r % 4 != 1 && i < num_columns; i += step)
        tokens.push_back(static_cast<int32_t>((i + 5 * r) % num_columns));
      offsets.push_back(static_cast<int32_t>(tokens.size()));
    }
  }
};

OwnedTensor list_of(const std::vector<int32_t>& values) {
  return test::tensor_of<int32_t>({std::ssize(values)}, values);
}
OwnedTensor list_of(const std::vector<float>& values) {
  return test::tensor_of<float>({std::ssize(values)}, values);
}

TEST(CudaMaskLogits, MatchesTheReference) {
  for (const int64_t num_rows : {0, 1, 3, 6})
    for (const int64_t num_columns : {2, 31, 1000}) {
      const OwnedTensor logits = random_logits(num_rows, num_columns, 3, 2);
      if (num_rows > 0) logits.view().row<float>(0)[1] = std::nanf("");
      TokenLists lists(num_rows, num_columns);
      std::vector<float> biases;
      for (size_t j = 0; j < lists.tokens.size(); ++j)
        biases.push_back(j % 5 == 2 ? -kInfinity : static_cast<float>(j % 7) - 3.3f);
      const OwnedTensor banned = list_of(std::vector<int32_t>{1, 0, 1});
      expect_same_edits(Op::mask_logits, logits.view(),
                        {list_of(lists.offsets).view(), list_of(lists.tokens).view(),
                         list_of(biases).view(), banned.view()});
    }
}

TEST(CudaMaskLogits, BansATokenThatHasABiasToo) {
  const OwnedTensor logits = random_logits(1, 40, 3);
  std::vector<int32_t> tokens;
  std::vector<float> biases;
  for (const float bias : {-kInfinity, 2.0f, -kInfinity})
    for (int32_t token = 0; token < 40; ++token) {
      tokens.push_back(token);
      biases.push_back(bias);
    }
  expect_same_edits(Op::mask_logits, logits.view(),
                    {list_of(std::vector<int32_t>{0, 120}).view(), list_of(tokens).view(),
                     list_of(biases).view(), list_of(std::vector<int32_t>{}).view()});
}

TEST(CudaPenalize, MatchesTheReference) {
  for (const int64_t num_rows : {0, 1, 3, 6})
    for (const int64_t num_columns : {2, 31, 1000}) {
      const OwnedTensor logits = random_logits(num_rows, num_columns, 3, 2);
      const OwnedTensor params = test::random_tensor(DType::fp32, {num_rows, 3}, 4,
                                                     {.low = 0.1, .high = 2, .row_stride = 5});
      TokenLists lists(num_rows, num_columns);
      std::vector<int32_t> counts;
      for (size_t j = 0; j < lists.tokens.size(); ++j)
        counts.push_back(static_cast<int32_t>(j % 4));
      expect_same_edits(Op::penalize, logits.view(),
                        {params.view(), list_of(lists.offsets).view(), list_of(lists.tokens).view(),
                         list_of(counts).view()});
    }
}

TEST(CudaApplyBitmask, MatchesTheReference) {
  for (const int64_t num_columns : {1, 31, 32, 33, 1000, 4099}) {
    const int64_t num_words = (num_columns + 31) / 32;
    const OwnedTensor logits = random_logits(4, num_columns, 3, 1);
    logits.view().row<float>(3)[0] = std::nanf("");
    const OwnedTensor allowed =
        test::random_tensor(DType::int32, {3, num_words}, 5,
                            {.low = -0x1p31, .high = 0x1p31, .row_stride = num_words + 2});
    for (int64_t w = 0; w < num_words; ++w) {
      if (w % 3 == 1) allowed.view().row<int32_t>(1)[w] = 0;
      if (w % 3 == 2) allowed.view().row<int32_t>(1)[w] = -1;
    }
    expect_same_edits(Op::apply_bitmask, logits.view(),
                      {list_of(std::vector<int32_t>{3, 0, 2}).view(), allowed.view()});
  }
  const OwnedTensor logits = random_logits(2, 64, 3);
  const OwnedTensor none(DType::int32, {0, 2});
  expect_same_edits(Op::apply_bitmask, logits.view(),
                    {list_of(std::vector<int32_t>{}).view(), none.view()});
}

}  // namespace
}  // namespace veloz::cuda
