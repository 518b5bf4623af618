// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace veloz::cpu {

// One row of each op that maps rows to rows. A row's result depends on that row alone, and sums
// over it have one order, so neither batch nor threads change a bit.

/// The norms of ops/norm.h. y may be x, sum may be x or delta.
struct NormRow {
  const void* x;
  const void* delta;  // null: no residual, and no sum
  void* sum;
  const float* gamma;
  const float* beta;  // layer_norm only
  void* y;
  int64_t width;  // >= 1
  float eps;
};

/// y = a + b; y may be either.
struct AddRow {
  const void* a;
  const void* b;
  void* y;
  int64_t width;
};

/// y = f(x), or f(x) * up; y may be x.
struct ActRow {
  const void* x;
  const void* up;  // gated_act only
  void* y;
  int64_t width;
};

/// Rotates the first rotary_dim channels of each head; y may be x.
struct RopeRow {
  const void* x;
  const float* cosines;  // [rotary_dim / 2]
  const float* sines;
  void* y;
  int64_t num_heads;
  int64_t head_dim;
  int64_t rotary_dim;
};

/// codes = x * inverse, saturated and rounded as ops/quantize.h says; x and inverse are finite.
struct QuantizeRow {
  const void* x;
  uint8_t* codes;
  int64_t width;
  float inverse;
};

inline constexpr int64_t kNumActivations = 4;  // as ops::Activation numbers them

/// For rows of one dtype.
struct RowMicro {
  void (*rms_norm)(const NormRow&);
  void (*layer_norm)(const NormRow&);
  void (*add)(const AddRow&);
  void (*act[kNumActivations])(const ActRow&);
  void (*gated_act[kNumActivations])(const ActRow&);
  void (*rope_neox)(const RopeRow&);
  void (*rope_interleaved)(const RopeRow&);
  /// The largest magnitude; infinity or NaN where there is one.
  float (*largest)(const void* x, int64_t width);
  void (*quantize_int8)(const QuantizeRow&);
  void (*quantize_fp8)(const QuantizeRow&);
};

/// The micro-kernels of one instruction set.
struct RowMicros {
  RowMicro fp32;
  RowMicro bf16;
};

extern const RowMicros kRowsPortable;
extern const RowMicros kRowsAvx2;
extern const RowMicros kRowsAvx512;

}  // namespace veloz::cpu
