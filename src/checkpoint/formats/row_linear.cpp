// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/row_linear.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/numeric.h"
#include "checkpoint/convert.h"
#include "checkpoint/formats/module_tensors.h"

namespace veloz::checkpoint {
namespace {

constexpr uint8_t kFp8Nan = 0x7f;
constexpr uint8_t kInt8Offset = 128;  // of packed 8-bit codes
constexpr int kInt4Offset = 8;
constexpr size_t kWordBytes = 4;

uint8_t nibble(std::span<const std::byte> row, int64_t k) {
  const auto pair = static_cast<uint8_t>(row[static_cast<size_t>(k / 2)]);
  return k % 2 == 0 ? pair & 0x0fu : pair >> 4;
}

/// -8 ... 7 as 0 ... 15. Throws Error(corrupt_data) beyond.
uint8_t to_unsigned4(std::byte code, std::string_view tensor, int64_t row) {
  const auto bits = static_cast<uint8_t>(code);
  const int value = bits < 128 ? bits : bits - 256;
  if (value < -kInt4Offset || value >= kInt4Offset)
    throw Error(
        ErrorKind::corrupt_data,
        fmt::format("tensor \"{}\" holds {} in row {}, 4 bits hold -8 to 7", tensor, value, row),
        "the quantization config names fewer bits than the weights have");
  return static_cast<uint8_t>(value + kInt4Offset);
}

void refuse_fp8_nan(std::string_view tensor, std::span<const std::byte> codes, int64_t row_begin,
                    int64_t columns) {
  const auto found = std::ranges::find_if(
      codes, [](std::byte code) { return (static_cast<uint8_t>(code) & kFp8Nan) == kFp8Nan; });
  if (found == codes.end()) return;
  const int64_t at = found - codes.begin();
  throw Error(ErrorKind::corrupt_data,
              fmt::format("tensor \"{}\" holds NaN at [{}, {}]", tensor, row_begin + at / columns,
                          at % columns),
              "the checkpoint is damaged, or its quantization went wrong");
}

}  // namespace

void permute_codes(DType dtype, std::span<const int32_t> order, std::span<const std::byte> from,
                   std::span<std::byte> to) {
  if (dtype != DType::uint4x2) {
    for (size_t j = 0; j < order.size(); ++j) to[j] = from[static_cast<size_t>(order[j])];
    return;
  }
  for (size_t j = 0; j < order.size(); j += 2)
    to[j / 2] = static_cast<std::byte>(nibble(from, order[j]) | nibble(from, order[j + 1]) << 4);
}

void RowLinear::read_weight(int64_t row_begin, int64_t row_end, std::span<std::byte> to) const {
  switch (layout_.codes) {
    case Codes::as_they_are:
      files_->read_rows(layout_.weight, row_begin, row_end, to);
      if (scheme().weight == DType::fp8_e4m3)
        refuse_fp8_nan(layout_.weight, to, row_begin, columns());
      return;
    case Codes::int4_in_int8:
      return read_int4_in_int8(row_begin, row_end, to);
    case Codes::packed:
      return read_packed(row_begin, row_end, to);
  }
}

void RowLinear::read_int4_in_int8(int64_t row_begin, int64_t row_end,
                                  std::span<std::byte> to) const {
  std::vector<std::byte> codes(2 * to.size());
  files_->read_rows(layout_.weight, row_begin, row_end, codes);
  for (size_t i = 0; i < to.size(); ++i) {
    const int64_t row = row_begin + static_cast<int64_t>(2 * i) / columns();
    to[i] = static_cast<std::byte>(to_unsigned4(codes[2 * i], layout_.weight, row) |
                                   to_unsigned4(codes[2 * i + 1], layout_.weight, row) << 4);
  }
}

/// A word holds the codes of its columns lowest first, so its bytes are the canonical ones.
void RowLinear::read_packed(int64_t row_begin, int64_t row_end, std::span<std::byte> to) const {
  const auto row_bytes = static_cast<size_t>(is_4_bit() ? columns() / 2 : columns());
  const size_t packed_bytes = round_up(row_bytes, kWordBytes);
  const auto num_rows = static_cast<size_t>(row_end - row_begin);
  std::vector<std::byte> packed(num_rows * packed_bytes);
  files_->read_rows(layout_.weight, row_begin, row_end, packed);
  if (!is_4_bit())
    for (std::byte& code : packed) code ^= std::byte{kInt8Offset};
  for (size_t n = 0; n < num_rows; ++n) {
    const auto row = std::span(packed).subspan(n * packed_bytes, row_bytes);
    const auto out = to.subspan(n * row_bytes, row_bytes);
    if (permutation().empty())
      std::ranges::copy(row, out.begin());
    else
      permute_codes(scheme().weight, permutation(), row, out);
  }
}

void RowLinear::read_scales(int64_t row_begin, int64_t row_end, std::span<std::byte> to) const {
  if (row_begin == row_end) return;
  const TensorInfo info = *files_->find(layout_.scale);
  const int64_t num_columns = num_groups();
  const int64_t first = row_begin / layout_.rows_per_scale;
  const int64_t last = (row_end - 1) / layout_.rows_per_scale;
  std::vector<std::byte> stored(static_cast<size_t>((last + 1 - first) * num_columns) *
                                dtype_bytes(info.dtype));
  files_->read_rows(layout_.scale, first, last + 1, stored);
  check_scales(layout_.scale, scheme().weight, info.dtype, stored, first, num_columns);
  if (info.dtype != scheme().scale_dtype) {
    const std::vector<float> values = to_fp32(info.dtype, stored);
    const auto bytes = std::as_bytes(std::span(values));
    stored.assign(bytes.begin(), bytes.end());
  }
  const size_t row_bytes = static_cast<size_t>(num_columns) * dtype_bytes(scheme().scale_dtype);
  for (int64_t n = row_begin; n < row_end; ++n)
    std::memcpy(to.data() + static_cast<size_t>(n - row_begin) * row_bytes,
                stored.data() + static_cast<size_t>(n / layout_.rows_per_scale - first) * row_bytes,
                row_bytes);
}

void RowLinear::read_zeros(int64_t row_begin, int64_t row_end, std::span<std::byte> to) const {
  if (layout_.zeros == Zeros::packed) return read_packed_zeros(row_begin, row_end, to);
  files_->read_rows(layout_.zero, row_begin, row_end, to);
  if (!is_4_bit()) return;
  for (size_t i = 0; i < to.size(); ++i)
    to[i] = std::byte{
        to_unsigned4(to[i], layout_.zero, row_begin + static_cast<int64_t>(i) / num_groups())};
}

void RowLinear::read_packed_zeros(int64_t row_begin, int64_t row_end,
                                  std::span<std::byte> to) const {
  if (row_begin == row_end) return;
  const int64_t bits = is_4_bit() ? 4 : 8;
  const int64_t per_word = 32 / bits;
  const int64_t first = row_begin / per_word;
  const int64_t last = (row_end - 1) / per_word;
  std::vector<uint32_t> words(static_cast<size_t>((last + 1 - first) * num_groups()));
  files_->read_rows(layout_.zero, first, last + 1, std::as_writable_bytes(std::span(words)));
  std::byte* out = to.data();
  for (int64_t n = row_begin; n < row_end; ++n) {
    for (int64_t g = 0; g < num_groups(); ++g) {
      const uint32_t word = words[static_cast<size_t>((n / per_word - first) * num_groups() + g)];
      const uint32_t stored = word >> (n % per_word * bits) & (is_4_bit() ? 0x0fu : 0xffu);
      *out++ = static_cast<std::byte>(is_4_bit() ? stored : stored ^ kInt8Offset);
    }
  }
}

}  // namespace veloz::checkpoint
