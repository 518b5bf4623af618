// SPDX-License-Identifier: Apache-2.0
#include "cuda/gemm_runs.h"

/// Tiles of clusters of blocks, which the simulated multiprocessor does not have.
namespace veloz::cuda {
namespace {

constexpr GemmTile kPlain{256, 128};
constexpr GemmTile kCluster{256, 128, 2};

TEST(GemmClusters, HaveTheBitsOfSingleBlocks) {
  for (LinearSpec spec : {kBf16, kFp8, kInt8}) {
    spec.to_fp32 = true;
    // One pair of tiles of tokens; half a pair; more tiles than blocks and more slices than stages.
    for (const auto& [t, n, k] : {std::array<int64_t, 3>{200, 300, 384},
                                  {100, 300, 384},
                                  {1100, 9000, 1040},
                                  {300, 515, 128}}) {
      const LinearCall call(spec, t, n, k, 1);
      EXPECT_TENSOR_EQ(run_tile(spec, call, kCluster).view(), run_tile(spec, call, kPlain).view(),
                       1)
          << to_text(spec) << ", " << t << " by " << n << " by " << k;
    }
  }
}

}  // namespace
}  // namespace veloz::cuda
