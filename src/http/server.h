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
#include <vector>

#include "http/api_keys.h"
#include "http/cors.h"
#include "http/log.h"
#include "http/metrics.h"
#include "http/observed_exchange.h"
#include "http/readiness.h"
#include "http/router.h"
#include "http/stats_line.h"
#include "http/step_history.h"
#include "net/server.h"

namespace veloz::http {

struct ServerOptions {
  net::ServerOptions transport = {};  // its handlers and sinks are the server's to set
  ApiKeys::Options keys = {};
  std::vector<std::string> allowed_origins = {};
  bool has_access_log = true;
  bool has_stats_log = true;
  std::chrono::seconds stats_interval{10};
  ReadinessLimits readiness = {};
  std::chrono::milliseconds hang_timeout{
      300'000};  // a step that takes longer has hung: not alive any more
  size_t num_traced_steps = 4096;
};

/// What is served once the model is loaded. All of it outlives the server, or its `stop`.
struct Backend {
  Router routes;
  std::function<serving::ExecutorStats()> stats;
  std::function<std::string()> describe_running;  // the running batch, for the watchdog's log
  Metrics* metrics = nullptr;
};

/// Everything between the transport and the endpoints: keys, rate limits, CORS, the access log, and
/// what operators ask for: /health, /livez, /readyz, /version, /metrics, /debug/trace. Listens from
/// its construction on, before there is a model; other paths are answered with 503 until then.
class Server {
 public:
  /// Throws as net::Server and ApiKeys. The log outlives it.
  Server(ServerOptions options, Log& log);
  /// As `stop`.
  ~Server();

  uint16_t port() const { return transport_->port(); }
  /// For the executor's callback, from the engine's thread.
  void on_step(const serving::StepRecord& record);
  /// The model is there. Once.
  void attach(Backend backend);
  /// Reads key file and certificate again; what is bad is logged, and the old stays.
  void reload();
  /// Statistics and watchdog; to be called about once a second.
  void tick(std::chrono::steady_clock::time_point now);
  /// New work is answered with 503 from here on.
  void begin_drain();
  bool is_drained() const { return num_open_requests() == 0; }
  int64_t num_open_requests() const { return transport_->stats().num_exchanges; }
  /// Aborts what is left. Afterwards no handler runs.
  void stop() { transport_->stop(); }

 private:
  void handle(const std::shared_ptr<net::Exchange>& exchange);
  bool admit(const std::shared_ptr<ObservedExchange>& exchange);
  void add_operations(Router& router);
  net::Response answer_health() const;
  net::Response answer_liveness() const;
  net::Response answer_readiness() const;
  net::Response answer_metrics() const;
  void log_access(const AccessRecord& record);
  void watch(const serving::ExecutorStats& stats, std::chrono::steady_clock::time_point now);
  std::shared_ptr<const Backend> backend() const;

  ServerOptions options_;
  Log& log_;
  ApiKeys keys_;
  Cors cors_;
  StepHistory steps_;
  StatsLine stats_line_;
  std::chrono::steady_clock::time_point next_stats_;
  std::optional<std::chrono::steady_clock::time_point> reported_step_;  // by the watchdog
  std::atomic<bool> is_draining_ = false;
  mutable std::mutex mutex_;
  std::shared_ptr<const Backend> backend_;  // guarded by mutex_
  Router operations_;                       // until the backend's routes are there
  std::unique_ptr<net::Server> transport_;  // last: its threads use all the others
};

}  // namespace veloz::http
