// SPDX-License-Identifier: Apache-2.0
#include "compiler/rtn_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "base/error.h"
#include "checkpoint/convert.h"
#include "compiler/quantized_tensors.h"
#include "ops/quantize_weights.h"

namespace veloz::compiler {
namespace {

using checkpoint::TensorInfo;

constexpr int64_t kElementsAtATime = int64_t{1} << 18;  // stay in the second-level cache

}  // namespace

RtnSource::RtnSource(const checkpoint::TensorSource& source,
                     std::map<std::string, RtnLinear> linears)
    : source_(source), linears_(std::move(linears)) {
  for (const auto& [module, linear] : linears_)
    VELOZ_CHECK(!linear.scheme.has_permutation && !linear.scheme.input_scale,
                "round to nearest knows no order of columns and no activations");
}

std::optional<RtnSource::Place> RtnSource::place_of(std::string_view name) const {
  static constexpr std::array<std::pair<std::string_view, Part>, 3> kParts = {
      {{kCodesTensor, Part::codes}, {kScaleTensor, Part::scales}, {kZeroTensor, Part::zeros}}};
  for (const auto& [suffix, part] : kParts) {
    if (!name.ends_with(suffix)) continue;
    const auto found = linears_.find(std::string(name.substr(0, name.size() - suffix.size())));
    if (found == linears_.end()) continue;
    if (part == Part::zeros && !found->second.scheme.has_zeros) continue;
    return Place{&found->second, part};
  }
  return std::nullopt;
}

Shape RtnSource::source_shape(const RtnLinear& linear) const {
  const std::optional<TensorInfo> info = source_.find(linear.tensor);
  VELOZ_CHECK(info.has_value() && info->shape.rank() == 2, "no matrix \"{}\"", linear.tensor);
  return info->shape;
}

std::optional<TensorInfo> RtnSource::find(std::string_view name) const {
  const std::optional<Place> place = place_of(name);
  if (!place) return source_.find(name);
  const RtnLinear& linear = *place->linear;
  const Shape shape = source_shape(linear);
  const QuantizedShapes shapes = quantized_shapes(linear.scheme, shape[0], shape[1]);
  switch (place->part) {
    case Part::codes:
      return TensorInfo{linear.scheme.weight, shapes.codes};
    case Part::scales:
      return TensorInfo{linear.scheme.scale_dtype, shapes.scales};
    case Part::zeros:
      break;
  }
  return TensorInfo{zero_dtype(linear.scheme), shapes.scales};
}

template <typename F>
void RtnSource::for_rows(const RtnLinear& linear, int64_t row_begin, int64_t row_end,
                         const F& f) const {
  const TensorInfo info = *source_.find(linear.tensor);
  const int64_t columns = info.shape[1];
  const int64_t rows_at_a_time = std::max<int64_t>(1, kElementsAtATime / columns);
  std::vector<std::byte> raw;
  std::vector<float> rows;
  for (int64_t begin = row_begin; begin < row_end; begin += rows_at_a_time) {
    const int64_t end = std::min(begin + rows_at_a_time, row_end);
    const auto count = static_cast<size_t>((end - begin) * columns);
    raw.resize(count * dtype_bytes(info.dtype));
    rows.resize(count);
    source_.read_rows(linear.tensor, begin, end, raw);
    const checkpoint::NonFinite found =
        checkpoint::convert(info.dtype, raw, DType::fp32, std::as_writable_bytes(std::span(rows)));
    if (found.num_nan + found.num_inf > 0)
      throw Error(ErrorKind::invalid_input,
                  fmt::format("tensor \"{}\" has {} NaN and {} infinite values in rows {} to {}, "
                              "which no scale holds",
                              linear.tensor, found.num_nan, found.num_inf, begin, end - 1),
                  "the checkpoint is damaged; to keep this layer as it is, leave it out with "
                  "--quant-layer PATTERN=none");
    f(begin, TensorView(rows.data(), DType::fp32, {end - begin, columns}));
  }
}

float RtnSource::scale_of_tensor(const RtnLinear& linear) const {
  {
    const std::scoped_lock lock(mutex_);
    const auto found = tensor_scales_.find(linear.tensor);
    if (found != tensor_scales_.end()) return found->second;
  }
  // Several threads may come here at once; they find the same.
  float amax = 0;
  for_rows(linear, 0, source_shape(linear)[0], [&](int64_t, const TensorView& rows) {
    const auto* const values = rows.as<const float>();
    for (int64_t i = 0; i < rows.shape.num_elements(); ++i)
      amax = std::max(amax, std::abs(values[i]));
  });
  const float scale = ops::symmetric_scale(amax, linear.scheme.weight);
  const std::scoped_lock lock(mutex_);
  return tensor_scales_[linear.tensor] = scale;
}

void RtnSource::read_rows(std::string_view name, int64_t row_begin, int64_t row_end,
                          std::span<std::byte> to) const {
  const std::optional<Place> place = place_of(name);
  if (!place) {
    source_.read_rows(name, row_begin, row_end, to);
    return;
  }
  const RtnLinear& linear = *place->linear;
  const checkpoint::LinearScheme& scheme = linear.scheme;
  const int64_t columns = source_shape(linear)[1];
  const float tensor_scale = linear.has_one_scale ? scale_of_tensor(linear) : 0;
  std::vector<std::byte> codes_bytes, scales_bytes, zeros_bytes;
  const auto view_of = [](std::vector<std::byte>& bytes, DType dtype, const Shape& shape) {
    bytes.resize(static_cast<size_t>(shape.num_elements()) * dtype_bytes(dtype));
    return TensorView(bytes.data(), dtype, shape);
  };
  size_t done = 0;
  for_rows(linear, row_begin, row_end, [&](int64_t, const TensorView& rows) {
    const QuantizedShapes shapes = quantized_shapes(scheme, rows.shape[0], columns);
    const TensorView scales = view_of(scales_bytes, scheme.scale_dtype, shapes.scales);
    const TensorView zeros =
        scheme.has_zeros ? view_of(zeros_bytes, zero_dtype(scheme), shapes.scales) : TensorView();
    if (linear.has_one_scale)
      for (int64_t row = 0; row < rows.shape[0]; ++row)
        ops::store_scale(scales, row, 0, tensor_scale);
    else
      ops::choose_scales(rows, scheme.weight, scales, zeros);
    if (place->part == Part::codes)
      ops::encode_weights(rows, scales, zeros, view_of(codes_bytes, scheme.weight, shapes.codes));
    const std::vector<std::byte>& made = place->part == Part::codes    ? codes_bytes
                                         : place->part == Part::scales ? scales_bytes
                                                                       : zeros_bytes;
    VELOZ_CHECK(done + made.size() <= to.size(), "rows {} to {} of \"{}\" into {} bytes", row_begin,
                row_end, name, to.size());
    std::ranges::copy(made, to.begin() + static_cast<std::ptrdiff_t>(done));
    done += made.size();
  });
}

}  // namespace veloz::compiler
