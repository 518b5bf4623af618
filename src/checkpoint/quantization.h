// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/dtype.h"

namespace veloz::checkpoint {

/// How one linear of a model is quantized: what ops/quantized_linear.h needs to know.
struct LinearScheme {
  DType weight = DType::int8;  // int8, fp8_e4m3 or uint4x2
  int64_t group = 0;           // columns that share a scale; 0: the whole row
  bool has_zeros = false;
  DType scale_dtype = DType::fp32;  // of the weight's scales
  /// int8 or fp8_e4m3: activations are quantized too (quantized_linear); nothing: they stay
  /// (weight_only_linear).
  std::optional<DType> activation;
  int64_t activation_group = 0;       // columns that share a scale; 0: the whole row
  std::optional<double> input_scale;  // fixed scale of the activations; nothing: from each row
  /// The columns of the weight are those of x in another order (GPTQ's act-order): column k of the
  /// weight belongs to column permutation[k] of x.
  bool has_permutation = false;

  bool operator==(const LinearScheme&) const = default;
};

/// Scales of an fp8_e4m3 KV cache, one per layer.
struct KvScales {
  double k = 1;
  double v = 1;
};

/// How a model is quantized: read from a checkpoint, or asked for at a build.
///
/// The tensors of a quantized linear have these names and types whatever the file's format, in the
/// TensorSource that comes with the plan (M is the module, "model.layers.0.self_attn.q_proj"):
///   M.weight        codes, [N, K] int8 or fp8_e4m3, or [N, K / 2] uint4x2
///   M.weight_scale  [N, G] scale_dtype, also where the file has one scale for all rows
///   M.weight_zero   [N, G], where has_zeros: uint8, of int8 weights int8
///   M.permutation   [K] int32, where has_permutation
struct QuantPlan {
  std::string name;                             // "fp8 (modelopt)", "int8"; "" where nothing is
  std::map<std::string, LinearScheme> linears;  // by module; others stay as they are
  std::optional<DType> kv_cache;                // fp8_e4m3 or int8; nothing: the activations' dtype
  std::vector<KvScales> kv_scales;              // per layer, of fp8_e4m3; or none: 1

  bool is_empty() const { return linears.empty() && !kv_cache; }
};

}  // namespace veloz::checkpoint
