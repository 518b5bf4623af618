// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cuda/cuda_runs.h"
#include "cuda/plain_cache.h"
#include "support/rope_append_case.h"

namespace veloz::cuda {
namespace {

using ops::Op;
using test::AppendedRows;
using test::OwnedTensor;
using test::RopeAppendCall;
using test::RopeAppendCase;

class CudaRopeAppend : public ::testing::TestWithParam<test::DTypes> {
 protected:
  std::vector<RopeAppendCase> cases() const {
    return test::rope_append_cases(GetParam().x, GetParam().cache);
  }
};

/// By the best kernel of the op.
void run_op(Op op, const std::vector<TensorView>& inputs, const std::vector<TensorView>& outputs,
            const ops::Attrs& attrs) {
  const std::vector<ops::Kernel> kernels = kernels_of(op);
  ASSERT_FALSE(kernels.empty());
  ASSERT_TRUE(outputs[0].shape.num_elements() == 0 ||
              accepts(kernels[0], inputs, outputs, attrs, ""));
  run_kernel(kernels[0], inputs, outputs, attrs);
}

TEST_P(CudaRopeAppend, IsTwoRopesAndKvAppendBitForBit) {
  for (const RopeAppendCase& c : cases()) {
    const RopeAppendCall call(c);
    EXPECT_TRUE(same_bytes(call.fused(run_op), call.apart(run_op))) << testing::PrintToString(c);
  }
}

TEST_P(CudaRopeAppend, MatchesTheReference) {
  for (const RopeAppendCase& c : cases()) {
    if (c.num_tokens > 7) continue;  // tolerances are slow
    SCOPED_TRACE(testing::PrintToString(c));
    const RopeAppendCall call(c);
    const AppendedRows got = call.fused(run_op);
    AppendedRows want = call.fused(test::run_reference_into);
    const OwnedTensor cache(c.cache_dtype, got.cache.view().shape);
    move_cache(got.cache.view(), cache.view(), CacheWay::from_plain);
    const std::vector<TensorView> inputs = call.inputs(want.cache.view());
    std::vector<OwnedTensor> reference;
    reference.push_back(std::move(want.cache));
    reference.push_back(std::move(want.q));
    EXPECT_WITHIN_TOLERANCE(Op::rope_append, inputs, reference, 0, cache.view(), call.attrs(), 5);
    EXPECT_WITHIN_TOLERANCE(Op::rope_append, inputs, reference, 1, got.q.view(), call.attrs(), 5);
  }
}

/// Rows of a large step are in larger blocks than those of a small one.
TEST_P(CudaRopeAppend, RowsDoNotDependOnTheirNumber) {
  RopeAppendCase c{.dtype = GetParam().x, .cache_dtype = GetParam().cache, .block_size = 64};
  c.num_tokens = 41;
  const RopeAppendCall call(c);
  const AppendedRows together = call.fused(run_op);
  const AppendedRows alone =
      call.fused([](Op op, const std::vector<TensorView>& inputs,
                    const std::vector<TensorView>& outputs, const ops::Attrs& attrs) {
        for (int64_t t = 0; t < 41; ++t)
          run_op(op,
                 {inputs[0], rows_of(inputs[1], t, t + 1), rows_of(inputs[2], t, t + 1),
                  rows_of(inputs[3], t, t + 1)},
                 {outputs[0], rows_of(outputs[1], t, t + 1)}, attrs);
      });
  EXPECT_TRUE(same_bytes(alone, together));
}

INSTANTIATE_TEST_SUITE_P(Cuda, CudaRopeAppend, ::testing::ValuesIn(test::all_kv_dtypes()),
                         ::testing::PrintToStringParamName());

}  // namespace
}  // namespace veloz::cuda
