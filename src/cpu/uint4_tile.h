// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/gemm_tile.h"
#include "cpu/scale_type.h"

namespace veloz::cpu {

/// A panel of 4-bit weights is a row of steps of 64 bytes, 16 channels x 8 of K: a channel's four
/// bytes hold k to k + 3 in their low halves and k + 4 to k + 7 in their high ones, so that one
/// load, a mask and a shift give two registers of unsigned bytes, ready to be multiplied in quads.
inline constexpr int64_t kUint4StepColumns = 8;
/// Steps after which sums of 16 bits are widened (15 * 128 * 32 products of 8 + 8 bits would not
/// overflow, one more step could); groups are multiples of it.
inline constexpr int64_t kUint4ChunkSteps = 4;

/// sums[r][c] = x_scales[r] * sum_g scales[g][c] * (x[r] . (w[c] - zeros[g][c]) over group g) for a
/// few rows and one panel or two: exact integers within a group, one fused multiply-add a group, in
/// their order.
struct Uint4Tile {
  const void* x;  // [K / 4][rows][4] int8
  const int32_t*
      corrections;         // [num_groups][rows]: -8 or, with zeros, -1 times the group's sum of x
  const float* x_scales;   // of the rows
  int64_t x_scale_stride;  // in floats
  const void* w;           // [K / 8][16][4] bytes of each panel
  ptrdiff_t w_stride;      // bytes from panel to panel
  const void* scales;      // [num_groups][16] of each panel
  ScaleType scale_type;
  const uint8_t* zeros;  // [num_groups][16] of each panel; null: all are 8
  int64_t num_groups;
  int64_t chunks_per_group;
  const char* prefetch;        // of the first of as many panels; null: nothing is asked for
  ptrdiff_t prefetch_step;     // bytes from step to step
  const char* scale_prefetch;  // likewise, group by group; may be null
  bool prefetch_is_far;        // it need not come nearer than the second-level cache
  float* sums;                 // [rows][kUint4SumsStride]
};
inline constexpr int64_t kUint4SumsStride = 2 * kPanelWidth;

/// Rows on their way into the order of a tile.
struct Uint4Rows {
  const int8_t* x;   // [num_rows][K]
  int64_t x_stride;  // from row to row
  int64_t num_rows;
  int64_t num_groups;
  int64_t group;
  int32_t factor;        // of the sums: -8 or -1
  int8_t* packed;        // [K / 4][num_rows][4]; null where it is not wanted
  int32_t* corrections;  // [num_groups][num_rows]
};

inline constexpr int64_t kMaxUint4Rows = 12;

/// The micro-kernels of one instruction set.
struct Uint4Micro {
  int64_t max_rows;       // of a tile over one panel, at most kMaxUint4Rows
  int64_t max_pair_rows;  // of a tile over two, for more rows than that; 0: there are none
  void (*tiles[kMaxUint4Rows])(const Uint4Tile&);       // [rows - 1]
  void (*pair_tiles[kMaxUint4Rows])(const Uint4Tile&);  // [rows - 1]
  void (*pack_rows)(const Uint4Rows&);
  void (*store)(const GemmStore&);
};

extern const Uint4Micro kUint4Portable;
extern const Uint4Micro kUint4Avx2;
extern const Uint4Micro kUint4Avx2Vnni;
extern const Uint4Micro kUint4Avx512;
extern const Uint4Micro kUint4Avx512Vnni;
/// With taller tiles, for processors whose products wait for the same units as the taking apart of
/// codes, which so many rows share: Intel's, a tenth faster with them.
extern const Uint4Micro kUint4Avx512VnniTall;

}  // namespace veloz::cpu
