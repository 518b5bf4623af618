// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace veloz::cpu {

/// Output channels of a panel: one ZMM register of fp32 sums.
inline constexpr int64_t kPanelWidth = 16;
/// A panel is a row of steps of 64 bytes: 16 channels x 4 bytes, one fp32 or two bf16 of K.
inline constexpr int64_t kStepBytes = 64;
inline constexpr int64_t kStepBytesX = 4;  // what a step takes of a row of x

/// sums[r][c] += x[r] . w[c] over some steps of K, for a few rows and panels: the inside of
/// `linear` and, with the cache's blocks as weights, of attention. Every output element is one
/// chain of fused multiply-adds in step order, whatever the tile; within a step of bf16 the odd
/// element comes first, as vdpbf16ps has it.
struct GemmTile {
  const void* x;            // [rows][...], at this block's first step
  ptrdiff_t x_stride;       // bytes from row to row
  const void* w;            // first panel, at this block's first step
  ptrdiff_t w_stride;       // bytes from panel to panel
  ptrdiff_t w_step;         // bytes from step to step; kStepBytes in packed weights
  int64_t num_steps;        // whole ones
  bool has_half_step;       // bf16, odd K: one more element of x, paired with a zero
  bool continues;           // sums hold the chain so far; otherwise it starts at zero
  float* sums;              // [rows][sums_stride]
  int64_t sums_stride;      // floats, a multiple of the panel width
  const char* prefetch;     // first of some panels that a later tile reads
  int64_t prefetch_panels;  // each step asks for one step of each; may be 0
};

/// y[r][c] = sums[r][c] (+ bias[c]), rounded once.
struct GemmStore {
  const float* sums;  // [rows][sums_stride]
  int64_t sums_stride;
  int64_t num_rows;
  int64_t num_columns;  // of y: the last panel may be cut
  const float* bias;    // [num_columns] or null
  void* y;
  ptrdiff_t y_stride;  // bytes from row to row
  bool is_bf16;        // y's dtype; fp32 otherwise
};

using GemmTileFunction = void (*)(const GemmTile&);

inline constexpr int64_t kMaxTileRows = 6;
inline constexpr int64_t kMaxTilePanels = 4;

/// The micro-kernels of one instruction set and weight dtype.
struct GemmMicro {
  int64_t max_rows;                                      // of a tile, at most kMaxTileRows
  int64_t max_panels;                                    // of a tile, at most kMaxTilePanels
  GemmTileFunction tiles[kMaxTileRows][kMaxTilePanels];  // [rows - 1][panels - 1]
  void (*store)(const GemmStore&);                       // null of those that attention alone has
};

// x and weights in fp32; in bf16, widened to fp32; x in fp32 and weights in bf16, 16 to a step.
extern const GemmMicro kGemmPortableFp32;
extern const GemmMicro kGemmPortableBf16;
extern const GemmMicro kGemmPortableFp32ByBf16;
extern const GemmMicro kGemmAvx2Fp32;
extern const GemmMicro kGemmAvx2Bf16;
extern const GemmMicro kGemmAvx2Fp32ByBf16;
extern const GemmMicro kGemmAvx512Fp32;
extern const GemmMicro kGemmAvx512Bf16;
extern const GemmMicro kGemmAvx512Fp32ByBf16;
extern const GemmMicro kGemmAvx512DotBf16;  // vdpbf16ps
// A step of x is two int16, of a panel 16 pairs of int8; sums are int32 in the place of floats.
extern const GemmMicro kGemmPortableInt16ByInt8;
extern const GemmMicro kGemmAvx2Int16ByInt8;
extern const GemmMicro kGemmAvx512Int16ByInt8;
extern const GemmMicro kGemmAvx512DotInt16ByInt8;  // vpdpwssd

}  // namespace veloz::cpu
