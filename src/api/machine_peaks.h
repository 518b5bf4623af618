// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include "api/backend.h"
#include "profile/machine_peaks.h"

namespace veloz::api {

/// Measures the peaks of the machine behind a backend. Of a GPU the bandwidth is measured; its
/// arithmetic is what the chip's tensor cores do without sparsity at the clock its maker states.
/// Owns the memory it reads.
class PeakMeter {
 public:
  struct Options {
    size_t read_bytes = size_t{512} << 20;  // much more than the caches hold
    double seconds_per_loop = 0.02;
    std::string isa{};  // of a CPU, what it can do with that alone; "": with all it has
  };
  PeakMeter(Backend& backend, const Options& options);

  /// Now: the best of three attempts at each. A limit is what can be reached; whatever disturbs an
  /// attempt only lowers the bar.
  profile::MachinePeaks measure();
  profile::MachinePeaks measure_median(int num_samples);

 private:
  profile::MachinePeaks measure_once();
  profile::MachinePeaks measure_gpu();

  Backend& backend_;
  const Options options_;
  Buffer memory_;
};

}  // namespace veloz::api
