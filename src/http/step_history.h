// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "serving/executor.h"

namespace veloz::http {

/// The last steps of the engine, for whoever wants to see what it did. The engine thread adds, any
/// thread reads.
class StepHistory {
 public:
  explicit StepHistory(size_t capacity);

  void add(const serving::StepRecord& record);
  /// Oldest first.
  std::vector<serving::StepRecord> records() const;

  /// Of all steps since the start.
  struct Totals {
    int64_t num_steps = 0;
    int64_t num_prefill_tokens = 0;
    int64_t num_decode_tokens = 0;
  };
  Totals totals() const;

 private:
  size_t capacity_;
  mutable std::mutex mutex_;
  std::vector<serving::StepRecord> records_;  // a ring: guarded by mutex_, as the rest
  Totals totals_;
};

/// The records as Chrome's trace viewer and Perfetto read them: a slice per step, counters of its
/// tokens and sequences.
std::string to_chrome_trace(const std::vector<serving::StepRecord>& records);

}  // namespace veloz::http
