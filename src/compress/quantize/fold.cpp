// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/fold.h"

#include "base/dtype.h"
#include "base/error.h"

namespace veloz::compress {
namespace {

float round_to(float value, DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return static_cast<float>(BFloat16(value));
    case DType::fp16:
      return fp16_to_fp32(fp32_to_fp16(value));
    default:
      return value;
  }
}

/// Gains divided by the scales and rounded; the scales follow.
std::vector<float> fold_into_norm(const InputGroup& group, std::span<const float> scales,
                                  const std::function<DType(std::string_view)>& dtype_of,
                                  TensorSet& tensors) {
  std::vector<float> exact(scales.begin(), scales.end());
  Matrix& gain = tensors.at(group.norm_tensors[0]);
  const DType dtype = dtype_of(group.norm_tensors[0]);
  for (size_t k = 0; k < exact.size(); ++k) {
    const float divided = round_to(gain.values[k] / exact[k], dtype);
    // A gain of 0, or one that would vanish, has no scale to follow.
    exact[k] = divided == 0 ? 1.0f : gain.values[k] / divided;
    if (divided != 0) gain.values[k] = divided;
  }
  if (group.norm_tensors.size() > 1) {
    Matrix& bias = tensors.at(group.norm_tensors[1]);
    for (size_t k = 0; k < exact.size(); ++k) bias.values[k] /= exact[k];
  }
  return exact;
}

void fold_into_linear(const InputGroup& group, std::span<const float> scales, TensorSet& tensors) {
  Matrix& w = tensors.at(group.producer.weight());
  const std::vector<float> of_row = producer_factors(group, scales);
  for (int64_t n = 0; n < w.rows; ++n)
    for (int64_t k = 0; k < w.columns; ++k) w.row(n)[k] /= of_row[static_cast<size_t>(n)];
  if (group.producer.bias.empty()) return;
  Matrix& bias = tensors.at(group.producer.bias);
  for (size_t n = 0; n < of_row.size(); ++n) bias.values[n] /= of_row[n];
}

}  // namespace

std::vector<float> producer_factors(const InputGroup& group, std::span<const float> scales) {
  std::vector<float> factors(static_cast<size_t>(group.producer.rows), 1.0f);
  for (size_t k = 0; k < scales.size(); ++k) {
    const size_t row =
        group.channel_of_column.empty() ? k : static_cast<size_t>(group.channel_of_column[k]);
    factors[row] = scales[k];
  }
  return factors;
}

std::vector<float> fold_scales(const InputGroup& group, std::span<const float> scales,
                               const std::function<DType(std::string_view)>& dtype_of,
                               TensorSet& tensors, std::set<std::string>& changed) {
  std::vector<float> exact(scales.begin(), scales.end());
  switch (group.fold) {
    case FoldKind::norm:
      exact = fold_into_norm(group, scales, dtype_of, tensors);
      changed.insert(group.norm_tensors.begin(), group.norm_tensors.end());
      break;
    case FoldKind::linear:
      fold_into_linear(group, scales, tensors);
      changed.insert(group.producer.weight());
      if (!group.producer.bias.empty()) changed.insert(group.producer.bias);
      break;
    case FoldKind::none:
      VELOZ_CHECK(false, "nothing takes the scales of this input");
  }
  for (const LinearModule& linear : group.linears) {
    Matrix& w = tensors.at(linear.weight());
    for (int64_t n = 0; n < w.rows; ++n)
      for (int64_t k = 0; k < w.columns; ++k) w.row(n)[k] *= exact[static_cast<size_t>(k)];
    changed.insert(linear.weight());
  }
  return exact;
}

}  // namespace veloz::compress
