// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>

#include "checkpoint/checkpoint.h"
#include "checkpoint/formats/stored_linear.h"

namespace veloz::checkpoint {

/// A linear stored row by row, as ModelOpt, compressed-tensors and block-wise fp8 do.
class RowLinear final : public StoredLinear {
 public:
  /// How a row's codes lie.
  enum class Codes {
    as_they_are,   // int8 or fp8_e4m3
    int4_in_int8,  // one code of -8 ... 7 a byte
    packed,        // int32 words of 8 or 4 codes, the first lowest, each plus 8 or 128
  };
  enum class Zeros {
    none,
    int8,    // [N, G], signed
    packed,  // int32 words along the rows, [ceil(N * bits / 32), G], each plus 8 or 128
  };
  struct Layout {
    std::string weight;  // names of tensors
    std::string scale;
    std::string zero;
    Codes codes = Codes::as_they_are;
    Zeros zeros = Zeros::none;
    /// Rows that share a row of scales: 1 of [N, G], 128 of [ceil(N / 128), G]; `rows` where the
    /// file has one for all.
    int64_t rows_per_scale = 1;
  };

  /// Shapes were checked: those of `facts` and `layout`.
  RowLinear(const Checkpoint& files, Facts facts, Layout layout)
      : StoredLinear(std::move(facts)), files_(&files), layout_(std::move(layout)) {}

  void read_weight(int64_t row_begin, int64_t row_end, std::span<std::byte> to) const override;
  void read_scales(int64_t row_begin, int64_t row_end, std::span<std::byte> to) const override;
  void read_zeros(int64_t row_begin, int64_t row_end, std::span<std::byte> to) const override;

 private:
  bool is_4_bit() const { return scheme().weight == DType::uint4x2; }
  void read_int4_in_int8(int64_t row_begin, int64_t row_end, std::span<std::byte> to) const;
  void read_packed(int64_t row_begin, int64_t row_end, std::span<std::byte> to) const;
  void read_packed_zeros(int64_t row_begin, int64_t row_end, std::span<std::byte> to) const;

  const Checkpoint* files_;
  Layout layout_;
};

/// Puts the codes of one row of 4 or 8 bits into another order: code j comes from order[j].
void permute_codes(DType dtype, std::span<const int32_t> order, std::span<const std::byte> from,
                   std::span<std::byte> to);

}  // namespace veloz::checkpoint
