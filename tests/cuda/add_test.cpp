// SPDX-License-Identifier: Apache-2.0
#include "cuda/cuda_runs.h"

namespace veloz::cuda {
namespace {

using ops::Op;
using test::OwnedTensor;

class AddKernels : public ::testing::TestWithParam<DType> {};

TEST_P(AddKernels, MatchTheReferenceOnOddShapesAndStrides) {
  for (const Shape& shape : test::awkward_matrices())
    for (const int64_t gap : {0, 5}) {
      const uint64_t seed = 7 + static_cast<uint64_t>(gap);
      const OwnedTensor a = test::random_tensor(GetParam(), shape, seed, {.row_stride = shape[1]});
      const OwnedTensor b =
          test::random_tensor(GetParam(), shape, seed + 100, {.row_stride = shape[1] + gap});
      const OwnedTensor want(GetParam(), shape);
      const OwnedTensor y(GetParam(), shape, shape[1] + 2 * gap);
      test::run_reference_into(Op::add, {a.view(), b.view()}, {want.view()}, {});
      for (const ops::Kernel& kernel : kernels_of(Op::add)) {
        ASSERT_TRUE(accepts(kernel, {a.view(), b.view()}, {y.view()}));
        run_kernel(kernel, {a.view(), b.view()}, {y.view()});
        EXPECT_TENSOR_EQ(y.view(), want.view(), seed);
        EXPECT_TRUE(y.gaps_untouched());
      }
    }
}

TEST_P(AddKernels, AddInPlace) {
  const OwnedTensor a = test::random_tensor(GetParam(), {3, 300}, 1);
  const OwnedTensor b = test::random_tensor(GetParam(), {3, 300}, 2);
  const OwnedTensor want(GetParam(), {3, 300});
  test::run_reference_into(Op::add, {a.view(), b.view()}, {want.view()}, {});
  run_kernel(kernel_named("add/rows"), {a.view(), b.view()}, {a.view()});
  EXPECT_TENSOR_EQ(a.view(), want.view(), 1);
}

INSTANTIATE_TEST_SUITE_P(Cuda, AddKernels, ::testing::Values(DType::fp32, DType::bf16),
                         [](const auto& param) { return std::string(to_string(param.param)); });

}  // namespace
}  // namespace veloz::cuda
