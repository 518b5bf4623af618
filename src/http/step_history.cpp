// SPDX-License-Identifier: Apache-2.0
#include "http/step_history.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace veloz::http {

StepHistory::StepHistory(size_t capacity) : capacity_(capacity) { records_.reserve(capacity); }

void StepHistory::add(const serving::StepRecord& record) {
  const std::lock_guard lock(mutex_);
  const auto position = static_cast<size_t>(totals_.num_steps) % capacity_;
  if (records_.size() < capacity_)
    records_.push_back(record);
  else
    records_[position] = record;
  ++totals_.num_steps;
  totals_.num_prefill_tokens += record.num_prefill_tokens;
  totals_.num_decode_tokens += record.num_decode_tokens;
}

std::vector<serving::StepRecord> StepHistory::records() const {
  const std::lock_guard lock(mutex_);
  std::vector<serving::StepRecord> ordered = records_;
  if (ordered.size() == capacity_)
    std::rotate(ordered.begin(),
                ordered.begin() + totals_.num_steps % static_cast<int64_t>(capacity_),
                ordered.end());
  return ordered;
}

StepHistory::Totals StepHistory::totals() const {
  const std::lock_guard lock(mutex_);
  return totals_;
}

std::string to_chrome_trace(const std::vector<serving::StepRecord>& records) {
  std::string text = R"({"displayTimeUnit":"ms","traceEvents":[)"
                     R"({"name":"process_name","ph":"M","pid":1,"args":{"name":"veloz"}},)"
                     R"({"name":"thread_name","ph":"M","pid":1,"tid":1,"args":{"name":"engine"}})";
  for (const serving::StepRecord& record : records) {
    const double start_us =
        std::chrono::duration<double, std::micro>(record.start.time_since_epoch()).count();
    fmt::format_to(std::back_inserter(text),
                   R"(,{{"name":"step","ph":"X","pid":1,"tid":1,"ts":{:.1f},"dur":{:.1f},)"
                   R"("args":{{"number":{},"num_seqs":{},"num_prefill_tokens":{},)"
                   R"("num_decode_tokens":{},"predicted_ms":{:.3f}}}}})",
                   start_us, record.duration_s * 1e6, record.number, record.num_seqs,
                   record.num_prefill_tokens, record.num_decode_tokens, record.predicted_s * 1e3);
    fmt::format_to(std::back_inserter(text),
                   R"(,{{"name":"batch","ph":"C","pid":1,"ts":{:.1f},)"
                   R"("args":{{"prefill_tokens":{},"decode_tokens":{}}}}})",
                   start_us, record.num_prefill_tokens, record.num_decode_tokens);
  }
  text += "]}";
  return text;
}

}  // namespace veloz::http
