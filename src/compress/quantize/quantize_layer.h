// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "compress/machine.h"
#include "compress/quantize/input_statistics.h"
#include "compress/quantize/model_structure.h"
#include "compress/quantize/recipe.h"
#include "compress/quantize/tensor_set.h"

namespace veloz::compress {

/// What became of one linear under one treatment.
struct LinearReport {
  std::string module;
  std::string treatment;
  int64_t num_weights = 0;
  int64_t stored_bytes = 0;
  double weight_snr_db = 0;       // of the weights: signal to rounding noise; infinite: none
  double output_error = 0;        // squared, as a share of the outputs' squares, on sampled inputs
  std::optional<double> alpha{};  // of the scales searched for its inputs; nothing: none are better
  std::optional<float> input_scale{};  // of a fixed range
};

struct TreatedLinear {
  LinearReport report;
  QuantizedWeight weight;
};

struct LayerResult {
  /// By treatment, then in the order of the slice's groups.
  std::vector<std::vector<TreatedLinear>> linears;
  /// Tensors that took part in scaling, as they are now: norms, biases, linears that stay.
  TensorSet changed;
  /// Linears whose outputs were divided, by module: factors of their rows.
  std::map<std::string, std::vector<float>, std::less<>> row_factors;
};

/// Which tensors may be touched and how.
struct LayerTask {
  const std::vector<InputGroup>* groups = nullptr;
  const std::vector<Treatment>* treatments = nullptr;  // the first one decides on scales
  /// Of modules that are quantized; others stay as they are.
  std::function<bool(std::string_view module)> is_quantized;
  /// Dtype a tensor is stored in: what a factor was folded into is rounded to it.
  std::function<DType(std::string_view tensor)> dtype_of;
  RangeMethod activation_range = RangeMethod::amax;
  double percentile = 99.9;
  GptqOptions gptq{};
};

/// Quantizes the linears of one slice. `tensors` are the slice's, `statistics` those of the groups'
/// inputs, in order; both are used up. The float model that is left computes what it did, but for
/// the rounding of what factors were folded into.
LayerResult quantize_layer(const LayerTask& task, TensorSet tensors,
                           std::vector<InputStatistics> statistics, const Machine& machine);

}  // namespace veloz::compress
