// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "base/device.h"
#include "engine/plan.h"
#include "runtime/batch.h"

namespace veloz::runtime {

/// Extents for which a decode step is recorded: a smaller batch is padded to them.
struct DecodeBucket {
  // Multiples of 8, above 64 of 16, above 256 of 64. Eight is also the least number of tokens in a
  // product of the tensor cores, which on an H200 takes 16 % longer when some of them lie outside
  // the matrix (1 row against 8, 57344 x 8192 in fp8: 139 us against 120 us).
  int64_t num_seqs = 0;
  int64_t blocks_per_seq = 0;                             // powers of two from 8
  auto operator<=>(const DecodeBucket&) const = default;  // NOLINT(modernize-use-nullptr)
};

/// Each sequence of the batch has one token, and all want logits, in their order.
bool is_decode(const Batch& batch);

/// The least bucket that holds a decode batch, within the limits.
DecodeBucket choose_bucket(const Batch& batch, const engine::Limits& limits);

/// Makes `padded` the batch with sequences of one token added up to the bucket, whose keys and
/// values go to block `spare_block`, which no sequence owns.
void pad_decode(const Batch& batch, const DecodeBucket& bucket, int64_t spare_block,
                int64_t block_size, Batch& padded);

/// Decode steps recorded on the device, by bucket. A bucket's first step runs as it is, its second
/// is recorded: kernels are loaded by then, and one-off buckets cost nothing.
class DecodeGraphs {
 public:
  explicit DecodeGraphs(Stream& stream) : stream_(stream) {}

  /// Enqueues the bucket's step, which `enqueue` does one kernel at a time.
  template <typename Enqueue>
  void run(const DecodeBucket& bucket, const Enqueue& enqueue) {
    Entry* const entry = find(bucket);
    if (entry == nullptr || entry->num_runs++ == 0) {
      enqueue();
      return;
    }
    if (entry->recording == nullptr) {
      if (!stream_.begin_recording()) {
        enqueue();
        return;
      }
      enqueue();
      entry->recording = stream_.end_recording();
    }
    stream_.replay(*entry->recording);
  }
  /// Forgets what was recorded: addresses have changed.
  void clear() { entries_.clear(); }

 private:
  struct Entry {
    int64_t num_runs = 0;
    std::unique_ptr<Recording> recording;
  };
  /// Nothing where enough are kept already.
  Entry* find(const DecodeBucket& bucket);

  Stream& stream_;
  std::map<DecodeBucket, Entry> entries_;
};

}  // namespace veloz::runtime
