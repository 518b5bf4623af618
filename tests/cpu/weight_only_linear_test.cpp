// SPDX-License-Identifier: Apache-2.0
#include "cpu/weight_only_linear.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <utility>
#include <vector>

#include "cpu/layouts.h"
#include "ops/quantize_weights.h"
#include "quantized_operands.h"

namespace veloz::cpu {
namespace {

using ops::Op;
using test::OwnedTensor;
using test::random_tensor;

constexpr DType kCodes[] = {DType::int8, DType::fp8_e4m3, DType::uint4x2};

ops::Attrs attrs_of(const QuantizedWeight& w, bool wants_fp32 = false) {
  ops::Attrs attrs;
  if (wants_fp32) attrs.set("out", std::string("fp32"));
  if (w.has_zeros()) attrs.set("zeros", int64_t{1});
  return attrs;
}

class WeightOnlyLinears : public ::testing::TestWithParam<ops::Kernel> {
 protected:
  const ops::Kernel& kernel() const { return GetParam(); }
  DType dtype() const { return dtype_of(kernel()); }
  bool is_portable() const { return kernel().name.find("portable") != std::string_view::npos; }

  OwnedTensor run(const TensorView& x, const QuantizedWeight& w, int num_threads = 2) const {
    OwnedTensor y(DType::fp32, {x.shape[0], w.num_channels()});
    run_kernel(kernel(), w.packed_inputs({x}), {y.view()}, attrs_of(w, true), num_threads);
    return y;
  }
};

/// Groups of any width, in and across steps, with a last step cut short.
TEST_P(WeightOnlyLinears, MatchTheReferenceOnOddShapes) {
  constexpr std::pair<int64_t, int64_t> kGroups[] = {{2, 2},    {6, 3},   {10, 10},  {36, 12},
                                                     {130, 26}, {96, 32}, {514, 257}};
  constexpr DType kScales[] = {DType::fp32, DType::bf16, DType::fp16};
  uint64_t seed = 0;
  for (const DType codes : kCodes)
    for (const int64_t m : {1, 2, 6, 7, 25})
      for (const auto& [k, group] : kGroups)
        for (const int64_t n : {1, 17, 66}) {
          ++seed;
          const OwnedTensor x = random_tensor(dtype(), {m, k}, seed * 10);
          const QuantizedWeight w({.dtype = codes,
                                   .n = n,
                                   .k = k,
                                   .group = group,
                                   .scales = kScales[seed % 3],
                                   .has_zeros = codes != DType::fp8_e4m3 && seed % 2 == 0,
                                   .seed = seed});
          const auto inputs = w.plain_inputs({x.view()});
          const ops::Attrs attrs = attrs_of(w, true);
          const auto want = test::run_reference(Op::weight_only_linear, inputs, attrs);
          EXPECT_WITHIN_TOLERANCE(Op::weight_only_linear, inputs, want, 0, run(x.view(), w).view(),
                                  attrs, seed);
        }
}

TEST_P(WeightOnlyLinears, TakeOddNumbersOfColumnsOf8Bits) {
  for (const DType codes : {DType::int8, DType::fp8_e4m3})
    for (const int64_t k : {1, 3, 31, 1029}) {
      const OwnedTensor x = random_tensor(dtype(), {3, k}, 1);
      const QuantizedWeight w({.dtype = codes, .n = 35, .k = k, .group = k, .seed = 2});
      const auto inputs = w.plain_inputs({x.view()});
      const ops::Attrs attrs = attrs_of(w, true);
      const auto want = test::run_reference(Op::weight_only_linear, inputs, attrs);
      EXPECT_WITHIN_TOLERANCE(Op::weight_only_linear, inputs, want, 0, run(x.view(), w).view(),
                              attrs, k);
    }
}

/// On one row and many, in blocks of K of both sizes and over their edges.
TEST_P(WeightOnlyLinears, HaveTheBitsOfLinearWithTheDequantizedWeight) {
  std::string linear_name = "linear" + std::string(kernel().name.substr(kernel().name.find('/')));
  // Products as on smaller instruction sets: there the linear has its name.
  if (const size_t fma = linear_name.find("_fma"); fma != std::string::npos)
    linear_name.resize(fma);
  const ops::KernelRegistry registry = make_registry(runnable_isas().back());
  const auto linear =
      std::ranges::find(registry.kernels(), std::string_view(linear_name), &ops::Kernel::name);
  ASSERT_NE(linear, registry.kernels().end()) << linear_name;
  for (const DType codes : kCodes) {
    const int64_t n = 72, k = is_portable() ? 300 : 2120;
    const QuantizedWeight w({.dtype = codes,
                             .n = n,
                             .k = k,
                             .group = 20,
                             .has_zeros = codes != DType::fp8_e4m3,
                             .seed = 3});
    const OwnedTensor exact(DType::fp32, {n, k}), rounded(dtype(), {n, k});
    ops::dequantize_weights(w.codes(), w.scales(), w.zeros(), exact.view());
    for (int64_t i = 0; i < n * k; ++i)
      test::set_element(rounded.view(), i, test::element(exact.view(), i));
    const PackedTensor packed(
        rounded.view(),
        registry.layout(dtype() == DType::bf16 ? kLayoutBf16 : kLayoutFp32, dtype()));
    for (const int64_t m : {1, 5, 6, 7, 40}) {
      const OwnedTensor x = random_tensor(dtype(), {m, k}, static_cast<uint64_t>(m));
      const OwnedTensor want(DType::fp32, {m, n});
      run_kernel(*linear, {x.view(), packed.view()}, {want.view()}, {{"out", std::string("fp32")}});
      EXPECT_TENSOR_EQ(run(x.view(), w).view(), want.view(), m) << to_string(codes);
    }
  }
}

TEST_P(WeightOnlyLinears, AddBiasAndReadAndWriteStridedRowsInTheDtypeOfX) {
  const int64_t m = 9, k = 78, n = 37;
  for (const DType codes : kCodes) {
    const OwnedTensor x = random_tensor(dtype(), {m, k}, 5, {.row_stride = k + 6});
    const OwnedTensor bias = random_tensor(DType::fp32, {n}, 7);
    const QuantizedWeight w({.dtype = codes, .n = n, .k = k, .group = 39, .seed = 6});
    const auto inputs = w.plain_inputs({x.view()}, &bias);
    const auto want = test::run_reference(Op::weight_only_linear, inputs, attrs_of(w));
    const OwnedTensor y(dtype(), {m, n}, n + 5);
    run_kernel(kernel(), w.packed_inputs({x.view()}, &bias), {y.view()}, attrs_of(w));
    EXPECT_WITHIN_TOLERANCE(Op::weight_only_linear, inputs, want, 0, y.view(), attrs_of(w), 5);
    EXPECT_TRUE(y.gaps_untouched());
  }
}

TEST_P(WeightOnlyLinears, NeverLookPastTheEndOfAnyOperand) {
  for (const DType codes : kCodes)
    for (const int64_t m : {1, 13})
      for (const int64_t k : {6, 64, 130}) {
        const int64_t n = 19;
        const OwnedTensor x = random_tensor(dtype(), {m, k}, 1);
        const OwnedTensor bias = random_tensor(DType::fp32, {n}, 3);
        const QuantizedWeight w({.dtype = codes,
                                 .n = n,
                                 .k = k,
                                 .group = k / 2,
                                 .scales = DType::fp16,
                                 .has_zeros = codes != DType::fp8_e4m3,
                                 .seed = 2});
        const OwnedTensor y(dtype(), {m, n});
        const auto operands = w.packed_operands({x.view()}, &bias);
        run_kernel(kernel(), w.packed_inputs({x.view()}, &bias), {y.view()}, attrs_of(w));
        const GuardedCall guarded(operands, y.view());
        run_kernel(kernel(), guarded.inputs(), {guarded.output()}, attrs_of(w));
        EXPECT_TENSOR_EQ(guarded.output(), y.view(), 1);
      }
}

TEST_P(WeightOnlyLinears, DoNothingForNoRows) {
  const OwnedTensor x(dtype(), {0, 8});
  run(x.view(), QuantizedWeight({.n = 4, .k = 8, .group = 8, .seed = 2}));
}

TEST_P(WeightOnlyLinears, KeepNaNInItsRowAndItsColumn) {
  const int64_t m = 7, k = 64, n = 20;
  for (const DType codes : kCodes) {
    const OwnedTensor x = random_tensor(dtype(), {m, k}, 1);
    test::set_element(x.view(), 3 * k + 33, std::nan(""));
    QuantizedWeight w({.dtype = codes, .n = n, .k = k, .group = 32, .seed = 2});
    w.set_scale(17, 1, std::bit_cast<float>(0x7fffffff));  // rounded as a number it would be -0
    if (codes == DType::fp8_e4m3) w.codes().row<uint8_t>(5)[40] = 0xff;
    const OwnedTensor y = run(x.view(), w);
    for (int64_t t = 0; t < m; ++t)
      for (int64_t c = 0; c < n; ++c)
        EXPECT_EQ(std::isnan(test::element(y.view(), t * n + c)),
                  t == 3 || c == 17 || (c == 5 && codes == DType::fp8_e4m3))
            << t << " " << c << " " << to_string(codes);
  }
}

/// Row i of any M has the bits of that row alone, on any number of threads.
TEST_P(WeightOnlyLinears, RowsDoNotDependOnTheirNeighboursOrOnThreads) {
  for (const DType codes : kCodes) {
    const int64_t n = 90, k = is_portable() ? 192 : 1152, max_rows = 40;
    const OwnedTensor x = random_tensor(dtype(), {max_rows, k}, 4);
    const QuantizedWeight w({.dtype = codes, .n = n, .k = k, .group = 32, .seed = 5});
    const OwnedTensor alone(DType::fp32, {max_rows, n});
    for (int64_t t = 0; t < max_rows; ++t)
      run_kernel(kernel(), w.packed_inputs({rows_of(x.view(), t, t + 1)}),
                 {rows_of(alone.view(), t, t + 1)}, attrs_of(w, true), 1);
    for (const int64_t m : {2, 5, 6, 7, 12, 13, 24, 40})
      for (const int num_threads : {1, 3}) {
        const OwnedTensor y = run(rows_of(x.view(), 0, m), w, num_threads);
        ASSERT_EQ(std::memcmp(y.view().data, alone.view().data, y.view().num_bytes()), 0)
            << "m " << m << " threads " << num_threads << " " << to_string(codes);
      }
  }
}

INSTANTIATE_TEST_SUITE_P(All, WeightOnlyLinears,
                         ::testing::ValuesIn(kernels_of(Op::weight_only_linear)),
                         [](const auto& test) { return test_name(test.param); });

}  // namespace
}  // namespace veloz::cpu
