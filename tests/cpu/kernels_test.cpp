// SPDX-License-Identifier: Apache-2.0
#include "cpu/kernels.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "kernel_runs.h"

namespace veloz::cpu {
namespace {

using ops::Op;

/// "avx2" of "rms_norm/avx2" and "avx2_fp32" of "linear/avx2_fp32".
std::string_view variant_of(const ops::Kernel& kernel) {
  return kernel.name.substr(kernel.name.find('/') + 1);
}

TEST(Registry, HoldsNoKernelBeyondTheInstructionSetAskedFor) {
  const ops::KernelRegistry portable = make_registry(Isa::portable);
  for (const ops::Kernel& kernel : portable.kernels())
    EXPECT_FALSE(variant_of(kernel).starts_with("avx")) << kernel.name;
  const ops::KernelRegistry avx2 = make_registry(Isa::avx2);
  for (const ops::Kernel& kernel : avx2.kernels())
    EXPECT_FALSE(variant_of(kernel).starts_with("avx512")) << kernel.name;
  for (const Isa isa : {Isa::avx2, Isa::avx512, Isa::avx512_bf16_dot}) {
    const ops::KernelRegistry registry = make_registry(isa);
    for (const ops::Kernel& kernel : registry.kernels())
      EXPECT_FALSE(variant_of(kernel).starts_with("avx2_vnni")) << kernel.name;
  }
  for (const Isa isa : {Isa::avx512, Isa::avx512_bf16}) {
    const ops::KernelRegistry registry = make_registry(isa);
    for (const ops::Kernel& kernel : registry.kernels())
      EXPECT_FALSE(variant_of(kernel).ends_with("_dot")) << kernel.name;
  }
}

TEST(Registry, ListsEachKernelOnceUnderItsOpsName) {
  for (const Isa isa : kIsas) {
    const ops::KernelRegistry registry = make_registry(isa);
    std::set<std::string_view> names;
    for (const ops::Kernel& kernel : registry.kernels()) {
      EXPECT_TRUE(names.insert(kernel.name).second) << kernel.name;
      const std::string_view op = ops::op_def(kernel.op).name;
      EXPECT_EQ(kernel.name.substr(0, kernel.name.find('/')), op);
    }
  }
}

/// Only what costs next to nothing in a step is left to the references.
TEST(Registry, HasAFastKernelForEveryOpOfAStepOnEveryInstructionSet) {
  for (const Isa isa : kIsas) {
    const ops::KernelRegistry registry = make_registry(isa);
    for (const Op op :
         {Op::add, Op::add_layer_norm, Op::add_rms_norm, Op::act, Op::embedding, Op::gated_act,
          Op::gather_rows, Op::kv_append, Op::layer_norm, Op::linear, Op::paged_attention,
          Op::quantize, Op::quantized_linear, Op::rms_norm, Op::rope, Op::rope_append})
      for (const ops::Kernel& kernel : registry.kernels())
        if (kernel.op == op) {  // the best one
          EXPECT_FALSE(is_reference(kernel)) << kernel.name << " on " << to_string(isa);
          break;
        }
  }
}

}  // namespace
}  // namespace veloz::cpu
