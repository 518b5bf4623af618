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

int64_t SequenceGroup::num_rows_to_decide() const {
  const bool is_prompt_end = sequences.front().num_known() + num_undecided == num_prompt_tokens;
  return is_prompt_end ? prompt_rows : 1;
}

int64_t SequenceGroup::num_prompt_rows_of(int64_t position, int64_t count) const {
  if (!wants_prompt_logits) return 0;
  const int64_t begin = std::max(position, num_prompt_rows);
  const int64_t end = std::min(position + count, num_prompt_tokens - 1);
  return std::max<int64_t>(end - begin, 0);
}

int64_t SequenceGroup::num_rows_of_chunk(const Sequence& sequence, int64_t count) const {
  const bool decides = sequences.size() == 1 && count == num_pending(sequence);
  return num_prompt_rows_of(sequence.num_scheduled, count) + (decides ? num_rows_to_decide() : 0);
}

}  // namespace veloz::serving
