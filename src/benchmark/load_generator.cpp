// SPDX-License-Identifier: Apache-2.0
#include "benchmark/load_generator.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/error.h"
#include "benchmark/answer_reader.h"

namespace veloz::benchmark {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kPollInterval = 50ms;

/// One run. Everything but `wait` happens on the client's I/O thread. Timers share it: one may be
/// set for later when the run is stopped.
class Load : public std::enable_shared_from_this<Load> {
 public:
  Load(net::Client& client, const Target& target, std::span<const SampleRequest> requests,
       std::span<const double> arrivals_s, const LoadOptions& options)
      : client_(client),
        target_(target),
        requests_(requests),
        arrivals_s_(arrivals_s),
        options_(options),
        answers_(requests.size()) {
    // Before the clock starts: writing 1,000 bodies takes its time.
    for (const SampleRequest& request : requests)
      bodies_.push_back(request_body(request, target.format));
  }

  LoadRun run(const text::Tokenizer* tokenizer) {
    start_ = Clock::now();
    client_.run_at(start_, [self = shared_from_this()] { self->send_arrived(); });
    wait();
    return collect(tokenizer);
  }

 private:
  struct Answer {
    RequestResult result;
    std::optional<AnswerReader> reader;
    bool is_done = false;
  };

  double now_s() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

  Clock::time_point time_of(size_t i) const {
    return start_ + std::chrono::duration_cast<Clock::duration>(
                        std::chrono::duration<double>(arrivals_s_[i]));
  }

  void send_arrived() {
    if (is_stopping_) return;
    const Clock::time_point now = Clock::now();
    for (; num_arrived_ < requests_.size() && time_of(num_arrived_) <= now; ++num_arrived_)
      waiting_.push_back(num_arrived_);
    send_waiting();
    if (num_arrived_ < requests_.size())
      client_.run_at(time_of(num_arrived_), [self = shared_from_this()] { self->send_arrived(); });
  }

  void send_waiting() {
    const auto has_room = [this] {
      return !options_.max_concurrency ||
             static_cast<int64_t>(under_way_.size()) < *options_.max_concurrency;
    };
    while (!is_stopping_ && !waiting_.empty() && has_room()) {
      send(waiting_.front());
      waiting_.pop_front();
    }
  }

  void send(size_t i) {
    Answer& answer = answers_[i];
    const double sent_s = now_s();
    answer.reader.emplace(sent_s);
    answer.result.group = requests_[i].group;
    answer.result.num_prompt_tokens = requests_[i].num_prompt_tokens;
    answer.result.queue_s = sent_s - arrivals_s_[i];
    net::ClientCallbacks callbacks;
    callbacks.on_head = [&answer](const net::ResponseHead& head) {
      answer.reader->on_head(head.status, head.header("content-type").value_or(""));
    };
    callbacks.on_data = [this, &answer](std::string_view bytes) {
      answer.reader->on_data(bytes, now_s());
    };
    // Shared: once the last one ended, the calling thread goes on while this returns.
    callbacks.on_done = [self = shared_from_this(), i](const std::optional<Error>& error) {
      self->end(i, error);
    };
    const net::ClientRequestId id = client_.send({.method = "POST",
                                                  .url = target_.url,
                                                  .headers = target_.headers,
                                                  .body = std::move(bodies_[i])},
                                                 std::move(callbacks));
    under_way_.emplace(i, id);
  }

  void end(size_t i, const std::optional<Error>& error) {
    Answer& answer = answers_[i];
    answer.reader->finish(error ? error->message() : "", answer.result);
    answer.is_done = !is_stopping_;
    under_way_.erase(i);
    last_end_s_ = now_s();
    send_waiting();
    const std::lock_guard lock(mutex_);
    ++num_ended_;
    is_over_ = under_way_.empty() &&
               (is_stopping_ || (waiting_.empty() && num_arrived_ == requests_.size()));
    if (is_over_) over_.notify_all();
  }

  void stop() {
    is_stopping_ = true;
    for (const auto& [i, id] : under_way_) client_.cancel(id);
    const std::lock_guard lock(mutex_);
    last_end_s_ = std::max(last_end_s_, now_s());
    is_over_ = under_way_.empty();
    if (is_over_) over_.notify_all();
  }

  void wait() {
    bool has_asked = false;
    std::unique_lock lock(mutex_);
    while (!over_.wait_for(lock, kPollInterval, [this] { return is_over_; })) {
      const int64_t num_ended = num_ended_;
      lock.unlock();
      if (options_.on_progress) options_.on_progress(num_ended);
      if (!has_asked && options_.should_stop && options_.should_stop()) {
        has_asked = true;
        client_.run_at(Clock::now(), [self = shared_from_this()] { self->stop(); });
      }
      lock.lock();
    }
  }

  LoadRun collect(const text::Tokenizer* tokenizer) {
    LoadRun run{.results = {}, .duration_s = last_end_s_, .is_complete = true};
    for (Answer& answer : answers_) {
      run.is_complete = run.is_complete && answer.is_done;
      if (!answer.is_done) continue;
      if (tokenizer != nullptr && !answer.reader->has_usage() && answer.result.is_ok())
        answer.result.num_output_tokens = static_cast<int64_t>(
            tokenizer->encode(answer.result.text, {.add_special_tokens = false}).size());
      run.results.push_back(std::move(answer.result));
    }
    return run;
  }

  net::Client& client_;
  const Target& target_;
  const std::span<const SampleRequest> requests_;
  const std::span<const double> arrivals_s_;
  const LoadOptions& options_;
  std::vector<std::string> bodies_;
  std::vector<Answer> answers_;
  Clock::time_point start_;
  size_t num_arrived_ = 0;
  std::deque<size_t> waiting_;
  std::unordered_map<size_t, net::ClientRequestId> under_way_;
  bool is_stopping_ = false;
  double last_end_s_ = 0;

  std::mutex mutex_;  // of what the calling thread looks at
  std::condition_variable over_;
  int64_t num_ended_ = 0;
  bool is_over_ = false;
};

}  // namespace

LoadRun run_load(net::Client& client, const Target& target, std::span<const SampleRequest> requests,
                 std::span<const double> arrivals_s, const LoadOptions& options,
                 const text::Tokenizer* tokenizer) {
  VELOZ_CHECK(requests.size() == arrivals_s.size(), "{} requests, {} arrivals", requests.size(),
              arrivals_s.size());
  if (requests.empty()) return {};
  return std::make_shared<Load>(client, target, requests, arrivals_s, options)->run(tokenizer);
}

std::string first_model(net::Client& client, const std::string& base_url,
                        const net::Headers& headers) {
  const net::ClientResponse response =
      net::fetch(client, {.url = base_url + "/v1/models", .headers = headers});
  const auto json = nlohmann::json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  const nlohmann::json::json_pointer id("/data/0/id");
  if (response.head.status != 200 || !json.is_object() || !json.contains(id) ||
      !json[id].is_string())
    throw Error(
        ErrorKind::io,
        fmt::format("{}/v1/models names no model (HTTP {})", base_url, response.head.status),
        "give the model's name with --model, and --api-key where the server wants one");
  return json[id].get<std::string>();
}

}  // namespace veloz::benchmark
