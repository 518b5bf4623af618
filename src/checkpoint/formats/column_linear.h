// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/formats/format_reader.h"
#include "checkpoint/formats/module_tensors.h"
#include "checkpoint/formats/stored_linear.h"
#include "checkpoint/formats/unpacked_cache.h"

namespace veloz::checkpoint {

/// A linear stored column by column, as AWQ and GPTQ do: a row of the file holds one input channel
/// (AWQ) or a word of them (GPTQ) for all output channels.
class ColumnLinear final : public StoredLinear {
 public:
  enum class Packing {
    awq,   // qweight [K, N / 8]: a word holds eight output channels, order 0 2 4 6 1 3 5 7
    gptq,  // qweight [K / 8 or K / 4, N]: a word holds eight or four input channels
  };
  struct Layout {
    std::string weight;  // names of tensors
    std::string scale;   // [G, N]
    std::string zero;    // [G, N / 8 or N / 4] words; "" where the file has none
    Packing packing = Packing::gptq;
    /// Stored zeros are one less than meant (the first GPTQ format), modulo their bits.
    bool has_zeros_minus_one = false;
  };

  /// Shapes were checked: those of `facts` and `layout`. The cache is shared by a model's linears.
  ColumnLinear(const Checkpoint& files, std::shared_ptr<UnpackedCache> cache, Facts facts,
               Layout layout)
      : StoredLinear(std::move(facts)),
        files_(&files),
        cache_(std::move(cache)),
        layout_(std::move(layout)) {}

  void read_weight(int64_t row_begin, int64_t row_end, std::span<std::byte> to) const override;
  void read_scales(int64_t row_begin, int64_t row_end, std::span<std::byte> to) const override;
  void read_zeros(int64_t row_begin, int64_t row_end, std::span<std::byte> to) const override;

 private:
  bool is_4_bit() const { return scheme().weight == DType::uint4x2; }
  /// The whole canonical weight.
  std::vector<std::byte> unpack() const;
  void unpack_gptq(std::span<std::byte> to) const;
  void unpack_awq(std::span<std::byte> to) const;
  /// Unsigned zeros of rows [row_begin, row_end), [rows, G].
  std::vector<uint8_t> unsigned_zeros(int64_t row_begin, int64_t row_end) const;
  void refuse_asymmetric(int64_t row_begin, int64_t row_end) const;

  const Checkpoint* files_;
  std::shared_ptr<UnpackedCache> cache_;
  Layout layout_;
};

/// The linears of all modules with a tensor "qweight", as `read` makes them. `method` is the
/// format's name in errors.
FormatContent read_column_linears(
    const FormatInput& input, std::string_view method,
    const std::function<std::unique_ptr<StoredLinear>(
        const ModuleTensors& tensors, const std::shared_ptr<UnpackedCache>& cache)>& read);

}  // namespace veloz::checkpoint
