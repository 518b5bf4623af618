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

/// Panels of elements of one size, `kPerStep` of a channel side by side.
template <size_t kElementBytes, int64_t kPerStep>
struct Panels {
  static constexpr size_t kLaneBytes = kElementBytes * static_cast<size_t>(kPerStep);
  static constexpr size_t kBytesOfStep = kLaneBytes * static_cast<size_t>(kPanelWidth);

  static size_t panel_bytes(const Shape& shape) {
    return static_cast<size_t>(ceil_div(shape[1], kPerStep)) * kBytesOfStep;
  }
  static size_t packed_bytes(const Shape& shape) {
    return static_cast<size_t>(ceil_div(shape[0], kPanelWidth)) * panel_bytes(shape);
  }
  static size_t packed_offset(const Shape& shape, int64_t row_begin) {
    return static_cast<size_t>(row_begin / kPanelWidth) * panel_bytes(shape);
  }

  /// Calls f(byte of the element in the packed panels, byte in the plain rows, elements: 1 to
  /// kPerStep) for each step of each row.
  template <typename F>
  static void for_each_step(const PackRange& range, const F& f) {
    const int64_t columns = range.shape[1];
    const auto row_bytes = static_cast<size_t>(columns) * kElementBytes;
    for (int64_t row = range.row_begin; row < range.row_end; ++row) {
      const auto from_first = static_cast<size_t>(row - range.row_begin);
      const size_t panel = from_first / kPanelWidth * panel_bytes(range.shape);
      const size_t lane = from_first % kPanelWidth * kLaneBytes;
      for (int64_t k = 0; k < columns; k += kPerStep) {
        const size_t step = static_cast<size_t>(k / kPerStep) * kBytesOfStep;
        f(panel + step + lane, from_first * row_bytes + static_cast<size_t>(k) * kElementBytes,
          static_cast<size_t>(std::min(kPerStep, columns - k)));
      }
    }
  }

  static void clear_padding(const PackRange& range, std::byte* packed, unsigned char zero = 0) {
    const int64_t rows = range.row_end - range.row_begin;
    if (rows % kPanelWidth != 0 || range.shape[1] % kPerStep != 0)
      std::memset(packed, zero,
                  static_cast<size_t>(ceil_div(rows, kPanelWidth)) * panel_bytes(range.shape));
  }
  static void pack(const PackRange& range, const std::byte* plain, std::byte* packed) {
    clear_padding(range, packed);
    for_each_step(range, [&](size_t at_packed, size_t at_plain, size_t count) {
      std::memcpy(packed + at_packed, plain + at_plain, count * kElementBytes);
    });
  }
  static void unpack(const PackRange& range, const std::byte* packed, std::byte* plain) {
    for_each_step(range, [&](size_t at_packed, size_t at_plain, size_t count) {
      std::memcpy(plain + at_plain, packed + at_packed, count * kElementBytes);
    });
  }
};

/// Panels of pairs of 4-bit codes: as of four bytes a step, but low halves first.
struct Uint4Panels : Panels<1, kStepBytesX> {
  static void pack(const PackRange& range, const std::byte* plain, std::byte* packed) {
    clear_padding(range, packed);
    for_each_step(range, [&](size_t at_packed, size_t at_plain, size_t count) {
      uint8_t in[4] = {};
      std::memcpy(in, plain + at_plain, count);
      const uint8_t out[4] = {join(in[0], in[2]), join(in[0] >> 4, in[2] >> 4), join(in[1], in[3]),
                              join(in[1] >> 4, in[3] >> 4)};
      std::memcpy(packed + at_packed, out, sizeof(out));
    });
  }
  static void unpack(const PackRange& range, const std::byte* packed, std::byte* plain) {
    for_each_step(range, [&](size_t at_packed, size_t at_plain, size_t count) {
      uint8_t in[4];
      std::memcpy(in, packed + at_packed, sizeof(in));
      const uint8_t out[4] = {join(in[0], in[1]), join(in[2], in[3]), join(in[0] >> 4, in[1] >> 4),
                              join(in[2] >> 4, in[3] >> 4)};
      std::memcpy(plain + at_plain, out, count);
    });
  }

