// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>

#include "cuda/ptx/tensor_map.h"
#include "cuda/sim/barrier.h"
#include "cuda/sim/threads.h"

/// The simulated copy engine: tiles of 128-byte rows, swizzled as the hardware does it, by the
/// address in shared memory: bits 4 to 6 change by bits 7 to 9.
namespace veloz::cuda::sim {

/// What lies in a TensorMap.
struct MapContents {
  uint64_t magic;
  const unsigned char* data;
  int64_t rows;
  int64_t columns;
  int64_t row_bytes;
  int tile_rows;
  int element_bytes;
};
static_assert(sizeof(MapContents) <= sizeof(TensorMap));
constexpr uint64_t kMapMagic = 0x70616d726f736e74;

/// As cuTensorMapEncodeTiled: false for what the driver refuses.
inline bool encode_tensor_map(const TiledMatrix& matrix, TensorMap& map) noexcept {
  constexpr int64_t kMaxExtent = int64_t{1} << 32;
  constexpr int64_t kMaxRowBytes = int64_t{1} << 40;
  constexpr int kMaxTileRows = 256;
  constexpr int kAlignment = 16;
  const bool is_known =
      matrix.dtype == DType::bf16 || matrix.dtype == DType::int8 || matrix.dtype == DType::fp8_e4m3;
  if (!is_known || matrix.data == nullptr ||
      reinterpret_cast<uintptr_t>(matrix.data) % kAlignment != 0 || matrix.rows < 1 ||
      matrix.rows > kMaxExtent || matrix.columns < 1 || matrix.columns > kMaxExtent ||
      matrix.row_bytes % kAlignment != 0 || matrix.row_bytes < 0 ||
      matrix.row_bytes >= kMaxRowBytes || matrix.tile_rows < 1 || matrix.tile_rows > kMaxTileRows)
    return false;
  const MapContents contents{kMapMagic,
                             static_cast<const unsigned char*>(matrix.data),
                             matrix.rows,
                             matrix.columns,
                             matrix.row_bytes,
                             matrix.tile_rows,
                             static_cast<int>(dtype_bytes(matrix.dtype))};
  std::memcpy(&map, &contents, sizeof(contents));
  return true;
}

inline uint32_t swizzle_128(uint32_t address) { return address ^ ((address >> 7 & 7u) << 4); }

inline MapContents contents_of(const unsigned char* map) {
  MapContents contents;
  std::memcpy(&contents, map, sizeof(contents));
  require(contents.magic == kMapMagic, "a tensor map that was not encoded");
  return contents;
}

inline void deliver_tile(const CopyUnderWay& copy) {
  const MapContents matrix = contents_of(copy.map);
  const uint32_t base = shared_address_of(copy.to);
  for (int r = 0; r < matrix.tile_rows; ++r) {
    const int64_t row = int64_t{copy.row} + r;
    for (int byte = 0; byte < kTileRowBytes; ++byte) {
      const int64_t column = copy.column + int64_t{byte} / matrix.element_bytes;
      const bool is_inside =
          row >= 0 && row < matrix.rows && column >= 0 && column < matrix.columns;
      const uint32_t to = swizzle_128(base + static_cast<uint32_t>(r * kTileRowBytes + byte));
      *static_cast<unsigned char*>(shared_pointer(to)) =
          is_inside ? matrix.data[row * matrix.row_bytes +
                                  int64_t{copy.column} * matrix.element_bytes + byte]
                    : 0;
    }
  }
}

}  // namespace veloz::cuda::sim

namespace veloz::cuda {

enum class Reuse { once, some };

inline uint64_t cache_policy(Reuse) { return 0; }

inline void load_tile(void* shared, const TensorMap* map, int column, int row,
                      SharedBarrier* barrier, uint64_t) {
  const sim::MapContents matrix = sim::contents_of(map->opaque);
  const int bytes = matrix.tile_rows * kTileRowBytes;
  sim::require(sim::shared_address_of(shared) % 1024 == 0,
               "a swizzled tile begins at a multiple of 1024 bytes");
  sim::load_state(barrier);
  sim::CopyUnderWay copy{barrier, bytes, {}, shared, column, row, sim::deliver_tile};
  std::memcpy(copy.map, map->opaque, sizeof(copy.map));
  sim::copies_under_way().push_back(copy);
  // The hardware may write at any time from now on.
  std::memset(shared, 0xFF, static_cast<size_t>(bytes));
}

inline void prefetch_map(const TensorMap*) {}

}  // namespace veloz::cuda
