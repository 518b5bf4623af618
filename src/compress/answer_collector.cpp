// SPDX-License-Identifier: Apache-2.0
#include "compress/answer_collector.h"

#include <chrono>

namespace veloz::compress {
namespace {

constexpr std::chrono::milliseconds kWaitInterval{100};

}  // namespace

class AnswerCollector::Sink final : public serving::EventSink {
 public:
  Sink(AnswerCollector& owner, size_t index) : owner_(owner), index_(index) {}

  void on_token(const serving::TokenEvent& event) override {
    slot().token_ids.push_back(event.token);
  }
  void on_choice_end(const serving::ChoiceEnd& end) override { slot().reason = end.reason; }
  void on_finished(const serving::RequestUsage&) override { owner_.end(); }
  void on_failed(const Error& error) override {
    slot().error = error;
    owner_.end();
  }

 private:
  Slot& slot() { return owner_.slots_[index_]; }

  AnswerCollector& owner_;
  size_t index_;
};

AnswerCollector::AnswerCollector(size_t num_requests) : slots_(num_requests) {}

std::unique_ptr<serving::EventSink> AnswerCollector::make_sink(size_t index) {
  return std::make_unique<Sink>(*this, index);
}

void AnswerCollector::end() {
  const std::scoped_lock lock(mutex_);
  ++num_ended_;
  has_ended_.notify_all();
}

void AnswerCollector::wait(const std::function<void(size_t num_ended)>& on_wait) {
  size_t num_seen = 0;
  const auto has_news = [&] { return num_ended_ > num_seen || num_ended_ == slots_.size(); };
  do {
    {
      std::unique_lock lock(mutex_);
      has_ended_.wait_for(lock, kWaitInterval, has_news);
      num_seen = num_ended_;
    }
    on_wait(num_seen);
  } while (num_seen < slots_.size());
}

}  // namespace veloz::compress
