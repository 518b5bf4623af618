// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "kernel_runs.h"
#include "support/rope_append_case.h"

namespace veloz::cpu {
namespace {

using ops::Op;
using test::AppendedRows;
using test::OwnedTensor;
using test::RopeAppendCall;
using test::RopeAppendCase;

class RopeAppendKernels : public ::testing::TestWithParam<test::DTypes> {
 protected:
  std::vector<RopeAppendCase> cases() const {
    return test::rope_append_cases(GetParam().x, GetParam().cache);
  }
};

/// Runs `rope_append` as given, other ops by the best kernel of the same instruction set.
struct Runner {
  const ops::Kernel& kernel;
  int num_threads;

  void operator()(Op op, const std::vector<TensorView>& inputs,
                  const std::vector<TensorView>& outputs, const ops::Attrs& attrs) const {
    const std::string isa(kernel.name.substr(kernel.name.find('/')));
    for (const ops::Kernel& other : kernels_of(op)) {
      if (op == Op::rope_append && other.name != kernel.name) continue;
      if (op == Op::rope && !other.name.ends_with(isa)) continue;
      if (!accepts(other, inputs, outputs, attrs, "")) continue;
      return run_kernel(other, inputs, outputs, attrs, num_threads);
    }
    FAIL() << "no kernel for " << ops::op_def(op).name;
  }
};

TEST_P(RopeAppendKernels, AreTwoRopesAndKvAppendBitForBit) {
  for (const ops::Kernel& kernel : kernels_of(Op::rope_append))
    for (const RopeAppendCase& c : cases()) {
      const RopeAppendCall call(c);
      EXPECT_TRUE(same_bytes(call.fused(Runner{kernel, 3}), call.apart(Runner{kernel, 1})))
          << kernel.name << ": " << testing::PrintToString(c);
    }
}

TEST_P(RopeAppendKernels, MatchTheReference) {
  for (const ops::Kernel& kernel : kernels_of(Op::rope_append))
    for (const RopeAppendCase& c : cases()) {
      if (c.num_tokens > 7) continue;  // tolerances are slow
      SCOPED_TRACE(std::string(kernel.name) + ": " + testing::PrintToString(c));
      const RopeAppendCall call(c);
      const AppendedRows got = call.fused(Runner{kernel, 2});
      AppendedRows want = call.fused(test::run_reference_into);
      const std::vector<TensorView> inputs = call.inputs(want.cache.view());
      std::vector<OwnedTensor> reference;
      reference.push_back(std::move(want.cache));
      reference.push_back(std::move(want.q));
      EXPECT_WITHIN_TOLERANCE(Op::rope_append, inputs, reference, 0, got.cache.view(), call.attrs(),
                              5);
      EXPECT_WITHIN_TOLERANCE(Op::rope_append, inputs, reference, 1, got.q.view(), call.attrs(), 5);
    }
}

TEST_P(RopeAppendKernels, DoNotDependOnThreads) {
  const RopeAppendCase c{.dtype = GetParam().x,
                         .cache_dtype = GetParam().cache,
                         .num_heads = 32,
                         .num_kv_heads = 8,
                         .head_dim = 128,
                         .rotary_dim = 128,
                         .num_tokens = 41};
  const RopeAppendCall call(c);
  for (const ops::Kernel& kernel : kernels_of(Op::rope_append)) {
    const AppendedRows alone = call.fused(Runner{kernel, 1});
    for (const int num_threads : {2, 3, 7})
      EXPECT_TRUE(same_bytes(call.fused(Runner{kernel, num_threads}), alone))
          << kernel.name << " on " << num_threads << " threads";
  }
}

TEST_P(RopeAppendKernels, NeverLookPastTheEndOfAnyOperand) {
  for (const ops::Kernel& kernel : kernels_of(Op::rope_append))
    for (RopeAppendCase c : cases()) {
      if (c.num_tokens != 7) continue;
      const RopeAppendCall call(c);
      AppendedRows got =
          call.fused([&](Op, const std::vector<TensorView>& inputs,
                         const std::vector<TensorView>& outputs, const ops::Attrs& attrs) {
            const test::GuardedTensor cache(inputs[0]), qkv(inputs[1]), angles(inputs[2]),
                slots(inputs[3]);
            const test::GuardedTensor q(OwnedTensor(outputs[1].dtype, outputs[1].shape).view());
            run_kernel(kernel, {cache.view(), qkv.view(), angles.view(), slots.view()},
                       {cache.view(), q.view()}, attrs);
            std::memcpy(outputs[0].data, cache.view().data, cache.view().num_bytes());
            for (int64_t i = 0; i < q.view().shape.num_elements(); ++i)
              test::set_element(outputs[1], i, test::element(q.view(), i));
          });
      EXPECT_TRUE(same_bytes(got, call.fused(Runner{kernel, 2})))
          << kernel.name << ": " << testing::PrintToString(c);
    }
}

INSTANTIATE_TEST_SUITE_P(All, RopeAppendKernels, ::testing::ValuesIn(test::all_kv_dtypes()),
                         ::testing::PrintToStringParamName());

}  // namespace
}  // namespace veloz::cpu
