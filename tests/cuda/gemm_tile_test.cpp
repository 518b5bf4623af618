// SPDX-License-Identifier: Apache-2.0
#include "cuda/gemm_tile.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace veloz::cuda {
namespace {

constexpr int kMultiprocessors = 132;

struct Weight {
  int64_t rows;
  int64_t columns;
};
// Llama 70B and 8B.
constexpr Weight kWeights[] = {{10240, 8192}, {8192, 8192}, {57344, 8192}, {8192, 28672},
                               {6144, 4096},  {4096, 4096}, {28672, 4096}, {4096, 14336}};

GemmTile tile_of(int64_t tokens, const Weight& w, DType dtype = DType::fp8_e4m3,
                 bool is_grouped = false) {
  return choose_gemm_tile(tokens, w.rows, w.columns, dtype, is_grouped, kMultiprocessors);
}

TEST(GemmTile, HasAboutAsManyTokensAsThereAre) {
  for (const Weight& w : kWeights)
    for (const int64_t tokens : {1, 7, 8, 9, 16, 20, 32, 33, 64}) {
      const int chosen = tile_of(tokens, w).tokens;
      EXPECT_GE(2 * chosen, tokens) << w.rows;
      EXPECT_LT(chosen, std::max<int64_t>(2 * tokens, 17)) << w.rows << " by " << tokens;
    }
}

TEST(GemmTile, HasFewRowsWhereAWeightIsSmall) {
  EXPECT_EQ(tile_of(1, {4096, 4096}).rows, 64);
  EXPECT_EQ(tile_of(8, {2048, 4096}).rows, 64);
}

TEST(GemmTile, IsLargeWhereProductsAreTheLimit) {
  for (const Weight& w : kWeights)
    for (const DType dtype : {DType::bf16, DType::fp8_e4m3, DType::int8})
      EXPECT_EQ(tile_of(8192, w, dtype), (GemmTile{256, 128})) << w.rows;
}

TEST(GemmTile, OfGroupsHasRoomForThem) {
  for (const Weight& w : kWeights)
    for (const int64_t tokens : {1, 64, 300, 4096})
      EXPECT_TRUE(has_gemm_tile(tile_of(tokens, w, DType::fp8_e4m3, true), true));
}

TEST(GemmTile, ServesShapesSmallerThanAnyTile) {
  for (const int64_t tokens : {1, 5})
    for (const int64_t rows : {1, 17})
      EXPECT_NE(std::ranges::find(kGemmTiles, tile_of(tokens, {rows, 16})), std::end(kGemmTiles));
}

}  // namespace
}  // namespace veloz::cuda