 private:
  /// The low halves of two bytes.
  static uint8_t join(int low, int high) {
    return static_cast<uint8_t>((low & 15) | (high & 15) << 4);
  }
};

/// Panels of int8 codes, each as code + 128, which flips the sign bit.
struct Int8Panels : Panels<1, kStepBytesX> {
  static constexpr unsigned char kSignBit = 0x80;

  static void pack(const PackRange& range, const std::byte* plain, std::byte* packed) {
    clear_padding(range, packed, kSignBit);
    for_each_step(range, [&](size_t at_packed, size_t at_plain, size_t count) {
      for (size_t i = 0; i < count; ++i)
        packed[at_packed + i] = plain[at_plain + i] ^ std::byte{kSignBit};
    });
  }
  static void unpack(const PackRange& range, const std::byte* packed, std::byte* plain) {
    for_each_step(range, [&](size_t at_packed, size_t at_plain, size_t count) {
      for (size_t i = 0; i < count; ++i)
        plain[at_plain + i] = packed[at_packed + i] ^ std::byte{kSignBit};
    });
  }
};

/// Panels of fp8 codes: within each 16 bytes first one pair of K of four channels, then the next.
struct Fp8Panels : Panels<1, kStepBytesX> {
  static void pack(const PackRange& range, const std::byte* plain, std::byte* packed) {
    clear_padding(range, packed);
    for_each_step(range, [&](size_t at_packed, size_t at_plain, size_t count) {
      for (size_t i = 0; i < count; ++i) packed[place(at_packed, i)] = plain[at_plain + i];
    });
  }
  static void unpack(const PackRange& range, const std::byte* packed, std::byte* plain) {
    for_each_step(range, [&](size_t at_packed, size_t at_plain, size_t count) {
      for (size_t i = 0; i < count; ++i) plain[at_plain + i] = packed[place(at_packed, i)];
    });
  }

 private:
  /// Where the i-th code of the channel goes whose four bytes would lie at `lane`.
  static size_t place(size_t lane, size_t i) {
    constexpr size_t kChannels = 4;
    const size_t channel = lane / kLaneBytes % kChannels;
    return lane - channel * kLaneBytes + i / 2 * (2 * kChannels) + channel * 2 + i % 2;
  }
};

template <typename Layout>
WeightLayout layout_of(std::string_view name, DType dtype, std::string_view companion = "plain") {
  return {.name = name,
          .dtype = dtype,
          .row_granularity = kPanelWidth,
          .packed_bytes = Layout::packed_bytes,
          .packed_offset = Layout::packed_offset,
          .pack = Layout::pack,
          .unpack = Layout::unpack,
          .companion = companion};
}

}  // namespace

std::vector<WeightLayout> weight_layouts() {
  std::vector<WeightLayout> layouts = {
      layout_of<Panels<2, 2>>(kLayoutBf16, DType::bf16),
      layout_of<Panels<4, 1>>(kLayoutFp32, DType::fp32),
      layout_of<Int8Panels>(kLayoutInt8, DType::int8, kLayoutCompanion),
      layout_of<Fp8Panels>(kLayoutFp8, DType::fp8_e4m3, kLayoutCompanion),
      layout_of<Uint4Panels>(kLayoutUint4x2, DType::uint4x2, kLayoutCompanion),
      layout_of<Panels<4, 1>>(kLayoutCompanion, DType::fp32),
      layout_of<Panels<2, 1>>(kLayoutCompanion, DType::bf16),
      layout_of<Panels<2, 1>>(kLayoutCompanion, DType::fp16),
      layout_of<Panels<1, 1>>(kLayoutCompanion, DType::uint8),
      layout_of<Panels<1, 1>>(kLayoutCompanion, DType::int8)};
  for (const WeightLayout& plain : ops::plain_layouts()) layouts.push_back(plain);
  return layouts;
}

}  // namespace veloz::cpu
