// SPDX-License-Identifier: Apache-2.0
#include "cuda/ptx/wgmma.h"

#include <cmath>

#include "cuda/ptx/tensor_copy.h"
#include "cuda/sim_runs.h"
#include "support/tensors.h"

/// Tensor copies and warpgroup products of the simulated multiprocessor, by the book: what the PTX
/// ISA says of swizzled tiles, descriptors and fragments is written out here a second time.
namespace veloz::cuda {
namespace {

using test::element;
using test::OwnedTensor;
using test::random_tensor;

constexpr int kWarpgroup = 128;
constexpr int kRows = 64, kColumns = 16;  // of d
constexpr int kTileBytes = kRows * kTileRowBytes;

TensorMap map_of(const TensorView& matrix, int tile_rows) {
  TensorMap map;
  EXPECT_TRUE(encode_tensor_map(
      {.data = matrix.data,
       .dtype = matrix.dtype,
       .rows = matrix.shape[0],
       .columns = matrix.shape[1],
       .row_bytes = matrix.row_stride * static_cast<int64_t>(dtype_bytes(matrix.dtype)),
       .tile_rows = tile_rows},
      map));
  return map;
}

__global__ void copy_tile(const TensorMap map, int column, int row, unsigned char* out) {
  auto* const barrier = reinterpret_cast<SharedBarrier*>(dynamic_shared() + kTileBytes);
  init_barrier(barrier, 1);
  publish_barriers();
  arrive_expecting(barrier, kTileBytes);
  load_tile(dynamic_shared(), &map, column, row, barrier, 0);
  out[kTileBytes] = dynamic_shared()[0];  // what has not arrived yet
  wait_for_phase(barrier, 0);
  for (int i = 0; i < kTileBytes; ++i) out[i] = dynamic_shared()[i];
}

TEST(SimulatedTensorCopies, PermuteUnitsOfRowsAndFillTheOutsideWithZeros) {
  const OwnedTensor x =
      random_tensor(DType::int8, {70, 200}, 1, {.low = 1, .high = 100, .row_stride = 208});
  DeviceArray<unsigned char> out(kTileBytes + 1);
  for (const int column : {0, 128})
    for (const int row : {0, 64}) {
      ASSERT_EQ(sim::launch(copy_tile, dim3(1), dim3(1), kTileBytes + 8, map_of(x.view(), kRows),
                            column, row, out.data()),
                cudaSuccess);
      const std::vector<unsigned char> bytes = out.values();
      EXPECT_EQ(bytes[kTileBytes], 0xFF);
      for (int r = 0; r < kRows; ++r)
        for (int c = 0; c < kTileRowBytes; ++c) {
          const bool is_inside = row + r < 70 && column + c < 200;
          const double want = is_inside ? element(x.view(), (row + r) * 200 + column + c) : 0;
          const int unit = c / 16 ^ r % 8;
          ASSERT_EQ(bytes[static_cast<size_t>(r * kTileRowBytes + unit * 16 + c % 16)], want)
              << r << ", " << c;
        }
    }
}

TEST(SimulatedTensorCopies, RefuseWhatTheDriverRefuses) {
  const OwnedTensor x(DType::bf16, {8, 64});
  TensorMap map;
  TiledMatrix matrix{x.view().data, DType::bf16, 8, 64, 128, 8};
  EXPECT_TRUE(encode_tensor_map(matrix, map));
  matrix.row_bytes = 120;
  EXPECT_FALSE(encode_tensor_map(matrix, map));
  matrix.row_bytes = 128;
  matrix.data = x.view().as<const char>() + 8;
  EXPECT_FALSE(encode_tensor_map(matrix, map));
  matrix.data = x.view().data;
  matrix.tile_rows = 257;
  EXPECT_FALSE(encode_tensor_map(matrix, map));
}

enum class Mistake { none, no_wait, no_fence, no_swizzle, early_refill };

/// d [64, 16] = a [64, K] b [16, K]^T, K one tile; d starts at 1 and is added to.
template <typename Product, Mistake mistake>
__global__ void multiply_tiles(const TensorMap a_map, const TensorMap b_map,
                               typename Product::Sum* d_out) {
  unsigned char* const a = dynamic_shared();
  unsigned char* const b = a + kTileBytes;
  auto* const barrier = reinterpret_cast<SharedBarrier*>(b + kColumns * kTileRowBytes);
  if (threadIdx.x == 0) {
    init_barrier(barrier, 1);
    publish_barriers();
    arrive_expecting(barrier, (kRows + kColumns) * kTileRowBytes);
    load_tile(a, &a_map, 0, 0, barrier, 0);
    load_tile(b, &b_map, 0, 0, barrier, 0);
  }
  __syncthreads();
  wait_for_phase(barrier, 0);
  typename Product::Sum d[kColumns / 2];
  for (auto& sum : d) sum = 1;
  if (mistake != Mistake::no_fence) begin_products();
  const uint64_t flaw = mistake == Mistake::no_swizzle ? uint64_t{1} << 62 : 0;
  for (int step = 0; step < 4; ++step)
    multiply<Product, kColumns>(
        d, (matrix_descriptor(shared_address(a)) ^ flaw) + descriptor_step(32 * step),
        matrix_descriptor(shared_address(b)) + descriptor_step(32 * step), true);
  commit_products();
  if (mistake == Mistake::early_refill) {
    if (threadIdx.x == 0) {
      arrive_expecting(barrier, kTileBytes);
      load_tile(a, &a_map, 0, 0, barrier, 0);
    }
    __syncthreads();
  }
  if (mistake != Mistake::no_wait) wait_for_products<0>();
  settle(d);
  const int warp = static_cast<int>(threadIdx.x) / 32, g = static_cast<int>(threadIdx.x) % 32 / 4,
            j = static_cast<int>(threadIdx.x) % 4;
  for (int c = 0; c < kColumns / 8; ++c)
    for (int h = 0; h < 2; ++h)
      for (int e = 0; e < 2; ++e)
        d_out[(16 * warp + g + 8 * h) * kColumns + 8 * c + 2 * j + e] = d[4 * c + 2 * h + e];
  if (mistake == Mistake::no_wait) wait_for_products<0>();
  if (mistake == Mistake::early_refill) wait_for_phase(barrier, 1);
}

template <typename Product, Mistake mistake = Mistake::none>
std::vector<typename Product::Sum> multiply_on_device(const OwnedTensor& a, const OwnedTensor& b) {
  DeviceArray<typename Product::Sum> d(kRows * kColumns);
  EXPECT_EQ(sim::launch(multiply_tiles<Product, mistake>, dim3(1), dim3(kWarpgroup),
                        kTileBytes + kColumns * kTileRowBytes + 8, map_of(a.view(), kRows),
                        map_of(b.view(), kColumns), d.data()),
            cudaSuccess);
  return d.values();
}

template <typename Product>
void expect_product(DType dtype, double limit) {
  const int64_t k = kTileRowBytes / static_cast<int64_t>(dtype_bytes(dtype));
  const OwnedTensor a = random_tensor(dtype, {kRows, k}, 1, {.low = -limit, .high = limit});
  const OwnedTensor b = random_tensor(dtype, {kColumns, k}, 2, {.low = -limit, .high = limit});
  const auto d = multiply_on_device<Product>(a, b);
  for (int64_t row = 0; row < kRows; ++row)
    for (int64_t column = 0; column < kColumns; ++column) {
      double sum = 1, magnitude = 1;
      for (int64_t i = 0; i < k; ++i) {
        const double product = element(a.view(), row * k + i) * element(b.view(), column * k + i);
        sum += product;
        magnitude += std::abs(product);
      }
      ASSERT_NEAR(static_cast<double>(d[static_cast<size_t>(row * kColumns + column)]), sum,
                  magnitude * 0x1p-21)
          << row << ", " << column;
    }
}

TEST(SimulatedProducts, AreThoseOfPlainLoops) {
  expect_product<Bf16Product>(DType::bf16, 1);
  expect_product<E4M3Product>(DType::fp8_e4m3, 448);
  expect_product<Int8Product>(DType::int8, 128);
}

enum class Change { none, before_the_wait };

/// d [64, 128] += a [64, 16] b [16, 128], a in registers, b in two panels of 64 columns.
template <typename Product, Change change>
__global__ void multiply_turned(const uint16_t* a, const uint16_t* b, float* d_out) {
  constexpr int kWidth = 128, kDepth = 16, kPanel = 2048;
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < kDepth * kWidth; i += kWarpgroup) {
    const int k = i / kWidth, n = i % kWidth;
    const int unit = n % 64 / 8 ^ k % 8;
    const int at = n / 64 * kPanel + k * kTileRowBytes + unit * 16 + n % 8 * 2;
    *reinterpret_cast<uint16_t*>(dynamic_shared() + at) = b[i];
  }
  publish_operands();
  __syncthreads();
  const int row = thread / 32 * 16 + thread % 32 / 4, column = thread % 4 * 2;
  const auto pair = [&](int down, int right) {
    const uint16_t* const at = a + (row + down) * kDepth + column + right;
    return static_cast<uint32_t>(at[0] | at[1] << 16);
  };
  uint32_t fragment[4] = {pair(0, 0), pair(8, 0), pair(0, 8), pair(8, 8)};
  float d[kWidth / 2];
  for (float& sum : d) sum = 1;
  begin_products();
  multiply_registers<Product, kWidth, true>(
      d, fragment, panels_descriptor(shared_address(dynamic_shared()), kPanel));
  commit_products();
  if (change == Change::before_the_wait) fragment[0] ^= 1;
  wait_for_products<0>();
  settle(d);
  for (int i = 0; i < kWidth / 2; ++i)
    d_out[(row + i % 4 / 2 * 8) * kWidth + i / 4 * 8 + column + i % 2] = d[i];
}

template <typename Product, Change change = Change::none>
void expect_turned_product(DType dtype) {
  const OwnedTensor a = random_tensor(dtype, {kRows, 16}, 1);
  const OwnedTensor b = random_tensor(dtype, {16, 128}, 2);
  DeviceArray<float> d(kRows * 128);
  ASSERT_EQ(sim::launch(multiply_turned<Product, change>, dim3(1), dim3(kWarpgroup), 4096,
                        a.view().as<const uint16_t>(), b.view().as<const uint16_t>(), d.data()),
            cudaSuccess);
  const std::vector<float> sums = d.values();
  for (int64_t row = 0; row < kRows; ++row)
    for (int64_t n = 0; n < 128; ++n) {
      double sum = 1;
      for (int64_t k = 0; k < 16; ++k)
        sum += element(a.view(), row * 16 + k) * element(b.view(), k * 128 + n);
      ASSERT_NEAR(sums[static_cast<size_t>(row * 128 + n)], sum, 1e-5) << row << ", " << n;
    }
}

TEST(SimulatedProducts, TakeRowsFromRegistersAndColumnsInPanels) {
  expect_turned_product<Bf16Product>(DType::bf16);
  expect_turned_product<Fp16Product>(DType::fp16);
}

TEST(SimulatedProductsDeathTest, WantRegistersToStayUntilTheWait) {
  EXPECT_DEATH((expect_turned_product<Bf16Product, Change::before_the_wait>(DType::bf16)),
               "changed before the wait");
}

TEST(SimulatedProducts, ShowAMissingWaitAndATileRefilledTooEarly) {
  const OwnedTensor a = random_tensor(DType::bf16, {kRows, 64}, 1);
  const OwnedTensor b = random_tensor(DType::bf16, {kColumns, 64}, 2);
  for (const float sum : multiply_on_device<Bf16Product, Mistake::no_wait>(a, b))
    ASSERT_TRUE(std::isnan(sum));
  for (const float sum : multiply_on_device<Bf16Product, Mistake::early_refill>(a, b))
    ASSERT_TRUE(std::isnan(sum));
}

TEST(SimulatedProductsDeathTest, WantAFenceAndASwizzledDescriptor) {
  const OwnedTensor a = random_tensor(DType::bf16, {kRows, 64}, 1);
  const OwnedTensor b = random_tensor(DType::bf16, {kColumns, 64}, 2);
  EXPECT_DEATH((multiply_on_device<Bf16Product, Mistake::no_fence>(a, b)), "wgmma.fence");
  EXPECT_DEATH((multiply_on_device<Bf16Product, Mistake::no_swizzle>(a, b)), "128-byte swizzle");
}

}  // namespace
}  // namespace veloz::cuda
