// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace veloz::cpu {

/// Output channels of a panel: one ZMM register of fp32 sums.
inline constexpr int64_t kPanelWidth = 16;
/// A panel is a row of steps of 64 bytes: 16 channels x 4 bytes, one fp32, two bf16 or four codes
/// of K.
inline constexpr int64_t kStepBytes = 64;
/// How far ahead of itself a product asks for weights that it reads once, in order.
inline constexpr int64_t kReadAheadBytes = 8192;
/// What a step of unquantized weights, or of int8 codes, takes of a row of x.
inline constexpr int64_t kStepBytesX = 4;

/// Weights whose sums over K are scaled group by group.
struct GemmGroups {
  int64_t steps = 0;                // of a group; 0: there are no groups
  const float* w_scales = nullptr;  // [panels][groups][16], at this block's first group
  int64_t w_scales_stride = 0;      // floats from panel to panel
  const float* x_scales = nullptr;  // [rows][groups], at this block's first group
  int64_t x_scales_stride = 0;      // floats from row to row
};

/// sums[r][c] += x[r] . w[c] over some steps of K, for a few rows and panels: the inside of
/// `linear` and its quantized forms and, with the cache's blocks as weights, of attention. Every
/// output element is one chain of fused multiply-adds in step order, whatever the tile; within a
/// step of bf16 the odd element comes first, as vdpbf16ps has it. With groups, the sum of each is a
/// chain of its own, and sums is the chain of sum * w_scale * x_scale over the groups.
struct GemmTile {
  const void* x;            // [rows][...], at this block's first step
  ptrdiff_t x_stride;       // bytes from row to row
  const void* w;            // first panel, at this block's first step
  ptrdiff_t w_stride;       // bytes from panel to panel
  ptrdiff_t w_step;         // bytes from step to step; kStepBytes in packed weights
  int64_t num_steps;        // whole ones, and whole groups of them
  int64_t tail_bytes = 0;   // of x after them, less than a step takes; what is missing is zero
  bool continues;           // sums hold the chain so far; otherwise it starts at zero
  float* sums;              // [rows][sums_stride]; int32 where codes are integers
  int64_t sums_stride;      // elements, a multiple of the panel width
  GemmGroups groups = {};   // for the micro-kernels of grouped weights
  const char* prefetch;     // first of some panels that a later tile reads
  int64_t prefetch_panels;  // each step asks for one line of each; may be 0
  ptrdiff_t prefetch_stride = 0;         // bytes from panel to panel
  ptrdiff_t prefetch_step = kStepBytes;  // bytes from step to step
  bool prefetch_is_far = false;          // it need not come nearer than the second-level cache
};

inline constexpr int kMaxPassRows = 16;
/// sums[r][c] = x[r] . w[c] over all of K, for one panel and all rows: each line of the panel is
/// read once, as fast as memory gives it. The chains are those of tiles; of a single row there is a
/// pass where sums are integers.
struct GemmPass {
  const std::byte* x;  // [num_steps][rows][step_bytes_x]
  const std::byte* w;  // [num_steps][kStepBytes]
  int64_t num_steps;   // what is missing of the last one is zero in x
  float* sums;         // [rows][kPanelWidth]; int32 where codes are integers
};

/// Rows on their way into the order of a pass.
struct GemmPassRows {
  const std::byte* x;
  ptrdiff_t x_stride;  // bytes from row to row
  int64_t num_rows;    // up to kMaxPassRows
  int64_t row_bytes;
  std::byte* packed;  // [ceil_div(row_bytes, step_bytes_x)][num_rows][step_bytes_x]; what is
                      // missing of the last step becomes zero
};

/// y[r][c] = (sums[r][c] + row_offsets[r]) * w_scales[c] * x_scales[r] + bias[c], each operation
/// rounded to fp32 and the result once more to y's dtype; what is null is left out.
struct GemmStore {
  const float* sums = nullptr;  // [rows][sums_stride]; int32 where codes are integers
  int64_t sums_stride = 0;
  int64_t num_rows = 0;
  int64_t num_columns = 0;               // of y: the last panel may be cut
  const int32_t* row_offsets = nullptr;  // [num_rows], of integer sums alone
  const float* w_scales = nullptr;       // [num_columns]
  const float* x_scales = nullptr;       // [num_rows], x_scales_stride apart
  int64_t x_scales_stride = 0;
  const float* bias = nullptr;  // [num_columns]
  void* y = nullptr;
  ptrdiff_t y_stride = 0;  // bytes from row to row
  bool is_bf16 = false;    // y's dtype; fp32 otherwise
};

