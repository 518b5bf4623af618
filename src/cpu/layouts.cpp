// SPDX-License-Identifier: Apache-2.0
#include "cpu/layouts.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "base/numeric.h"
#include "cpu/gemm_tile.h"

namespace veloz::cpu {
namespace {

using ops::PackRange;
using ops::WeightLayout;

/// Elements of one channel in a step.
template <DType dtype>
constexpr int64_t kGroup = dtype == DType::fp32 ? 1 : 2;
template <DType dtype>
constexpr size_t kElementBytes = static_cast<size_t>(kStepBytesX / kGroup<dtype>);

template <DType dtype>
size_t panel_bytes(const Shape& shape) {
  return static_cast<size_t>(ceil_div(shape[1], kGroup<dtype>) * kStepBytes);
}

template <DType dtype>
size_t packed_bytes(const Shape& shape) {
  return static_cast<size_t>(ceil_div(shape[0], kPanelWidth)) * panel_bytes<dtype>(shape);
}

template <DType dtype>
size_t packed_offset(const Shape& shape, int64_t row_begin) {
  return static_cast<size_t>(row_begin / kPanelWidth) * panel_bytes<dtype>(shape);
}

/// Calls f(byte of the element in the packed panels, byte in the plain rows, elements: 1 or 2) for
/// each step of each row.
template <DType dtype, typename F>
void for_each_step(const PackRange& range, const F& f) {
  const int64_t columns = range.shape[1];
  const auto row_bytes = static_cast<size_t>(columns) * kElementBytes<dtype>;
  for (int64_t row = range.row_begin; row < range.row_end; ++row) {
    const auto from_first = static_cast<size_t>(row - range.row_begin);
    const size_t panel = from_first / kPanelWidth * panel_bytes<dtype>(range.shape);
    const size_t lane = from_first % kPanelWidth * kStepBytesX;
    for (int64_t k = 0; k < columns; k += kGroup<dtype>) {
      const auto step = static_cast<size_t>(k / kGroup<dtype> * kStepBytes);
      f(panel + step + lane, from_first * row_bytes + static_cast<size_t>(k) * kElementBytes<dtype>,
        static_cast<size_t>(std::min(kGroup<dtype>, columns - k)));
    }
  }
}

template <DType dtype>
void pack(const PackRange& range, const std::byte* plain, std::byte* packed) {
  const bool has_padding =
      (range.row_end - range.row_begin) % kPanelWidth != 0 || range.shape[1] % kGroup<dtype> != 0;
  if (has_padding)
    std::memset(packed, 0,
                static_cast<size_t>(ceil_div(range.row_end - range.row_begin, kPanelWidth)) *
                    panel_bytes<dtype>(range.shape));
  for_each_step<dtype>(range, [&](size_t at_packed, size_t at_plain, size_t count) {
    std::memcpy(packed + at_packed, plain + at_plain, count * kElementBytes<dtype>);
  });
}

template <DType dtype>
void unpack(const PackRange& range, const std::byte* packed, std::byte* plain) {
  for_each_step<dtype>(range, [&](size_t at_packed, size_t at_plain, size_t count) {
    std::memcpy(plain + at_plain, packed + at_packed, count * kElementBytes<dtype>);
  });
}

template <DType dtype>
WeightLayout panels(std::string_view name) {
  return {.name = name,
          .dtype = dtype,
          .row_granularity = kPanelWidth,
          .packed_bytes = packed_bytes<dtype>,
          .packed_offset = packed_offset<dtype>,
          .pack = pack<dtype>,
          .unpack = unpack<dtype>};
}

}  // namespace

std::vector<WeightLayout> weight_layouts() {
  std::vector<WeightLayout> layouts = {panels<DType::bf16>(kLayoutBf16),
                                       panels<DType::fp32>(kLayoutFp32)};
  for (const WeightLayout& plain : ops::plain_layouts()) layouts.push_back(plain);
  return layouts;
}

}  // namespace veloz::cpu
