// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "checkpoint/quantization.h"
#include "checkpoint/tensor_source.h"

namespace veloz::compiler {

/// How one linear's weight is rounded.
struct RtnLinear {
  checkpoint::LinearScheme scheme;
  std::string tensor;          // the floating-point weight [N, K] of the source
  bool has_one_scale = false;  // all rows have the scale of the whole tensor
};

/// A floating-point source seen through a quantization: rounds to nearest (ops/quantize_weights.h)
/// when it is read, and offers the tensors of checkpoint/quantization.h for the linears given, by
/// module; all others are those of the source. Rows are made on demand, codes and scales each from
/// the same rows, so that memory does not grow with the model.
class RtnSource final : public checkpoint::TensorSource {
 public:
  /// `source` outlives it.
  RtnSource(const checkpoint::TensorSource& source, std::map<std::string, RtnLinear> linears);

  std::optional<checkpoint::TensorInfo> find(std::string_view name) const override;
  /// Throws Error(invalid_input) where a weight has values that are not finite: no scale holds
  /// them.
  void read_rows(std::string_view name, int64_t row_begin, int64_t row_end,
                 std::span<std::byte> to) const override;

 private:
  enum class Part { codes, scales, zeros };
  struct Place {
    const RtnLinear* linear;
    Part part;
  };
  /// Nothing for a tensor of the source.
  std::optional<Place> place_of(std::string_view name) const;
  Shape source_shape(const RtnLinear& linear) const;
  /// Calls f(first row, rows as fp32) for a few rows at a time.
  template <typename F>
  void for_rows(const RtnLinear& linear, int64_t row_begin, int64_t row_end, const F& f) const;
  float scale_of_tensor(const RtnLinear& linear) const;

  const checkpoint::TensorSource& source_;
  const std::map<std::string, RtnLinear> linears_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, float> tensor_scales_;  // guarded by mutex_
};

}  // namespace veloz::compiler