/// Turns a stretch of one panel's codes into the panel that other micro-kernels read.
struct GemmExpand {
  const char* w;      // of one panel, at the first step
  int64_t num_steps;  // of codes
  char* to;
};

using GemmTileFunction = void (*)(const GemmTile&);
struct GemmExpansion;

inline constexpr int64_t kMaxTileRows = 6;
inline constexpr int64_t kMaxTilePanels = 4;

/// The micro-kernels of one instruction set and weight dtype.
struct GemmMicro {
  int64_t max_rows;      // of a tile, at most kMaxTileRows
  int64_t max_panels;    // of a tile, at most kMaxTilePanels
  int64_t step_bytes_x;  // what a step takes of a row of x
  bool runs_ahead;       // a single tile asks for its lines before it comes to them
  GemmTileFunction tiles[kMaxTileRows][kMaxTilePanels];  // [rows - 1][panels - 1]
  void (*store)(const GemmStore&);
  void (*passes[kMaxPassRows])(const GemmPass&) = {};  // [rows - 1]; null: tiles do better
  void (*pack_rows)(const GemmPassRows&) = nullptr;    // for them
  /// A row of `count` elements of x in the order and width that tiles read, filled up with zeros to
  /// a whole step; null: tiles read x itself.
  void (*widen)(const void* x, int64_t count, void* to) = nullptr;
  const GemmExpansion* expansion = nullptr;  // for many rows, where there is a faster way
};

/// A second way for many rows: the codes of a block are expanded once, and each tile of rows reads
/// the result. Both ways add in the same order.
struct GemmExpansion {
  void (*expand)(const GemmExpand&);
  const GemmMicro* micro;  // for the expanded panels; several of its steps are one of the codes
  int64_t min_tiles = 7;   // of micro: fewer convert the codes themselves at less cost
};

/// The micro-kernels of fp8 x fp8, x being widened: weights with one scale a row, and with groups.
struct Fp8Micro {
  const GemmMicro* whole;
  const GemmMicro* grouped;
};

// x and weights in fp32; in bf16, widened to fp32; x in fp32 and weights in bf16, 16 to a step.
extern const GemmMicro kGemmPortableFp32;
extern const GemmMicro kGemmPortableBf16;
extern const GemmMicro kGemmPortableFp32ByBf16;
extern const GemmMicro kGemmAvx2Fp32;
extern const GemmMicro kGemmAvx2Bf16;  // by rows of fp32
extern const GemmMicro kGemmAvx2Fp32ByBf16;
extern const GemmMicro kGemmAvx512Fp32;
extern const GemmMicro kGemmAvx512Bf16;  // by rows of fp32
extern const GemmMicro kGemmAvx512Fp32ByBf16;
extern const GemmMicro kGemmAvx512DotBf16;  // vdpbf16ps
// A step of x is two int16, of a panel 16 pairs of int8; sums are int32 in the place of floats.
extern const GemmMicro kGemmPortableInt16ByInt8;
extern const GemmMicro kGemmAvx2Int16ByInt8;
extern const GemmMicro kGemmAvx512Int16ByInt8;
extern const GemmMicro kGemmAvx512DotInt16ByInt8;  // vpdpwssd

// int8 by int8: sums are int32 and weights code + 128.
extern const GemmMicro kGemmPortableInt8;
extern const GemmMicro kGemmAvx2Int8;
extern const GemmMicro kGemmAvx2DotInt8;  // vpdpbusd
extern const GemmMicro kGemmAvx512Int8;
extern const GemmMicro kGemmAvx512DotInt8;       // vpdpbusd
extern const GemmMicro kGemmAvx512DotInt8Ahead;  // likewise; a single row is asked for too

extern const Fp8Micro kFp8Portable;
extern const Fp8Micro kFp8Avx2;
extern const Fp8Micro kFp8Avx512;
extern const Fp8Micro kFp8Avx512Bf16;     // decodes by tables
extern const Fp8Micro kFp8Avx512DotBf16;  // likewise, and vdpbf16ps

}  // namespace veloz::cpu
