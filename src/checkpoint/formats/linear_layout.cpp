// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/linear_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/numeric.h"
#include "checkpoint/formats/module_tensors.h"
#include "checkpoint/formats/row_linear.h"

namespace veloz::checkpoint {
namespace {

constexpr std::byte kInt8Offset{128};  // of packed 8-bit codes

template <typename T>
LinearPart part_of(std::string name, DType dtype, Shape shape, std::span<const T> values) {
  LinearPart part{std::move(name), dtype, shape, {}, {}};
  const auto bytes = std::as_bytes(values);
  part.owned.assign(bytes.begin(), bytes.end());
  part.data = part.owned;
  return part;
}

LinearPart part_of(std::string name, DType dtype, Shape shape, std::vector<std::byte> owned) {
  LinearPart part{std::move(name), dtype, shape, {}, std::move(owned)};
  part.data = part.owned;
  return part;
}

int64_t num_groups(const LinearScheme& scheme, int64_t columns) {
  return scheme.group == 0 ? 1 : columns / scheme.group;
}

/// The scales, with 1 for zeros: all codes of such a group are the zero, and readers of these
/// formats divide by scales.
std::vector<std::byte> positive_scales(std::string_view module, DType dtype,
                                       std::span<const std::byte> scales) {
  std::vector<std::byte> result(scales.begin(), scales.end());
  const std::vector<float> values = to_fp32(dtype, scales);
  const size_t size = dtype_bytes(dtype);
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i]) || values[i] < 0)
      throw Error(ErrorKind::invalid_input,
                  fmt::format("scale {} of \"{}\" is {}, it must be a positive number", i, module,
                              values[i]),
                  "the weights of the module hold values that are not finite");
    if (values[i] != 0) continue;
    const float one = 1;
    const uint16_t half = dtype == DType::bf16 ? BFloat16(one).bits : fp32_to_fp16(one);
    std::memcpy(result.data() + i * size,
                dtype == DType::fp32 ? static_cast<const void*>(&one) : &half, size);
  }
  return result;
}

bool are_equal(std::span<const std::byte> elements, size_t size) {
  for (size_t i = size; i < elements.size(); i += size)
    if (!std::ranges::equal(elements.first(size), elements.subspan(i, size))) return false;
  return true;
}

/// Codes with their columns in the order of x.
std::vector<std::byte> in_order_of_x(const LinearScheme& scheme, const CanonicalLinear& tensors) {
  std::vector<int32_t> inverse(tensors.permutation.size());
  for (size_t j = 0; j < inverse.size(); ++j)
    inverse[static_cast<size_t>(tensors.permutation[j])] = static_cast<int32_t>(j);
  std::vector<std::byte> codes(tensors.weight.size());
  const size_t row_bytes = codes.size() / static_cast<size_t>(tensors.rows);
  for (size_t begin = 0; begin < codes.size(); begin += row_bytes)
    permute_codes(scheme.weight, inverse, tensors.weight.subspan(begin, row_bytes),
                  std::span(codes).subspan(begin, row_bytes));
  return codes;
}

/// Rows of codes, 4 or 8 bits each, padded to whole int32 words; 8-bit ones plus 128.
LinearPart pack_weight(const LinearScheme& scheme, const CanonicalLinear& tensors) {
  const std::vector<std::byte> sorted =
      scheme.has_permutation ? in_order_of_x(scheme, tensors) : std::vector<std::byte>();
  const std::span<const std::byte> codes =
      scheme.has_permutation ? std::span<const std::byte>(sorted) : tensors.weight;
  const size_t row_bytes = codes.size() / static_cast<size_t>(tensors.rows);
  const size_t packed_bytes = round_up(row_bytes, sizeof(int32_t));
  std::vector<std::byte> packed(packed_bytes * static_cast<size_t>(tensors.rows));
  const std::byte flip = scheme.weight == DType::int8 ? kInt8Offset : std::byte{0};
  for (size_t n = 0; n < static_cast<size_t>(tensors.rows); ++n)
    for (size_t i = 0; i < row_bytes; ++i)
      packed[n * packed_bytes + i] = codes[n * row_bytes + i] ^ flip;
  const auto words = static_cast<int64_t>(packed_bytes / sizeof(int32_t));
  return part_of("weight_packed", DType::int32, {tensors.rows, words}, std::move(packed));
}

/// Zeros packed along the rows: [ceil(N * bits / 32), G].
LinearPart pack_zeros(const LinearScheme& scheme, const CanonicalLinear& tensors) {
  const int64_t groups = num_groups(scheme, tensors.columns);
  const int64_t bits = scheme.weight == DType::uint4x2 ? 4 : 8;
  const std::byte flip = bits == 8 ? kInt8Offset : std::byte{0};
  const Shape shape{ceil_div(tensors.rows * bits, 32), groups};
  std::vector<uint32_t> words(static_cast<size_t>(shape.num_elements()), 0);
  for (int64_t n = 0; n < tensors.rows; ++n) {
    for (int64_t g = 0; g < groups; ++g) {
      const auto zero =
          static_cast<uint32_t>(tensors.zeros[static_cast<size_t>(n * groups + g)] ^ flip);
      words[static_cast<size_t>(n * bits / 32 * groups + g)] |= zero << (n * bits % 32);
    }
  }
  return part_of<uint32_t>("weight_zero_point", DType::int32, shape, words);
}

LinearPart group_index(const LinearScheme& scheme, const CanonicalLinear& tensors) {
  std::vector<int32_t> group_of(tensors.permutation.size());
  const int64_t group = scheme.group == 0 ? tensors.columns : scheme.group;
  for (size_t j = 0; j < group_of.size(); ++j)
    group_of[static_cast<size_t>(tensors.permutation[j])] =
        static_cast<int32_t>(static_cast<int64_t>(j) / group);
  return part_of<int32_t>("weight_g_idx", DType::int32, {tensors.columns}, group_of);
}

