// SPDX-License-Identifier: Apache-2.0
#include "serving/sequence.h"

#include <algorithm>

namespace veloz::serving {

int64_t SequenceGroup::num_pending(const Sequence& sequence) const {
  const int64_t most = num_prompt_tokens + max_tokens - 1;
  return std::min(sequence.num_known() + num_undecided, most) - sequence.num_scheduled;
}

bool SequenceGroup::is_decoding() const {
  return std::ranges::all_of(sequences, [this](const Sequence& s) { return num_pending(s) == 1; });
}

}  // namespace veloz::serving
