// SPDX-License-Identifier: Apache-2.0
#include "cpu/uint4_linear.h"

#include <gtest/gtest.h>

#include <array>

#include "cpu/layouts.h"
#include "quantized_operands.h"

namespace veloz::cpu {
namespace {

using ops::Op;
using test::OwnedTensor;
using test::random_tensor;

std::vector<ops::Kernel> uint4_kernels() {
  std::vector<ops::Kernel> kernels;
  for (const ops::Kernel& kernel : kernels_of(Op::quantized_linear))
    if (kernel.name.find("uint4") != std::string_view::npos) kernels.push_back(kernel);
  return kernels;
}

/// int8 rows and their scales, as a strided view where `gap` says so.
struct Rows {
  Rows(int64_t m, int64_t k, uint64_t seed, int64_t gap = 0)
      : x(random_tensor(DType::int8, {m, k}, seed,
                        {.low = -128, .high = 128, .row_stride = k + gap})),
        scales(random_tensor(DType::fp32, {m, 1}, seed + 1,
                             {.low = 0.001, .high = 0.02, .row_stride = 1 + gap})) {}
  OwnedTensor x;
  OwnedTensor scales;
};

ops::Attrs uint4_attrs(const QuantizedWeight& w, std::string_view out = "fp32") {
  ops::Attrs attrs{{"out", std::string(out)}};
  if (w.has_zeros()) attrs.set("zeros", int64_t{1});
  return attrs;
}

class Uint4LinearKernels : public ::testing::TestWithParam<ops::Kernel> {
 protected:
  const ops::Kernel& kernel() const { return GetParam(); }

