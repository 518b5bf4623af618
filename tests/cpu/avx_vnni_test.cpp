// SPDX-License-Identifier: Apache-2.0
// The kernels of AVX-VNNI on any processor with AVX2, whose bits theirs must be. Each of their
// products is a signal where it is emulated, so the shapes are few and small.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "avx_vnni_emulator.h"
#include "kernel_runs.h"
#include "quantized_operands.h"

namespace veloz::cpu {
namespace {

using ops::Op;
using test::OwnedTensor;
using test::random_tensor;

ops::Kernel kernel_named(const std::string& name) {
  for (const Isa isa : {Isa::avx2, Isa::avx2_vnni}) {
    const ops::KernelRegistry registry = make_registry(isa);
    for (const ops::Kernel& kernel : registry.kernels())
      if (kernel.name == name) return kernel;
  }
  ADD_FAILURE() << "no kernel " << name;
  return {};
}

class AvxVnni : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!test::emulate_avx_vnni()) GTEST_SKIP() << "this processor has no AVX2";
  }

  static void expect_bits_of_avx2(const std::string& format, const QuantizedWeightSpec& spec,
                                  int64_t m) {
    const QuantizedWeight w(spec);
    const OwnedTensor x = random_tensor(DType::int8, {m, spec.k}, 1, {.low = -128, .high = 128});
    const OwnedTensor scales = random_tensor(DType::fp32, {m, 1}, 2, {.low = 0.001, .high = 0.02});
    ops::Attrs attrs{{"out", std::string("fp32")}};
    if (spec.has_zeros) attrs.set("zeros", int64_t{1});
    const auto run = [&](const std::string& isa) {
      OwnedTensor y(DType::fp32, {m, spec.n});
      run_kernel(kernel_named("quantized_linear/" + isa + "_" + format),
                 w.packed_inputs({x.view(), scales.view()}), {y.view()}, attrs);
      return y;
    };
    EXPECT_TENSOR_EQ(run("avx2_vnni").view(), run("avx2").view(), 1)
        << format << " " << m << " x " << spec.n << " x " << spec.k;
  }
};

TEST_F(AvxVnni, Int8ProductsHaveTheBitsOfAvx2) {
  for (const int64_t m : {1, 2, 3, 4, 5, 6, 7})
    for (const int64_t k : {3, 37})
      expect_bits_of_avx2("int8", {.dtype = DType::int8, .n = 33, .k = k, .group = k, .seed = 3},
                          m);
}

TEST_F(AvxVnni, Uint4ProductsHaveTheBitsOfAvx2) {
  for (const int64_t m : {1, 2, 3, 4, 5})
    for (const bool has_zeros : {false, true})
      expect_bits_of_avx2("uint4",
                          {.dtype = DType::uint4x2,
                           .n = 17,
                           .k = 64,
                           .group = 32,
                           .has_zeros = has_zeros,
                           .seed = 4},
                          m);
}

}  // namespace
}  // namespace veloz::cpu
