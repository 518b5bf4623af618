// SPDX-License-Identifier: Apache-2.0
#include "runtime/logit_editor.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/error.h"
#include "base/numeric.h"
#include "ops/attrs.h"

namespace veloz::runtime {
namespace {

constexpr float kBan = -std::numeric_limits<float>::infinity();

bool has_edits(const SampleRow& row) {
  return !row.banned.empty() || !row.bad_words.empty() || !row.params->logit_bias.empty() ||
         row.params->no_repeat_ngram_size > 0;
}

bool has_mask(const SampleRow& row) { return !row.allowed.empty(); }

bool has_penalties(const SampleRow& row) {
  const SamplingParams& p = *row.params;
  return p.repetition_penalty != 1 || p.presence_penalty != 0 || p.frequency_penalty != 0;
}

bool any(std::span<const SampleRow* const> rows, bool (*is_so)(const SampleRow&)) {
  return std::ranges::any_of(rows, [is_so](const SampleRow* row) { return is_so(*row); });
}

/// A row lists each of its tokens at most once (counted, or ending an n-gram), beside its edits.
int64_t max_entries_per_row(const SamplerLimits& limits) {
  return limits.max_model_len + limits.max_edits_per_row;
}

/// Enough for one row, and for all rows of a usual step.
int64_t list_capacity(const SamplerLimits& limits) {
  constexpr int64_t kUsual = int64_t{1} << 16;
  const int64_t most = limits.max_rows * max_entries_per_row(limits);
  return std::max(max_entries_per_row(limits), std::min(kUsual, most));
}

int64_t mask_words(int64_t vocab_size) { return ceil_div(vocab_size, int64_t{32}); }

}  // namespace

template <typename T>
void LogitEditor::RowLists<T>::clear() {
  offsets.host.assign(1, 0);
  tokens.host.clear();
  values.host.clear();
}

LogitEditor::LogitEditor(StepRunner& runner, const SamplerLimits& limits)
    : runner_(runner),
      max_entries_per_row_(max_entries_per_row(limits)),
      counter_(limits.vocab_size),
      always_banned_(runner, std::ssize(limits.banned_token_ids)),
      edits_(runner, limits.max_rows, list_capacity(limits)),
      masked_rows_(runner, limits.max_rows),
      allowed_(runner, limits.max_rows * mask_words(limits.vocab_size)),
      counts_(runner, limits.max_rows, list_capacity(limits)),
      penalties_(runner, limits.max_rows * 3) {
  always_banned_.host.assign(limits.banned_token_ids.begin(), limits.banned_token_ids.end());
  always_banned_.upload();
}

void LogitEditor::edit(const TensorView& logits, std::span<const SampleRow* const> rows) {
  if (!always_banned_.host.empty() || any(rows, has_edits))
    in_slices(
        edits_, rows, [this](const SampleRow& row) { append_edits(row); },
        [&](int64_t first, int64_t count) { mask(rows_of(logits, first, count)); });
  if (any(rows, has_mask)) apply_bitmasks(logits, rows);
  if (any(rows, has_penalties))
    in_slices(
        counts_, rows, [this](const SampleRow& row) { append_counts(row); },
        [&](int64_t first, int64_t count) {
          penalize(rows_of(logits, first, count),
                   rows.subspan(static_cast<size_t>(first), static_cast<size_t>(count)));
        });
}

template <typename T, typename Append, typename Run>
void LogitEditor::in_slices(RowLists<T>& lists, std::span<const SampleRow* const> rows,
                            const Append& append, const Run& run) {
  lists.clear();
  size_t first = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    append(*rows[i]);
    lists.offsets.host.push_back(narrow<int32_t>(lists.tokens.host.size()));
    const int64_t left = lists.tokens.capacity() - std::ssize(lists.tokens.host);
    const bool is_last = i + 1 == rows.size();
    if (!is_last && left >= max_entries_per_row_) continue;
    run(static_cast<int64_t>(first), static_cast<int64_t>(i + 1 - first));
    if (is_last) return;
    runner_.stream().synchronize();  // the lists are about to change
    lists.clear();
    first = i + 1;
  }
}

void LogitEditor::append_edits(const SampleRow& row) {
  for (const auto& [token, bias] : row.params->logit_bias) {
    edits_.tokens.host.push_back(token);
    edits_.values.host.push_back(bias);
  }
  HostList<int32_t>& tokens = edits_.tokens.host;
  tokens.insert(tokens.end(), row.banned.begin(), row.banned.end());
  append_bad_word_ends(row.tokens.subspan(static_cast<size_t>(row.num_prompt_tokens)),
                       row.bad_words, tokens);
  append_repeated_ngrams(row.tokens, row.params->no_repeat_ngram_size, tokens);
  edits_.values.host.resize(tokens.size(), kBan);
}

void LogitEditor::append_counts(const SampleRow& row) {
  if (has_penalties(row))
    counter_.append_counts(row.tokens, row.num_prompt_tokens, counts_.tokens.host,
                           counts_.values.host);
}

void LogitEditor::mask(const TensorView& logits) {
  const TensorView banned = always_banned_.view({std::ssize(always_banned_.host)});
  runner_.run_op(ops::Op::mask_logits,
                 std::array{logits, edits_.offsets.upload(), edits_.tokens.upload(),
                            edits_.values.upload(), banned},
                 std::array{logits}, {});
}

void LogitEditor::apply_bitmasks(const TensorView& logits, std::span<const SampleRow* const> rows) {
  const int64_t num_words = mask_words(logits.shape[1]);
  masked_rows_.host.clear();
  allowed_.host.clear();
  for (size_t r = 0; r < rows.size(); ++r) {
    const std::span<const uint32_t> allowed = rows[r]->allowed;
    if (allowed.empty()) continue;
    VELOZ_CHECK(std::ssize(allowed) == num_words, "a mask of {} words, {} tokens need {}",
                allowed.size(), logits.shape[1], num_words);
    masked_rows_.host.push_back(narrow<int32_t>(r));
    allowed_.host.insert(allowed_.host.end(), allowed.begin(), allowed.end());
  }
  const int64_t num_masked = std::ssize(masked_rows_.host);
  runner_.run_op(
      ops::Op::apply_bitmask,
      std::array{logits, masked_rows_.upload(), allowed_.upload({num_masked, num_words})},
      std::array{logits}, {});
}

void LogitEditor::penalize(const TensorView& logits, std::span<const SampleRow* const> rows) {
  penalties_.host.clear();
  for (const SampleRow* row : rows)
    for (const double value : {row->params->repetition_penalty, row->params->presence_penalty,
                               row->params->frequency_penalty})
      penalties_.host.push_back(static_cast<float>(value));
  runner_.run_op(
      ops::Op::penalize,
      std::array{logits, penalties_.upload({logits.shape[0], 3}), counts_.offsets.upload(),
                 counts_.tokens.upload(), counts_.values.upload()},
      std::array{logits}, {});
}

}  // namespace veloz::runtime
