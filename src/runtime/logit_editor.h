// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/tensor_view.h"
#include "runtime/device_list.h"
#include "runtime/row_tokens.h"
#include "runtime/sampler.h"
#include "runtime/step_runner.h"

namespace veloz::runtime {

/// Changes logits before a token is chosen: bias and bans (op mask_logits), what a mask forbids (op
/// apply_bitmask), then penalties (op penalize). Its lists hold at least what one row may need;
/// rows that need more together are edited in several calls.
class LogitEditor {
 public:
  LogitEditor(StepRunner& runner, const SamplerLimits& limits);

  /// logits [R, vocab_size]; rows [R]
  void edit(const TensorView& logits, std::span<const SampleRow* const> rows);

 private:
  /// For each row a list of tokens with a value each; H entries in all.
  template <typename T>
  struct RowLists {
    RowLists(StepRunner& runner, int64_t max_rows, int64_t capacity)
        : offsets(runner, max_rows + 1), tokens(runner, capacity), values(runner, capacity) {}
    void clear();

    DeviceList<int32_t> offsets;  // [R + 1]
    DeviceList<int32_t> tokens;   // [H]
    DeviceList<T> values;         // [H]
  };

  /// Fills `lists` row by row with append(row) and calls run(first, count) for as many rows as fit.
  template <typename T, typename Append, typename Run>
  void in_slices(RowLists<T>& lists, std::span<const SampleRow* const> rows, const Append& append,
                 const Run& run);
  void append_edits(const SampleRow& row);
  void append_counts(const SampleRow& row);
  void mask(const TensorView& logits);
  void apply_bitmasks(const TensorView& logits, std::span<const SampleRow* const> rows);
  void penalize(const TensorView& logits, std::span<const SampleRow* const> rows);

  StepRunner& runner_;
  const int64_t max_entries_per_row_;
  TokenCounter counter_;
  DeviceList<int32_t> always_banned_;  // [P]
  RowLists<float> edits_;              // biases, -inf for bans
  DeviceList<int32_t> masked_rows_;    // [M], those with a mask
  DeviceList<uint32_t> allowed_;       // [M, ceil(vocab_size / 32)]
  RowLists<int32_t> counts_;           // how often a token stands in the output
  DeviceList<float> penalties_;        // [R, 3]: repetition, presence, frequency
};

}  // namespace veloz::runtime
