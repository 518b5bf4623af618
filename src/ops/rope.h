// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "ops/op.h"

namespace veloz::ops {

class ShapeRule;

/// Rotary position embedding (arXiv:2104.09864), split in two so that a step computes its angles
/// once.
///
/// rope_angles(positions) {rotary_dim, theta, scaling="none"|"linear"|"llama3", factor,
/// low_freq_factor,
///   high_freq_factor, original_max_position_embeddings} -> angles
/// positions [T] int32; angles [T, rotary_dim] fp32: cosines in the first half of a row, sines in
/// the second. inv_freq[i] = theta^(-2i / rotary_dim) in fp32 as Hugging Face computes it; "linear"
/// divides it by factor; "llama3" divides wavelengths beyond original_max/low_freq_factor by
/// factor, keeps those below original_max/high_freq_factor and blends between. The angle is
/// position * inv_freq in fp32.
struct RopeAnglesArgs {
  TensorView positions;
  TensorView angles;
  int64_t rotary_dim = 0;
  double theta = 0;
  std::string_view scaling;
  double factor = 1;
  double low_freq_factor = 1;
  double high_freq_factor = 1;
  int64_t original_max_position_embeddings = 0;

  static RopeAnglesArgs from(const OpCall& call);
};

/// inv_freq of one pair under the scaling described above.
float rope_inv_freq(const RopeAnglesArgs& args, int64_t pair);

enum class RopeStyle : uint8_t {
  neox,         // rotates (x[i], x[i + rotary_dim/2]): Llama, Qwen
  interleaved,  // rotates (x[2i], x[2i+1]): GPT-J
};

/// rope(x, angles) {num_heads, head_dim, style="neox"|"interleaved"} -> y
/// x, y [T, num_heads * head_dim] fp32 or bf16, x's rows may be strided; angles as above. The first
/// rotary_dim channels of each head are rotated in fp32 and rounded once, the others copied. y may
/// be x.
struct RopeArgs {
  TensorView x;
  TensorView angles;
  TensorView y;
  int64_t num_heads = 0;
  int64_t head_dim = 0;
  RopeStyle style = RopeStyle::neox;

  static RopeArgs from(const OpCall& call);
};

/// The attribute style.
RopeStyle rope_style(const OpCall& call);
/// The operand against the rows and heads that its angles rotate.
void expect_angles(const ShapeRule& rule, size_t operand, const Dim& rows, int64_t head_dim);
/// The plain implementation of `rope`.
void rope_reference(const RopeArgs& args);
/// How far a kernel's y may be from the reference's in row t. Two fp32 products and a sum; a
/// rotation keeps x1^2 + x2^2, so that the pair may be read from y or, where y has gone on, from x.
double rope_tolerance(const RopeArgs& args, int64_t t, int64_t column);
/// The same of a y of this magnitude whose pair, before or after its rotation, is in `pairs`.
double rotation_tolerance(const RopeArgs& args, const TensorView& pairs, int64_t t, int64_t column,
                          double magnitude);

OpDef rope_angles_def();
OpDef rope_def();

}  // namespace veloz::ops
