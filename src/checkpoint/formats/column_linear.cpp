// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/column_linear.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.h"
#include "checkpoint/formats/module_tensors.h"
#include "checkpoint/formats/row_linear.h"

namespace veloz::checkpoint {
namespace {

/// The output channel, of a word's eight, in each of its nibbles from the lowest on.
constexpr std::array<int64_t, 8> kAwqOrder = {0, 2, 4, 6, 1, 3, 5, 7};
constexpr uint32_t kInt8Offset = 128;
constexpr uint32_t kInt4Zero = 8;  // of symmetric codes
constexpr int64_t kFileRows = 64;  // read at once: their words for one channel are one cache line

std::vector<uint32_t> read_words(const Checkpoint& files, const std::string& tensor,
                                 int64_t row_begin, int64_t row_end, int64_t words_per_row) {
  std::vector<uint32_t> words(static_cast<size_t>((row_end - row_begin) * words_per_row));
  files.read_rows(tensor, row_begin, row_end, std::as_writable_bytes(std::span(words)));
  return words;
}

}  // namespace

void ColumnLinear::read_weight(int64_t row_begin, int64_t row_end, std::span<std::byte> to) const {
  const auto row_bytes = static_cast<size_t>(weight_info().shape[1]);
  const std::shared_ptr<const UnpackedCache::Bytes> whole = cache_->get(
      layout_.weight, static_cast<size_t>(rows()) * row_bytes, [this] { return unpack(); });
  std::copy_n(whole->begin() + static_cast<int64_t>(row_bytes) * row_begin,
              static_cast<size_t>(row_end - row_begin) * row_bytes, to.begin());
}

std::vector<std::byte> ColumnLinear::unpack() const {
  const auto row_bytes = static_cast<size_t>(weight_info().shape[1]);
  std::vector<std::byte> whole(static_cast<size_t>(rows()) * row_bytes);
  if (layout_.packing == Packing::awq)
    unpack_awq(whole);
  else
    unpack_gptq(whole);
  if (permutation().empty()) return whole;
  std::vector<std::byte> sorted(row_bytes);
  for (size_t begin = 0; begin < whole.size(); begin += row_bytes) {
    const auto row = std::span(whole).subspan(begin, row_bytes);
    permute_codes(scheme().weight, permutation(), row, sorted);
    std::ranges::copy(sorted, row.begin());
  }
  return whole;
}

/// A word's bytes are the canonical ones of its columns (of 8 bits: plus 128); words are
/// transposed.
void ColumnLinear::unpack_gptq(std::span<std::byte> to) const {
  const int64_t words_per_row = columns() / (is_4_bit() ? 8 : 4);  // of the canonical weight
  const uint32_t flip = is_4_bit() ? 0 : 0x80808080u;
  for (int64_t first = 0; first < words_per_row; first += kFileRows) {
    const int64_t count = std::min(kFileRows, words_per_row - first);
    const std::vector<uint32_t> words =
        read_words(*files_, layout_.weight, first, first + count, rows());
    for (int64_t n = 0; n < rows(); ++n) {
      std::byte* out = to.data() + (n * words_per_row + first) * 4;
      for (int64_t i = 0; i < count; ++i, out += 4) {
        const uint32_t word = words[static_cast<size_t>(i * rows() + n)] ^ flip;
        std::memcpy(out, &word, sizeof(word));
      }
    }
  }
}

void ColumnLinear::unpack_awq(std::span<std::byte> to) const {
  const int64_t words_per_row = rows() / 8;
  const int64_t row_bytes = columns() / 2;
  for (int64_t first = 0; first < columns(); first += kFileRows) {
    const int64_t count = std::min(kFileRows, columns() - first);  // even, as columns() is
    const std::vector<uint32_t> words =
        read_words(*files_, layout_.weight, first, first + count, words_per_row);
    for (int64_t c = 0; c < words_per_row; ++c) {
      for (size_t i = 0; i < kAwqOrder.size(); ++i) {
        std::byte* out = to.data() + (8 * c + kAwqOrder[i]) * row_bytes + first / 2;
        const auto code = [&](int64_t k) {
          return words[static_cast<size_t>(k * words_per_row + c)] >> (4 * i) & 0x0fu;
        };
        for (int64_t k = 0; k < count; k += 2)
          *out++ = static_cast<std::byte>(code(k) | code(k + 1) << 4);
      }
    }
  }
}

void ColumnLinear::read_scales(int64_t row_begin, int64_t row_end, std::span<std::byte> to) const {
  if (!scheme().has_zeros && !layout_.zero.empty()) refuse_asymmetric(row_begin, row_end);
  const TensorInfo info = *files_->find(layout_.scale);
  const size_t element = dtype_bytes(info.dtype);
  std::vector<std::byte> stored(static_cast<size_t>(num_groups() * rows()) * element);
  files_->read_rows(layout_.scale, 0, num_groups(), stored);
  check_scales(layout_.scale, scheme().weight, info.dtype, stored, 0, rows());
  std::byte* out = to.data();
  for (int64_t n = row_begin; n < row_end; ++n)
    for (int64_t g = 0; g < num_groups(); ++g, out += element)
      std::memcpy(out, stored.data() + static_cast<size_t>(g * rows() + n) * element, element);
}

void ColumnLinear::read_zeros(int64_t row_begin, int64_t row_end, std::span<std::byte> to) const {
  const std::vector<uint8_t> zeros = unsigned_zeros(row_begin, row_end);
  for (size_t i = 0; i < zeros.size(); ++i)
    to[i] = static_cast<std::byte>(is_4_bit() ? zeros[i] : zeros[i] ^ kInt8Offset);
}

std::vector<uint8_t> ColumnLinear::unsigned_zeros(int64_t row_begin, int64_t row_end) const {
  const int64_t bits = is_4_bit() ? 4 : 8;
  const int64_t per_word = 32 / bits;
  const uint32_t mask = is_4_bit() ? 0x0fu : 0xffu;
  const int64_t words_per_row = rows() / per_word;
  const std::vector<uint32_t> words =
      read_words(*files_, layout_.zero, 0, num_groups(), words_per_row);
  std::vector<uint8_t> zeros;
  for (int64_t n = row_begin; n < row_end; ++n) {
    int64_t place = n % per_word;
    if (layout_.packing == Packing::awq)
      place = std::ranges::find(kAwqOrder, place) - kAwqOrder.begin();
    for (int64_t g = 0; g < num_groups(); ++g) {
      const uint32_t word = words[static_cast<size_t>(g * words_per_row + n / per_word)];
      const uint32_t stored = word >> (place * bits) & mask;
      zeros.push_back(
          static_cast<uint8_t>(layout_.has_zeros_minus_one ? (stored + 1) & mask : stored));
    }
  }
  return zeros;
}

void ColumnLinear::refuse_asymmetric(int64_t row_begin, int64_t row_end) const {
  const std::vector<uint8_t> zeros = unsigned_zeros(row_begin, row_end);
  const uint32_t expected = is_4_bit() ? kInt4Zero : kInt8Offset;
  const auto other = std::ranges::find_if(zeros, [&](uint8_t zero) { return zero != expected; });
  if (other == zeros.end()) return;
  throw Error(ErrorKind::corrupt_data,
              fmt::format("tensor \"{}\" holds a zero of {}, symmetric codes have {}", layout_.zero,
                          *other, expected),
              "the quantization config says \"sym\": true; it must be false, or "
              "\"checkpoint_format\" is another than it says");
}

FormatContent read_column_linears(
    const FormatInput& input, std::string_view method,
    const std::function<std::unique_ptr<StoredLinear>(
        const ModuleTensors& tensors, const std::shared_ptr<UnpackedCache>& cache)>& read) {
  const auto cache = std::make_shared<UnpackedCache>();
  FormatContent content;
  for (const std::string& module : modules_with(input.files, "qweight"))
    content.linears[module] = read(ModuleTensors(input.files, module), cache);
  require_modules(content, method, "a tensor \"qweight\"");
  return content;
}

}  // namespace veloz::checkpoint
