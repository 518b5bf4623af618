// SPDX-License-Identifier: Apache-2.0
#include "cpu/quantized_linear.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "base/fp8.h"
#include "cpu/layouts.h"
#include "kernel_runs.h"
#include "quantized_operands.h"

namespace veloz::cpu {
namespace {

using ops::Op;
using test::OwnedTensor;
using test::random_tensor;

const ops::Attrs kToFp32{{"out", std::string("fp32")}};
const ops::Attrs kToBf16{{"out", std::string("bf16")}};

/// Kernels of 8-bit weights: the names end in the format.
std::vector<ops::Kernel> eight_bit_kernels() {
  std::vector<ops::Kernel> kernels;
  for (const ops::Kernel& kernel : kernels_of(Op::quantized_linear))
    if (kernel.name.find("uint4") == std::string_view::npos) kernels.push_back(kernel);
  return kernels;
}

DType format_of(const ops::Kernel& kernel) {
  return kernel.name.find("int8") != std::string_view::npos ? DType::int8 : DType::fp8_e4m3;
}

/// Codes and scales of rows, as `quantize` makes them; rows strided.
struct Activations {
  OwnedTensor codes;
  OwnedTensor scales;
  std::vector<TensorView> views() const { return {codes.view(), scales.view()}; }
  std::vector<TensorView> rows(int64_t begin, int64_t end) const {
    return {rows_of(codes.view(), begin, end), rows_of(scales.view(), begin, end)};
  }
};

Activations random_activations(DType format, int64_t m, int64_t k, int64_t num_groups,
                               uint64_t seed) {
  const double limit = format == DType::int8 ? 128 : 448;
  return {
      random_tensor(format, {m, k}, seed, {.low = 1 - limit, .high = limit, .row_stride = k + 3}),
      random_tensor(DType::fp32, {m, num_groups}, seed + 1, {.low = 0.001, .high = 0.02})};
}

class EightBitLinears : public ::testing::TestWithParam<ops::Kernel> {
 protected:
  const ops::Kernel& kernel() const { return GetParam(); }
  DType format() const { return format_of(kernel()); }
  bool is_portable() const { return kernel().name.find("portable") != std::string_view::npos; }
  QuantizedWeight weight(int64_t n, int64_t k, int64_t group = 0) const {
    return QuantizedWeight({.dtype = format(),
                            .n = n,
                            .k = k,
                            .group = group == 0 ? k : group,
                            .seed = static_cast<uint64_t>(n * 1000 + k)});
  }
};

TEST_P(EightBitLinears, MatchTheReferenceOnOddShapes) {
  for (const int64_t m : {1, 2, 6, 7, 40})
    for (const int64_t k : {1, 2, 3, 4, 31, 128, 1030})
      for (const int64_t n : {1, 16, 17, 65, 130}) {
        const QuantizedWeight w = weight(n, k);
        const auto seed = static_cast<uint64_t>(m + k);
        const Activations x = random_activations(format(), m, k, 1, seed);
        const auto inputs = w.plain_inputs(x.views());
        const auto want = test::run_reference(Op::quantized_linear, inputs, kToFp32);
        const OwnedTensor y(DType::fp32, {m, n});
        run_kernel(kernel(), w.packed_inputs(x.views()), {y.view()}, kToFp32);
        EXPECT_WITHIN_TOLERANCE(Op::quantized_linear, inputs, want, 0, y.view(), kToFp32, seed);
      }
}

TEST_P(EightBitLinears, AddBiasAndWriteStridedRowsOfEitherDtype) {
  const int64_t m = 9, k = 77, n = 37;
  for (const ops::Attrs& attrs : {kToFp32, kToBf16}) {
    const QuantizedWeight w = weight(n, k);
    const Activations x = random_activations(format(), m, k, 1, 5);
    const OwnedTensor bias = random_tensor(DType::fp32, {n}, 7);
    const auto inputs = w.plain_inputs(x.views(), &bias);
    const auto want = test::run_reference(Op::quantized_linear, inputs, attrs);
    const OwnedTensor y(want[0].view().dtype, {m, n}, n + 5);
    run_kernel(kernel(), w.packed_inputs(x.views(), &bias), {y.view()}, attrs);
    EXPECT_WITHIN_TOLERANCE(Op::quantized_linear, inputs, want, 0, y.view(), attrs, 5);
    EXPECT_TRUE(y.gaps_untouched());
  }
}

TEST_P(EightBitLinears, NeverLookPastTheEndOfAnyOperand) {
  for (const auto& [m, k] : {std::pair{3, 1}, {3, 7}, {3, 66}, {9, 1}, {9, 7}, {9, 98}}) {
    const int64_t n = 19;
    const QuantizedWeight w = weight(n, k);
    const Activations x = random_activations(format(), m, k, 1, 1);
    const OwnedTensor bias = random_tensor(DType::fp32, {n}, 3);
    const OwnedTensor y(DType::bf16, {m, n});
    const GuardedCall guarded(w.packed_operands(x.views(), &bias), y.view());
    run_kernel(kernel(), guarded.inputs(), {guarded.output()}, kToBf16);
    run_kernel(kernel(), w.packed_inputs(x.views(), &bias), {y.view()}, kToBf16);
    EXPECT_TENSOR_EQ(guarded.output(), y.view(), 1);
  }
}

TEST_P(EightBitLinears, DoNothingForNoRows) {
  const QuantizedWeight w = weight(4, 8);
  const Activations x = random_activations(format(), 1, 8, 1, 1);
  const OwnedTensor y(DType::bf16, {0, 4});
  run_kernel(kernel(), w.packed_inputs(x.rows(0, 0)), {y.view()}, kToBf16);
}

TEST_P(EightBitLinears, ARowWithoutAScaleIsNaNAndOtherRowsAreNot) {
  const int64_t m = 7, k = 34, n = 20;
  const QuantizedWeight w = weight(n, k);
  const Activations x = random_activations(format(), m, k, 1, 1);
  test::set_element(x.scales.view(), 3, std::nan(""));
  const OwnedTensor y(DType::fp32, {m, n});
  run_kernel(kernel(), w.packed_inputs(x.views()), {y.view()}, kToFp32);
  for (int64_t t = 0; t < m; ++t)
    for (int64_t c = 0; c < n; ++c)
      EXPECT_EQ(std::isnan(test::element(y.view(), t * n + c)), t == 3) << t << " " << c;
}

/// Row i of any number of rows has the bits of that row alone, on any number of threads.
TEST_P(EightBitLinears, RowsDoNotDependOnTheirNeighboursOrOnThreads) {
  const int64_t max_rows = 200, n = is_portable() ? 33 : 200;
  struct Extents {
    int64_t k;
    int64_t group;
  };
  for (const Extents extents : {Extents{127, 0}, {133, 0}, {5632, 0}, {1024, 128}}) {
    const int64_t k = extents.k, group = extents.group;
    if (group != 0 && format() == DType::int8) continue;
    const QuantizedWeight w = weight(n, k, group);
    const Activations x = random_activations(format(), max_rows, k, group == 0 ? 1 : k / group, 11);
    const OwnedTensor alone(DType::fp32, {max_rows, n});
    for (int64_t t = 0; t < max_rows; ++t)
      run_kernel(kernel(), w.packed_inputs(x.rows(t, t + 1)), {rows_of(alone.view(), t, t + 1)},
                 kToFp32, 1);
    const auto check = [&](int64_t m, int num_threads) {
      const OwnedTensor y(DType::fp32, {m, n});
      run_kernel(kernel(), w.packed_inputs(x.rows(0, m)), {y.view()}, kToFp32, num_threads);
      EXPECT_TENSOR_EQ(y.view(), rows_of(alone.view(), 0, m), 11)
          << "m " << m << " k " << k << " threads " << num_threads;
    };
    for (int64_t m = 1; m <= 40; m += m <= kMaxPassRows ? 1 : 5) check(m, m % 3 == 0 ? 3 : 1);
    for (const int num_threads : {1, 2, 7}) check(max_rows, num_threads);
  }
}

INSTANTIATE_TEST_SUITE_P(All, EightBitLinears, ::testing::ValuesIn(eight_bit_kernels()),
                         [](const auto& test) { return test_name(test.param); });

/// Weights and activations with the largest magnitudes there are: sums of 16 bits would overflow,
/// those of 32 just hold.
TEST(Int8Linears, AreExactOnEveryInstructionSet) {
  const int64_t k = 65536, n = 3;
  const QuantizedWeight w({.dtype = DType::int8, .n = n, .k = k, .group = k}, {0x80, 1.0f, 0});
  for (const int64_t m : {2, 40})
    for (const int8_t code : {int8_t{-128}, int8_t{-127}, int8_t{127}}) {
      Activations x = random_activations(DType::int8, m, k, 1, 1);
      for (int64_t t = 0; t < m; ++t) std::fill_n(x.codes.view().row<int8_t>(t), k, code);
      for (int64_t t = 0; t < m; ++t) test::set_element(x.scales.view(), t, 1);
      for (const ops::Kernel& kernel : eight_bit_kernels()) {
        if (format_of(kernel) != DType::int8) continue;
        const OwnedTensor y(DType::fp32, {m, n});
        run_kernel(kernel, w.packed_inputs(x.views()), {y.view()}, kToFp32);
        for (int64_t i = 0; i < m * n; ++i)
          EXPECT_EQ(test::element(y.view(), i), -128.0 * code * static_cast<double>(k))
              << kernel.name;
      }
    }
}

TEST(Int8Linears, HaveTheSameBitsOnEveryInstructionSet) {
  const QuantizedWeight w({.dtype = DType::int8, .n = 40, .k = 301, .group = 301});
  const OwnedTensor bias = random_tensor(DType::fp32, {40}, 3);
  for (const int64_t m : {13, 45}) {
    const Activations x = random_activations(DType::int8, m, 301, 1, 1);
    std::vector<OwnedTensor> results;
    for (const ops::Kernel& kernel : eight_bit_kernels()) {
      if (format_of(kernel) != DType::int8) continue;
      results.emplace_back(DType::fp32, Shape{m, 40});
      run_kernel(kernel, w.packed_inputs(x.views(), &bias), {results.back().view()}, kToFp32);
      EXPECT_TENSOR_EQ(results.back().view(), results.front().view(), 1) << kernel.name;
    }
  }
}

class Fp8Linears : public ::testing::TestWithParam<ops::Kernel> {};

std::vector<ops::Kernel> fp8_kernels() {
  std::vector<ops::Kernel> kernels;
  for (const ops::Kernel& kernel : eight_bit_kernels())
    if (format_of(kernel) == DType::fp8_e4m3) kernels.push_back(kernel);
  return kernels;
}

TEST_P(Fp8Linears, ScaleGroupByGroup) {
  for (const int64_t m : {1, 5, 40})
    for (const int64_t group : {32, 96, 128})
      for (const int64_t num_groups : {2, 5, 24}) {
        const int64_t k = group * num_groups, n = 50;
        const QuantizedWeight w({.dtype = DType::fp8_e4m3, .n = n, .k = k, .group = group});
        const Activations x = random_activations(DType::fp8_e4m3, m, k, num_groups, 9);
        const OwnedTensor bias = random_tensor(DType::fp32, {n}, 7);
        const auto inputs = w.plain_inputs(x.views(), &bias);
        const auto want = test::run_reference(Op::quantized_linear, inputs, kToFp32);
        const OwnedTensor y(DType::fp32, {m, n});
        run_kernel(GetParam(), w.packed_inputs(x.views(), &bias), {y.view()}, kToFp32);
        EXPECT_WITHIN_TOLERANCE(Op::quantized_linear, inputs, want, 0, y.view(), kToFp32, 9);
      }
}

TEST_P(Fp8Linears, LeaveGroupsLongerThanABlockToTheReference) {
  const int64_t m = 40, n = 70;
  for (const int64_t group : {kMaxFp8Group, kMaxFp8Group + 32}) {
    const QuantizedWeight w({.dtype = DType::fp8_e4m3, .n = n, .k = 2 * group, .group = group});
    const Activations x = random_activations(DType::fp8_e4m3, m, 2 * group, 2, 9);
    const OwnedTensor y(DType::fp32, {m, n});
    const auto packed = w.packed_inputs(x.views());
    ASSERT_EQ(accepts(GetParam(), packed, {y.view()}, kToFp32, kLayoutFp8), group == kMaxFp8Group);
    if (group > kMaxFp8Group) continue;
    const auto inputs = w.plain_inputs(x.views());
    const auto want = test::run_reference(Op::quantized_linear, inputs, kToFp32);
    run_kernel(GetParam(), packed, {y.view()}, kToFp32);
    EXPECT_WITHIN_TOLERANCE(Op::quantized_linear, inputs, want, 0, y.view(), kToFp32, 9);
  }
}

/// Subnormals, zeros of both signs and NaN included, of weights and of activations, for one row,
/// for a pass, and for so many that the weight is converted beforehand.
TEST_P(Fp8Linears, TakeEveryCodeForItsNumber) {
  constexpr int64_t kCodes = 256, kColumns = 5;
  const QuantizedWeight w({.dtype = DType::fp8_e4m3, .n = kCodes, .k = kColumns, .group = kColumns},
                          {0, 1.0f, 0});
  const auto one = Fp8E4M3(1.0f).bits;
  for (const bool are_weights : {true, false})
    for (const int64_t m : {int64_t{1}, int64_t{kMaxPassRows}, kCodes}) {
      const TensorView codes = w.plain_inputs({})[0];
      Activations x{OwnedTensor(DType::fp8_e4m3, {m, kColumns}), OwnedTensor(DType::fp32, {m, 1})};
      for (int64_t i = 0; i < kCodes; ++i)
        codes.row<uint8_t>(i)[kColumns - 1] = are_weights ? static_cast<uint8_t>(i) : one;
      for (int64_t t = 0; t < m; ++t) {
        x.codes.view().row<uint8_t>(t)[kColumns - 1] = are_weights ? one : static_cast<uint8_t>(t);
        x.scales.view().row<float>(t)[0] = 1;
      }
      const PackedTensor packed(codes,
                                make_registry(Isa::portable).layout(kLayoutFp8, DType::fp8_e4m3));
      std::vector<TensorView> inputs = w.packed_inputs(x.views());
      inputs[2] = packed.view();
      const OwnedTensor y(DType::fp32, {m, kCodes});
      run_kernel(GetParam(), inputs, {y.view()}, kToFp32);
      for (int64_t t = 0; t < m; ++t)
        for (int64_t n = 0; n < kCodes; ++n) {
          Fp8E4M3 code;
          code.bits = static_cast<uint8_t>(are_weights ? n : t);
          const auto want = static_cast<float>(code);
          const double got = test::element(y.view(), t * kCodes + n);
          ASSERT_TRUE(std::isnan(want) ? std::isnan(got) : got == want)
              << "code " << int{code.bits} << ": " << got << " instead of " << want;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(All, Fp8Linears, ::testing::ValuesIn(fp8_kernels()),
                         [](const auto& test) { return test_name(test.param); });

TEST(Fp8LinearClasses, FusedKernelsAgreeBitForBit) {
  for (const int64_t group : {int64_t{320}, int64_t{32}}) {
    const QuantizedWeight w({.dtype = DType::fp8_e4m3, .n = 40, .k = 320, .group = group});
    const Activations x = random_activations(DType::fp8_e4m3, 9, 320, 320 / group, 1);
    std::vector<OwnedTensor> results;
    for (const ops::Kernel& kernel : fp8_kernels()) {
      if (kernel.name.find("portable") != std::string_view::npos) continue;
      results.emplace_back(DType::fp32, Shape{9, 40});
      run_kernel(kernel, w.packed_inputs(x.views()), {results.back().view()}, kToFp32);
      EXPECT_TENSOR_EQ(results.back().view(), results.front().view(), 1) << kernel.name;
    }
  }
}

}  // namespace
}  // namespace veloz::cpu
