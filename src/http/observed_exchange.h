// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "net/exchange.h"

namespace veloz::http {

/// What an endpoint that generates tells of a request beyond what can be seen from outside.
struct GenerationNote {
  int64_t num_prompt_tokens = 0;
  int64_t num_output_tokens = 0;
  std::optional<double> ttft_s = std::nullopt;
};

/// How one request went.
struct AccessRecord {
  std::string id, method, path, peer;
  std::string key_name = {};  // of the API key, or empty
  int status = 0;             // 499 where the client left before the answer was complete
  int64_t num_bytes = 0;      // of the answer's body
  double duration_s = 0;
  std::optional<GenerationNote> generation = std::nullopt;
};

/// Passes on to another exchange, adds headers to its answer, and tells how it went: once, when it
/// is answered or given up.
class ObservedExchange final : public net::Exchange {
 public:
  using Clock = std::chrono::steady_clock;
  using EndSink = std::function<void(const AccessRecord&)>;

  ObservedExchange(std::shared_ptr<net::Exchange> inner, net::Headers headers, EndSink on_end);
  ~ObservedExchange() override;

  /// Before it is handed on.
  void set_key_name(std::string name) { record_.key_name = std::move(name); }
  void note(const GenerationNote& note);

  const net::Request& request() const override { return inner_->request(); }
  void respond(net::Response response) override;
  void start_stream(net::Response head) override;
  bool write(std::string_view piece) override;
  void finish() override;
  void on_abort(std::function<void()> callback) override;
  void post(std::function<void()> task) override { inner_->post(std::move(task)); }

 private:
  void add_headers(net::Response& response) const;
  void end(std::optional<int> status);

  std::shared_ptr<net::Exchange> inner_;
  net::Headers headers_;
  EndSink on_end_;
  Clock::time_point start_ = Clock::now();
  // Shared with the callback, which may outlive this by the moment that it runs in.
  std::shared_ptr<std::atomic<bool>> is_aborted_ = std::make_shared<std::atomic<bool>>(false);
  std::mutex mutex_;  // guards the rest
  AccessRecord record_;
  bool has_ended_ = false;
};

/// For the access log, where the exchange is observed.
void note_generation(net::Exchange& exchange, const GenerationNote& note);

}  // namespace veloz::http
