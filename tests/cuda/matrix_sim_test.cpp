// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "base/dtype.h"
#include "base/fp8.h"
#include "cuda/ptx/matrix.h"
#include "cuda/sim_runs.h"
#include "support/tensors.h"

namespace veloz::cuda {
namespace {

constexpr int kM = 16, kN = 8, kK = 16;

/// d [16, 8] = c [16, 8] + a [16, 16] b [16, 8], a and b 16-bit, row-major. Fragments are filled
/// element by element, as the PTX ISA describes them.
template <bool kIsBf16>
__global__ void multiply(const uint16_t* a, const uint16_t* b, const float* c, float* d) {
  const unsigned g = threadIdx.x / 4, j = threadIdx.x % 4;
  uint32_t a_fragment[4], b_fragment[2];
  float sums[4];
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = g + i % 2 * 8, column = 2 * j + i / 2 * 8;
    a_fragment[i] = a[row * kK + column] | uint32_t{a[row * kK + column + 1]} << 16;
  }
  for (unsigned i = 0; i < 2; ++i) {
    const unsigned row = 2 * j + i * 8;
    b_fragment[i] = b[row * kN + g] | uint32_t{b[(row + 1) * kN + g]} << 16;
  }
  for (unsigned i = 0; i < 4; ++i) sums[i] = c[(g + i / 2 * 8) * kN + 2 * j + i % 2];
  if (kIsBf16)
    multiply_bf16(sums, a_fragment, b_fragment);
  else
    multiply_fp16(sums, a_fragment, b_fragment);
  for (unsigned i = 0; i < 4; ++i) d[(g + i / 2 * 8) * kN + 2 * j + i % 2] = sums[i];
}

template <bool kIsBf16>
void expect_product(uint64_t seed) {
  const DType dtype = kIsBf16 ? DType::bf16 : DType::fp16;
  const test::OwnedTensor a = test::random_tensor(dtype, {kM, kK}, seed);
  const test::OwnedTensor b = test::random_tensor(dtype, {kK, kN}, seed + 1);
  const test::OwnedTensor c = test::random_tensor(DType::fp32, {kM, kN}, seed + 2);
  const test::OwnedTensor d(DType::fp32, {kM, kN}), want(DType::fp32, {kM, kN});
  for (int64_t i = 0; i < kM * kN; ++i) {
    double sum = test::element(c.view(), i);
    for (int64_t k = 0; k < kK; ++k)
      sum += test::element(a.view(), i / kN * kK + k) * test::element(b.view(), k * kN + i % kN);
    test::set_element(want.view(), i, sum);
  }
  ASSERT_EQ(
      sim::launch(multiply<kIsBf16>, dim3(1), dim3(32), 0, a.view().as<const uint16_t>(),
                  b.view().as<const uint16_t>(), c.view().as<const float>(), d.view().as<float>()),
      cudaSuccess);
  // 17 roundings of sums below 17.
  EXPECT_TENSOR_NEAR(d.view(), want.view(), (test::Tolerance{.absolute = 17 * 17 * 0x1p-24}), seed);
}

TEST(SimulatedMatrices, MultiplyAsPlainLoopsDo) {
  for (const uint64_t seed : {1, 11, 21}) {
    expect_product<true>(seed);
    expect_product<false>(seed);
  }
}

/// y[m][lane] of four 8 x 8 matrices whose rows lie 16 bytes apart, in shared memory.
template <bool kIsTransposed>
__global__ void load(const uint16_t* x, uint32_t* y) {
  auto* const staged = reinterpret_cast<uint16_t*>(dynamic_shared());
  for (unsigned i = threadIdx.x; i < 256; i += 32) staged[i] = x[i];
  __syncwarp();
  uint32_t r[4];
  if (kIsTransposed)
    load_matrices_transposed(r, staged + threadIdx.x * 8);
  else
    load_matrices(r, staged + threadIdx.x * 8);
  // Others have not read yet where loading is not one instruction for all.
  for (unsigned i = 0; i < 8; ++i) staged[threadIdx.x * 8 + i] = 0;
  for (unsigned m = 0; m < 4; ++m) y[m * 32 + threadIdx.x] = r[m];
}

std::vector<uint16_t> numbers() {
  std::vector<uint16_t> values;
  for (uint16_t i = 0; i < 256; ++i) values.push_back(static_cast<uint16_t>(i * 257 + 3));
  return values;
}

TEST(SimulatedMatrices, LoadPairsOfARow) {
  DeviceArray<uint16_t> x(numbers());
  DeviceArray<uint32_t> y(128);
  ASSERT_EQ(sim::launch(load<false>, dim3(1), dim3(32), 512, x.data(), y.data()), cudaSuccess);
  for (size_t i = 0; i < 128; ++i) {
    const size_t m = i / 32, g = i % 32 / 4, j = i % 4;
    const size_t at = m * 64 + g * 8 + 2 * j;
    EXPECT_EQ(y.values()[i], numbers()[at] | uint32_t{numbers()[at + 1]} << 16) << i;
  }
}

TEST(SimulatedMatrices, LoadPairsOfAColumnWhereTransposed) {
  DeviceArray<uint16_t> x(numbers());
  DeviceArray<uint32_t> y(128);
  ASSERT_EQ(sim::launch(load<true>, dim3(1), dim3(32), 512, x.data(), y.data()), cudaSuccess);
  for (size_t i = 0; i < 128; ++i) {
    const size_t m = i / 32, g = i % 32 / 4, j = i % 4;
    const size_t at = m * 64 + 2 * j * 8 + g;
    EXPECT_EQ(y.values()[i], numbers()[at] | uint32_t{numbers()[at + 8]} << 16) << i;
  }
}

__global__ void load_odd() {
  uint32_t r[4];
  load_matrices(r, dynamic_shared() + threadIdx.x * 8);
}

TEST(SimulatedMatricesDeathTest, EndAtAMisalignedRow) {
  EXPECT_DEATH(sim::launch(load_odd, dim3(1), dim3(32), 512), "ldmatrix of a row at an odd");
}

TEST(SimulatedConversions, WidenEveryPairOfFp8Codes) {
  for (uint32_t code = 0; code < 256; ++code) {
    Fp8E4M3 low, high;
    low.bits = static_cast<uint8_t>(code);
    high.bits = static_cast<uint8_t>(255 - code);
    const uint32_t halves = e4m3x2_to_fp16x2(static_cast<uint16_t>(low.bits | high.bits << 8));
    const auto expect_same = [](float got, float want) {
      EXPECT_TRUE(got == want || (std::isnan(got) && std::isnan(want))) << got << " " << want;
      EXPECT_TRUE(std::isnan(got) || std::signbit(got) == std::signbit(want));
    };
    expect_same(fp16_to_fp32(static_cast<uint16_t>(halves)), static_cast<float>(low));
    expect_same(fp16_to_fp32(static_cast<uint16_t>(halves >> 16)), static_cast<float>(high));
  }
}

TEST(SimulatedConversions, PackTheLowValueFirstAndRoundToNearestEven) {
  EXPECT_EQ(to_bf16x2(1.0f, -2.0f), 0xc0003f80u);
  EXPECT_EQ(to_bf16x2(0x1.01p0f, 0x1.03p0f), 0x3f823f80u);  // both halfway
  EXPECT_EQ(to_bf16x2(-NAN, INFINITY), 0x7f807fffu);
  EXPECT_EQ(to_fp16x2(1.0f, -2.0f), 0xc0003c00u);
  EXPECT_EQ(to_fp16x2(65519.0f, 65520.0f), 0x7c007bffu);
  EXPECT_EQ(to_fp16x2(-NAN, 0x1p-25f), 0x00007fffu);
}

TEST(SimulatedConversions, FlushPowersOfTwoThatHaveNoNormalForm) {
  EXPECT_EQ(exp2_fast(3.0f), 8.0f);
  EXPECT_EQ(exp2_fast(-126.0f), 0x1p-126f);
  EXPECT_EQ(exp2_fast(-126.5f), 0.0f);
  EXPECT_EQ(exp2_fast(-INFINITY), 0.0f);
  EXPECT_TRUE(std::isnan(exp2_fast(NAN)));
}

}  // namespace
}  // namespace veloz::cuda
