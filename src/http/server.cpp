// SPDX-License-Identifier: Apache-2.0
#include "http/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "http/errors.h"
#include "http/page/page.h"

namespace veloz::http {
namespace {

using Clock = std::chrono::steady_clock;

// Answered whether there is a model or not.
constexpr std::array<std::string_view, 7> kOperations = {
    "/", "/health", "/livez", "/readyz", "/version", "/metrics", "/debug/trace"};
// Need no key: probes and scrapers have none, and the page asks its reader for one.
constexpr std::array<std::string_view, 6> kOpenPaths = {"/",       "/health",  "/livez",
                                                        "/readyz", "/version", "/metrics"};

net::Response not_available(std::string_view why, std::string_view code) {
  return error_response(503, why, {.code = std::string(code)});
}

net::Response status_json(int status, std::string_view word, std::string_view reason = {}) {
  nlohmann::ordered_json body = {{"status", word}};
  if (!reason.empty()) body["reason"] = reason;
  return {.status = status, .body = body.dump()};
}

}  // namespace

Server::Server(ServerOptions options, Log& log)
    : options_(std::move(options)),
      log_(log),
      keys_(options_.keys),
      cors_(options_.allowed_origins),
      steps_(options_.num_traced_steps),
      stats_line_(Clock::now()),
      next_stats_(Clock::now() + options_.stats_interval) {
  add_operations(operations_);
  net::ServerOptions transport = options_.transport;
  transport.handler = [this](const auto& exchange) { handle(exchange); };
  transport.error_response = [this](const net::Request& request, int status,
                                    std::string_view message) {
    net::Response response = error_response(status, message);
    const net::Headers cors = cors_.headers_for(request);
    response.headers.insert(response.headers.end(), cors.begin(), cors.end());
    return response;
  };
  transport.on_refusal = [this](const net::Request& request, int status) {
    const auto or_dash = [](const std::string& text) { return text.empty() ? "-" : text; };
    log_access({.id = request.id,
                .method = or_dash(request.method),
                .path = or_dash(request.path),
                .peer = request.peer,
                .status = status});
  };
  transport.on_problem = [this](std::string_view problem) {
    log_.warning("transport", {{"problem", problem}});
  };
  transport_ = std::make_unique<net::Server>(std::move(transport));
}

Server::~Server() { stop(); }

std::shared_ptr<const Backend> Server::backend() const {
  const std::lock_guard lock(mutex_);
  return backend_;
}

void Server::attach(Backend backend) {
  add_operations(backend.routes);
  auto attached = std::make_shared<const Backend>(std::move(backend));
  const std::lock_guard lock(mutex_);
  backend_ = std::move(attached);
}

void Server::on_step(const serving::StepRecord& record) { steps_.add(record); }

void Server::handle(const std::shared_ptr<net::Exchange>& inner) {
  auto exchange = std::make_shared<ObservedExchange>(
      inner, cors_.headers_for(inner->request()),
      [this](const AccessRecord& record) { log_access(record); });
  const net::Request& request = exchange->request();
  if (auto preflight = cors_.preflight(request)) return exchange->respond(std::move(*preflight));
  if (!admit(exchange)) return;
  const std::shared_ptr<const Backend> served = backend();
  const bool is_operation = std::ranges::find(kOperations, request.path) != kOperations.end();
  if (!served && !is_operation)
    return exchange->respond(not_available("the model is being loaded", "model_loading"));
  if (is_draining_ && request.method == "POST")
    return exchange->respond(not_available("the server is shutting down", "shutting_down"));
  (served ? served->routes : operations_).handle(exchange);
}

/// False where the request was answered: no key, or too many requests.
bool Server::admit(const std::shared_ptr<ObservedExchange>& exchange) {
  const net::Request& request = exchange->request();
  if (std::ranges::find(kOpenPaths, request.path) != kOpenPaths.end()) return true;
  const ApiKeys::Verdict verdict = keys_.check(request.header("authorization"), Clock::now());
  exchange->set_key_name(verdict.name);
  if (!verdict.is_allowed) {
    net::Response response =
        error_response(401, "no valid API key was given; send Authorization: Bearer KEY",
                       {.code = "invalid_api_key"});
    response.headers.emplace_back("WWW-Authenticate", "Bearer");
    exchange->respond(std::move(response));
    return false;
  }
  if (verdict.retry_after_s) {
    net::Response response = error_response(429, "this API key has sent too many requests",
                                            {.code = "rate_limit_exceeded"});
    response.headers.emplace_back(
        "Retry-After", fmt::format("{:.0f}", std::max(1.0, std::ceil(*verdict.retry_after_s))));
    exchange->respond(std::move(response));
    return false;
  }
  return true;
}

void Server::add_operations(Router& router) {
  add_page_route(router);
  const auto add = [&](const char* path, std::function<net::Response()> answer) {
    router.add("GET", path,
               [answer = std::move(answer)](const auto& exchange) { exchange->respond(answer()); });
  };
  add("/health", [this] { return answer_health(); });
  add("/livez", [this] { return answer_liveness(); });
  add("/readyz", [this] { return answer_readiness(); });
  add("/metrics", [this] { return answer_metrics(); });
  add("/version", [] {
    return net::Response{.body = nlohmann::json{{"version", VELOZ_VERSION}}.dump()};
  });
  add("/debug/trace", [this] {
    return net::Response{
        .body = to_chrome_trace(steps_.records()),
        .headers = {{"Content-Disposition", "attachment; filename=\"veloz-trace.json\""}}};
  });
}

net::Response Server::answer_health() const {
  if (!backend()) return status_json(503, "loading");
  return answer_liveness();
}

net::Response Server::answer_liveness() const {
  const std::shared_ptr<const Backend> served = backend();
  if (!served) return status_json(200, "ok");
  const ReadinessLimits hang{
      .min_slow_s = static_cast<double>(options_.hang_timeout.count()) / 1000,
      .slow_factor = options_.readiness.slow_factor};
  if (is_step_slow(served->stats(), Clock::now(), hang))
    return status_json(503, "hung", "a step does not end");
  return status_json(200, "ok");
}

net::Response Server::answer_readiness() const {
  const std::shared_ptr<const Backend> served = backend();
  if (!served) return status_json(503, "not ready", "the model is being loaded");
  if (is_draining_) return status_json(503, "not ready", "the server is shutting down");
  const std::string reason = why_not_ready(served->stats(), Clock::now(), options_.readiness);
  return reason.empty() ? status_json(200, "ok") : status_json(503, "not ready", reason);
}

net::Response Server::answer_metrics() const {
  const std::shared_ptr<const Backend> served = backend();
  if (!served) return not_available("the model is being loaded", "model_loading");
  return {.content_type = "text/plain; version=0.0.4; charset=utf-8",
          .body = served->metrics->text(served->stats())};
}

void Server::log_access(const AccessRecord& record) {
  if (!options_.has_access_log) return;
  Log::Fields fields = {{"id", record.id},
                        {"method", record.method},
                        {"path", record.path},
                        {"status", record.status},
                        {"duration_s", std::round(record.duration_s * 1e6) / 1e6},
                        {"bytes", record.num_bytes},
                        {"peer", record.peer}};
  if (!record.key_name.empty()) fields["key"] = record.key_name;
  if (record.generation) {
    if (record.generation->ttft_s)
      fields["ttft_s"] = std::round(*record.generation->ttft_s * 1e6) / 1e6;
    fields["prompt_tokens"] = record.generation->num_prompt_tokens;
    fields["output_tokens"] = record.generation->num_output_tokens;
  }
  log_.info("request", fields);
}

void Server::reload() {
  const auto attempt = [this](const char* what, const auto& read) {
    try {
      read();
      log_.info("reloaded", {{"what", what}});
    } catch (const Error& e) {
      log_.error("reload failed", {{"what", what}, {"problem", e.message()}});
    }
  };
  if (!options_.keys.file.empty()) attempt("API keys", [this] { keys_.reload(); });
  if (options_.transport.tls) attempt("certificate", [this] { transport_->reload_tls(); });
}

void Server::tick(Clock::time_point now) {
  const std::shared_ptr<const Backend> served = backend();
  if (!served) return;
  const serving::ExecutorStats stats = served->stats();
  watch(stats, now);
  if (now < next_stats_) return;
  next_stats_ = now + options_.stats_interval;
  const std::optional<std::string> line = stats_line_.next(steps_.totals(), stats, now);
  if (line && options_.has_stats_log) log_.info("stats", {{"message", *line}});
}

/// Says once of each step that takes far longer than predicted, with what is in it.
void Server::watch(const serving::ExecutorStats& stats, Clock::time_point now) {
  if (!is_step_slow(stats, now, options_.readiness) || reported_step_ == stats.step_start) return;
  reported_step_ = stats.step_start;
  log_.error("slow step",
             {{"elapsed_s", std::chrono::duration<double>(now - *stats.step_start).count()},
              {"predicted_s", stats.step_predicted_s},
              {"running", stats.num_running},
              {"waiting", stats.num_waiting},
              {"batch", backend()->describe_running()}});
}

void Server::begin_drain() {
  is_draining_ = true;
  transport_->begin_drain();
}

}  // namespace veloz::http
