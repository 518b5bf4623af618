// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/plan.h"
#include "ops/kernel.h"

namespace veloz::profile {

/// Bytes that a server holds once it is ready, part by part.
struct Footprint {
  uint64_t weight_bytes = 0;     // as the kernels here want them
  uint64_t kv_block_bytes = 0;   // of all layers
  int64_t num_kv_blocks = 0;     //
  uint64_t arena_bytes = 0;      // values of one step at the limits
  uint64_t workspace_bytes = 0;  // scratch of the hungriest kernel at the limits
  uint64_t input_bytes = 0;      // a step's inputs, on the host and on the device
  uint64_t text_bytes = 0;       // tokenizer and its tables, by the size of its files
  uint64_t process_bytes = 0;    // program, libraries, threads, sampler, server: a constant

  uint64_t kv_cache_bytes() const { return static_cast<uint64_t>(num_kv_blocks) * kv_block_bytes; }
  /// All but the cache: what has to be there before the first token.
  uint64_t fixed_bytes() const;
  uint64_t total_bytes() const { return fixed_bytes() + kv_cache_bytes(); }
};

/// What stands beside the plan.
struct FootprintOptions {
  int64_t num_kv_blocks = 0;
  int num_threads = 1;
  uint64_t tokenizer_file_bytes = 0;
};

/// From the plan alone: nothing is loaded. `registry` holds the kernels that will run. Throws
/// Error(unsupported) where one is missing.
Footprint predict_footprint(const engine::Plan& plan, const ops::KernelRegistry& registry,
                            const FootprintOptions& options);

}  // namespace veloz::profile