void check_sizes(std::string_view module, const LinearScheme& scheme,
                 const CanonicalLinear& tensors) {
  const auto elements = static_cast<size_t>(tensors.rows * tensors.columns);
  const auto scales = static_cast<size_t>(tensors.rows * num_groups(scheme, tensors.columns));
  VELOZ_CHECK(
      tensors.rows > 0 && tensors.columns > 0 &&
          tensors.weight.size() == (scheme.weight == DType::uint4x2 ? elements / 2 : elements) &&
          tensors.scales.size() == scales * dtype_bytes(scheme.scale_dtype) &&
          tensors.zeros.size() == (scheme.has_zeros ? scales : 0) &&
          tensors.permutation.size() ==
              (scheme.has_permutation ? static_cast<size_t>(tensors.columns) : 0),
      "tensors of {} have {}, {}, {} bytes and {} columns", module, tensors.weight.size(),
      tensors.scales.size(), tensors.zeros.size(), tensors.permutation.size());
}

void add_input_scale(const LinearScheme& scheme, const Shape& shape, LinearLayout& layout) {
  if (!scheme.input_scale) return;
  const auto scale = static_cast<float>(*scheme.input_scale);
  layout.parts.push_back(
      part_of<float>("input_scale", DType::fp32, shape, std::span<const float>(&scale, 1)));
}

bool is_packed(const LinearScheme& scheme) {
  return scheme.weight == DType::uint4x2 || (scheme.weight == DType::int8 && !scheme.activation);
}

[[noreturn]] void refuse_modelopt(std::string_view module, std::string_view reason) {
  throw Error(ErrorKind::unsupported,
              fmt::format("ModelOpt's layout cannot hold \"{}\": {}", module, reason),
              "write compressed-tensors instead");
}

}  // namespace

void check_layout(QuantFormat format, std::string_view module, const LinearScheme& scheme) {
  if (format == QuantFormat::modelopt) {
    if (scheme.weight != DType::fp8_e4m3 || scheme.activation != DType::fp8_e4m3 ||
        scheme.group != 0 || scheme.scale_dtype != DType::fp32)
      refuse_modelopt(module, "it holds fp8 weights and activations without groups");
  } else if (scheme.has_permutation && !is_packed(scheme)) {
    throw Error(ErrorKind::unsupported,
                fmt::format("\"{}\" has 8-bit codes in another order of columns", module),
                "compressed-tensors holds that for packed weights only");
  }
}

LinearLayout to_compressed_tensors(std::string_view module, const LinearScheme& scheme,
                                   const CanonicalLinear& tensors) {
  check_sizes(module, scheme, tensors);
  check_layout(QuantFormat::compressed_tensors, module, scheme);
  LinearLayout layout;
  if (is_packed(scheme)) {
    layout.kind = "pack-quantized";
    const std::array<int64_t, 2> shape = {tensors.rows, tensors.columns};
    layout.parts.push_back(pack_weight(scheme, tensors));
    layout.parts.push_back(
        part_of<int64_t>("weight_shape", DType::int64, {2}, std::span<const int64_t>(shape)));
    if (scheme.has_zeros) layout.parts.push_back(pack_zeros(scheme, tensors));
    if (scheme.has_permutation) layout.parts.push_back(group_index(scheme, tensors));
  } else {
    layout.kind = scheme.weight == DType::int8 ? "int-quantized" : "float-quantized";
    layout.parts.push_back(
        {"weight", scheme.weight, {tensors.rows, tensors.columns}, tensors.weight, {}});
  }
  std::vector<std::byte> scales = positive_scales(module, scheme.scale_dtype, tensors.scales);
  const size_t scale_bytes = dtype_bytes(scheme.scale_dtype);
  layout.is_per_tensor = !is_packed(scheme) && scheme.group == 0 && are_equal(scales, scale_bytes);
  if (layout.is_per_tensor) scales.resize(scale_bytes);
  layout.parts.push_back(part_of(
      "weight_scale", scheme.scale_dtype,
      layout.is_per_tensor ? Shape{1} : Shape{tensors.rows, num_groups(scheme, tensors.columns)},
      std::move(scales)));
  add_input_scale(scheme, {1}, layout);
  return layout;
}

LinearLayout to_modelopt(std::string_view module, const LinearScheme& scheme,
                         const CanonicalLinear& tensors) {
  check_sizes(module, scheme, tensors);
  check_layout(QuantFormat::modelopt, module, scheme);
  LinearLayout layout;
  layout.parts.push_back(
      {"weight", DType::fp8_e4m3, {tensors.rows, tensors.columns}, tensors.weight, {}});
  std::vector<std::byte> scales = positive_scales(module, DType::fp32, tensors.scales);
  layout.is_per_tensor = scheme.input_scale.has_value();
  layout.kind = layout.is_per_tensor ? "FP8" : "FP8_PER_CHANNEL_PER_TOKEN";
  if (layout.is_per_tensor) {
    if (!are_equal(scales, sizeof(float)))
      refuse_modelopt(module,
                      "with a fixed scale of the activations it has one scale for all weights");
    scales.resize(sizeof(float));
  }
  layout.parts.push_back(part_of("weight_scale", DType::fp32,
                                 layout.is_per_tensor ? Shape{} : Shape{tensors.rows},
                                 std::move(scales)));
  add_input_scale(scheme, {}, layout);
  return layout;
}

}  // namespace veloz::checkpoint