  OwnedTensor run(const Rows& rows, const QuantizedWeight& w, const OwnedTensor* bias = nullptr,
                  int num_threads = 2) const {
    OwnedTensor y(DType::fp32, {rows.x.view().shape[0], w.num_channels()});
    run_kernel(kernel(), w.packed_inputs({rows.x.view(), rows.scales.view()}, bias), {y.view()},
               uint4_attrs(w), num_threads);
    return y;
  }
};

TEST_P(Uint4LinearKernels, MatchTheReferenceOnOddShapes) {
  constexpr std::array<std::pair<int64_t, int64_t>, 6> kGroups = {
      {{32, 32}, {64, 32}, {96, 96}, {384, 128}, {320, 64}, {1120, 32}}};
  constexpr DType kScales[] = {DType::fp32, DType::bf16, DType::fp16};
  uint64_t seed = 0;
  for (const int64_t m : {1, 2, 5, 12, 13, 25})
    for (const auto& [k, group] : kGroups)
      for (const int64_t n : {1, 16, 17, 50}) {
        ++seed;
        const Rows rows(m, k, seed * 10);
        const QuantizedWeight w({.dtype = DType::uint4x2,
                                 .n = n,
                                 .k = k,
                                 .group = group,
                                 .scales = kScales[seed % 3],
                                 .has_zeros = seed % 2 == 0,
                                 .seed = seed});
        const auto inputs = w.plain_inputs({rows.x.view(), rows.scales.view()});
        const auto want = test::run_reference(Op::quantized_linear, inputs, uint4_attrs(w));
        const OwnedTensor y = run(rows, w);
        EXPECT_WITHIN_TOLERANCE(Op::quantized_linear, inputs, want, 0, y.view(), uint4_attrs(w),
                                seed);
      }
}

TEST_P(Uint4LinearKernels, AddBiasAndReadAndWriteStridedRowsInBothDtypes) {
  const int64_t m = 15, k = 96, n = 37;
  const OwnedTensor bias = random_tensor(DType::fp32, {n}, 7);
  const Rows rows(m, k, 5, 3);
  const QuantizedWeight w({.n = n, .k = k, .group = 32, .has_zeros = true, .seed = 6});
  const auto inputs = w.plain_inputs({rows.x.view(), rows.scales.view()}, &bias);
  for (const DType out : {DType::fp32, DType::bf16}) {
    const ops::Attrs attrs = uint4_attrs(w, to_string(out));
    const auto want = test::run_reference(Op::quantized_linear, inputs, attrs);
    const OwnedTensor y(out, {m, n}, n + 5);
    run_kernel(kernel(), w.packed_inputs({rows.x.view(), rows.scales.view()}, &bias), {y.view()},
               attrs);
    EXPECT_WITHIN_TOLERANCE(Op::quantized_linear, inputs, want, 0, y.view(), attrs, 5);
    EXPECT_TRUE(y.gaps_untouched());
  }
}

/// Sums of the largest codes are still exact: nothing saturates or wraps.
TEST_P(Uint4LinearKernels, AreExactAtTheEndsOfTheRangesOfCodes) {
  const int64_t k = 512;
  constexpr int64_t kRows = 3;  // packed side by side
  for (const int x : {-128, 127})
    for (const uint8_t pair : {uint8_t{0x00}, uint8_t{0xff}})
      for (const uint8_t zero : {uint8_t{0}, uint8_t{255}}) {
        const Rows rows(kRows, k, 1);
        std::fill_n(rows.x.view().as<int8_t>(), kRows * k, static_cast<int8_t>(x));
        std::fill_n(rows.scales.view().as<float>(), kRows, 1.0f);
        const QuantizedWeight w({.n = 16, .k = k, .group = 128, .has_zeros = true, .seed = 1},
                                {.pair = pair, .scale = 1.0f, .zero = zero});
        const OwnedTensor y = run(rows, w);
        for (int64_t r = 0; r < kRows; ++r)
          EXPECT_EQ(y.view().as<const float>()[16 * r + 3],
                    static_cast<float>(k * x * ((pair & 15) - zero)));
      }
}

TEST_P(Uint4LinearKernels, NeverLookPastTheEndOfAnyOperand) {
  for (const int64_t m : {1, 3, 14})
    for (const bool has_zeros : {false, true}) {
      const int64_t k = 96, n = 19;
      const Rows rows(m, k, 1);
      const QuantizedWeight w(
          {.n = n, .k = k, .group = 32, .scales = DType::fp16, .has_zeros = has_zeros, .seed = 2});
      const OwnedTensor bias = random_tensor(DType::fp32, {n}, 3);
      const OwnedTensor y = run(rows, w, &bias);
      const GuardedCall guarded(w.packed_operands({rows.x.view(), rows.scales.view()}, &bias),
                                y.view());
      run_kernel(kernel(), guarded.inputs(), {guarded.output()}, uint4_attrs(w));
      EXPECT_TENSOR_EQ(guarded.output(), y.view(), 1);
    }
}

TEST_P(Uint4LinearKernels, DoNothingForNoRows) {
  const Rows rows(0, 32, 1);
  const QuantizedWeight w({.n = 4, .k = 32, .group = 32, .seed = 2});
  run(rows, w);
}

TEST_P(Uint4LinearKernels, KeepNaNOfAScaleInItsRowAndItsColumn) {
  const int64_t m = 7, n = 20;
  const Rows rows(m, 64, 1);
  rows.scales.view().as<float>()[3] = std::nanf("");
  QuantizedWeight w({.n = n, .k = 64, .group = 32, .seed = 2});
  w.set_scale(17, 1, std::nan(""));
  const OwnedTensor y = run(rows, w);
  for (int64_t t = 0; t < m; ++t)
    for (int64_t c = 0; c < n; ++c)
      EXPECT_EQ(std::isnan(test::element(y.view(), t * n + c)), t == 3 || c == 17) << t << " " << c;
}

/// Row i of any M has the bits of that row alone, on any number of threads.
TEST_P(Uint4LinearKernels, RowsDoNotDependOnTheirNeighboursOrOnThreads) {
  const bool is_portable = kernel().name.find("portable") != std::string_view::npos;
  for (const int64_t k : {160, 5632}) {
    const int64_t n = k == 160 ? 130 : is_portable ? 17 : 40;
    const int64_t max_rows = 130;  // of 5632 columns more than one block
    const Rows rows(max_rows, k, static_cast<uint64_t>(k));
    const QuantizedWeight w(
        {.n = n, .k = k, .group = k == 160 ? 32 : 128, .has_zeros = k == 160, .seed = 2});
    const OwnedTensor alone(DType::fp32, {max_rows, n});
    const auto run_rows = [&](const TensorView& y, int64_t begin, int num_threads) {
      const int64_t end = begin + y.shape[0];
      run_kernel(kernel(),
                 w.packed_inputs(
                     {rows_of(rows.x.view(), begin, end), rows_of(rows.scales.view(), begin, end)}),
                 {y}, uint4_attrs(w), num_threads);
    };
    for (int64_t t = 0; t < max_rows; ++t) run_rows(rows_of(alone.view(), t, t + 1), t, 1);
    for (const int64_t m : {2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17, 24, 25, 64, 130})
      for (const int num_threads : {1, 2, 7}) {
        const OwnedTensor y(DType::fp32, {m, n});
        run_rows(y.view(), 0, num_threads);
        ASSERT_EQ(std::memcmp(y.view().data, alone.view().data, y.view().num_bytes()), 0)
            << "m " << m << " k " << k << " threads " << num_threads;
      }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Uint4LinearKernels, ::testing::ValuesIn(uint4_kernels()),
                         [](const auto& test) { return test_name(test.param); });

/// Those with fused multiply-adds form one numeric class.
TEST(Uint4LinearClasses, FusedKernelsAgreeBitForBit) {
  const Rows rows(5, 288, 1);
  const QuantizedWeight w({.n = 40, .k = 288, .group = 32, .has_zeros = true, .seed = 2});
  std::vector<OwnedTensor> results;
  for (const ops::Kernel& kernel : uint4_kernels()) {
    if (kernel.name.find("portable") != std::string_view::npos) continue;
    results.emplace_back(DType::fp32, Shape{5, 40});
    run_kernel(kernel, w.packed_inputs({rows.x.view(), rows.scales.view()}),
               {results.back().view()}, uint4_attrs(w));
    EXPECT_TENSOR_EQ(results.back().view(), results.front().view(), 1) << kernel.name;
  }
}

}  // namespace
}  // namespace veloz::cpu
