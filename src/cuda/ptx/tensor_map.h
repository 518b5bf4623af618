// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace veloz::cuda {

/// What the copy engine knows of a matrix in device memory and of the tiles that are copied from
/// it: the driver's CUtensorMap. Passed to kernels by value (__grid_constant__).
struct alignas(64) TensorMap {
  unsigned char opaque[128];
};

/// A row of a tile, in shared memory: 8 of them are what a 128-byte swizzle permutes.
constexpr int kTileRowBytes = 128;

/// A matrix whose rows are contiguous, cut into tiles of `tile_rows` rows of 128 bytes.
struct TiledMatrix {
  const void* data;   // 16-byte aligned
  DType dtype;        // bf16, int8 or fp8_e4m3
  int64_t rows;       // > 0
  int64_t columns;    // elements, > 0
  int64_t row_bytes;  // from one row to the next, a multiple of 16
  int tile_rows;      // 1 to 256
};

/// False where the matrix is not one that the copy engine takes, or there is no driver.
[[nodiscard]] bool encode_tensor_map(const TiledMatrix& matrix, TensorMap& map) noexcept;

}  // namespace veloz::cuda
