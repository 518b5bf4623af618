// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/quantize_layer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/fp8.h"
#include "compress/quantize/clip_search.h"
#include "compress/quantize/fold.h"

namespace veloz::compress {
namespace {

class LayerQuantizer {
 public:
  LayerQuantizer(const LayerTask& task, TensorSet tensors, std::vector<InputStatistics> statistics,
                 const Machine& machine)
      : task_(task),
        groups_(*task.groups),
        tensors_(std::move(tensors)),
        statistics_(std::move(statistics)),
        machine_(machine),
        alphas_(groups_.size()) {}

  LayerResult run() {
    // From the last group to the first: o's factors are in v's rows before v is looked at.
    for (size_t i = groups_.size(); i-- > 0;) scale(i);
    LayerResult result;
    for (const Treatment& treatment : *task_.treatments) {
      std::vector<TreatedLinear>& linears = result.linears.emplace_back();
      for (size_t i = 0; i < groups_.size(); ++i)
        for (const LinearModule& linear : groups_[i].linears)
          if (task_.is_quantized(linear.module)) linears.push_back(treat(treatment, i, linear));
    }
    result.row_factors = std::move(row_factors_);
    for (const std::string& name : changed_) result.changed[name] = std::move(tensors_.at(name));
    return result;
  }

 private:
  std::optional<ActivationFormat> activation_format(const Treatment& treatment,
                                                    size_t group) const {
    if (!treatment.activation) return std::nullopt;
    ActivationFormat format{*treatment.activation, {}};
    if (treatment.has_fixed_activation_scale) format.fixed_scale = fixed_scale(group);
    return format;
  }

  float fixed_scale(size_t group) const {
    const MagnitudeHistogram& histogram = statistics_[group].histogram();
    float range = histogram.amax();
    if (task_.activation_range == RangeMethod::percentile)
      range = histogram.percentile(task_.percentile / 100);
    if (task_.activation_range == RangeMethod::mse) range = histogram.best_fp8_range();
    // An input that was always 0 says nothing about its range; 1 keeps its zeros exact.
    return range > 0 ? range / Fp8E4M3::kMax : 1.0f;
  }

  /// Searches the factors between a group's input and its weights and folds them in.
  void scale(size_t i) {
    const InputGroup& group = groups_[i];
    const Treatment& treatment = task_.treatments->front();
    if (!treatment.scales || group.fold == FoldKind::none) return;
    ScaleProblem problem{.input = &statistics_[i],
                         .weight_format = treatment.weight,
                         .weight_range = treatment.weight_range,
                         .activation = activation_format(treatment, i),
                         .channel_of_column = group.channel_of_column};
    for (const LinearModule& linear : group.linears)
      if (task_.is_quantized(linear.module))
        problem.weights.push_back(&tensors_.at(linear.weight()));
    if (problem.weights.empty()) return;
    const ScaleChoice choice = search_scales(problem, *treatment.scales, machine_);
    alphas_[i] = choice.alpha;
    if (!choice.alpha) return;
    if (group.fold == FoldKind::linear)
      row_factors_[group.producer.module] = producer_factors(group, choice.scales);
    statistics_[i].divide_columns(
        fold_scales(group, choice.scales, task_.dtype_of, tensors_, changed_));
  }

  TreatedLinear treat(const Treatment& treatment, size_t group, const LinearModule& linear) {
    const Matrix& w = tensors_.at(linear.weight());
    const std::optional<ActivationFormat> activation = activation_format(treatment, group);
    TreatedLinear treated{{}, round(treatment, w, group)};
    const Matrix rounded = decode(treated.weight, machine_.pool);

    LinearReport& report = treated.report;
    report.module = linear.module;
    report.treatment = treatment.name;
    report.num_weights = w.rows * w.columns;
    report.stored_bytes = stored_bytes(treatment.weight, w.rows, w.columns);
    report.weight_snr_db = snr_db(w, rounded);
    report.output_error = error_of(statistics_[group].samples(), w, rounded, activation);
    report.alpha = alphas_[group];
    if (activation) report.input_scale = activation->fixed_scale;
    return treated;
  }

  QuantizedWeight round(const Treatment& treatment, const Matrix& w, size_t group) {
    const WeightFormat& format = treatment.weight;
    WeightGrids grids = treatment.rounding == Rounding::clip
                            ? clip_grids(w, statistics_[group].samples(), format, machine_)
                            : choose_grids(w, format, treatment.weight_range, machine_.pool);
    if (treatment.rounding != Rounding::gptq)
      return encode(w, std::move(grids), format, machine_.pool);
    const Matrix rounded = gptq(w, factor_of(group), grids, format, machine_);
    return encode(rounded, std::move(grids), format, machine_.pool);
  }

  /// Made once for all linears of a group, which come one after the other.
  const GptqFactor& factor_of(size_t group) {
    if (factor_group_ != group) {
      factor_ = gptq_factor(statistics_[group].hessian(), task_.gptq, machine_);
      factor_group_ = group;
    }
    return factor_;
  }

  double error_of(const Matrix& x, const Matrix& w, const Matrix& rounded,
                  const std::optional<ActivationFormat>& activation) const {
    return output_error(multiply(x, w, machine_),
                        activation ? round_activations(x, *activation) : x, rounded, machine_)
        .relative();
  }

  static double snr_db(const Matrix& w, const Matrix& rounded) {
    double signal = 0;
    double noise = 0;
    for (size_t i = 0; i < w.values.size(); ++i) {
      const auto value = static_cast<double>(w.values[i]);
      const double off = value - static_cast<double>(rounded.values[i]);
      signal += value * value;
      noise += off * off;
    }
    return noise == 0 ? std::numeric_limits<double>::infinity() : 10 * std::log10(signal / noise);
  }

  const LayerTask& task_;
  const std::vector<InputGroup>& groups_;
  TensorSet tensors_;
  std::vector<InputStatistics> statistics_;
  const Machine& machine_;
  std::vector<std::optional<double>> alphas_;  // by group
  GptqFactor factor_;                          // of group factor_group_
  std::optional<size_t> factor_group_;
  std::set<std::string> changed_;
  std::map<std::string, std::vector<float>, std::less<>> row_factors_;
};

}  // namespace

LayerResult quantize_layer(const LayerTask& task, TensorSet tensors,
                           std::vector<InputStatistics> statistics, const Machine& machine) {
  VELOZ_CHECK(task.groups->size() == statistics.size(), "{} groups, {} statistics",
              task.groups->size(), statistics.size());
  return LayerQuantizer(task, std::move(tensors), std::move(statistics), machine).run();
}

}  // namespace veloz::compress
