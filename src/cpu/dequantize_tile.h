// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cpu/scale_type.h"

namespace veloz::cpu {

/// A stretch of one panel of codes on its way to bf16 or fp32: (code - zero) * scale in fp32,
/// rounded to what is written. The result is what n16k2_bf16 or n16_fp32 holds (cpu/layouts.h),
/// with zeros for columns that a last step lacks.
struct DequantizeTile {
  const char* w;       // of the panel, at the step of column `begin`
  const char* scales;  // [num_groups][16] of the panel
  const char* zeros;   // [num_groups][16], int8 or uint8; null where there are none
  ScaleType scale_type;
  int64_t group;  // columns
  int64_t begin;  // columns [begin, end), where begin starts a step
  int64_t end;
  char* to;  // whole steps
};

using DequantizeFunction = void (*)(const DequantizeTile&);

/// For one dtype of codes.
struct Dequantizer {
  int64_t step_columns;  // of K, in a step of 64 bytes
  DequantizeFunction to_bf16;
  DequantizeFunction to_fp32;
};

/// Those of one instruction set.
struct DequantizeMicro {
  Dequantizer int8;
  Dequantizer fp8;
  Dequantizer uint4x2;
};

extern const DequantizeMicro kDequantizePortable;
extern const DequantizeMicro kDequantizeAvx2;
extern const DequantizeMicro kDequantizeAvx512;
extern const DequantizeMicro kDequantizeAvx512Bf16;

}  // namespace veloz::cpu
