// SPDX-License-Identifier: Apache-2.0
#include "http/server.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "net/client.h"

namespace veloz::http {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

struct Lines {
  std::mutex mutex;
  std::vector<std::string> all;

  std::function<void(const std::string&)> sink() {
    return [this](const std::string& line) {
      const std::lock_guard lock(mutex);
      all.push_back(line);
    };
  }
  /// Lines of that event.
  std::vector<nlohmann::json> of(const std::string& event) {
    const std::lock_guard lock(mutex);
    std::vector<nlohmann::json> found;
    for (const std::string& line : all)
      if (auto object = nlohmann::json::parse(line); object.at("event") == event)
        found.push_back(std::move(object));
    return found;
  }
};

ServerOptions on_any_port() {
  ServerOptions options;
  options.transport.port = 0;
  return options;
}

/// A server with an endpoint of its own and an executor that only has numbers.
struct Fixture {
  explicit Fixture(ServerOptions options = on_any_port()) : server(std::move(options), log) {}
  ~Fixture() { server.stop(); }

  void attach() {
    Router routes;
    routes.add("POST", "/v1/echo",
               [](const auto& exchange) { exchange->respond({.body = exchange->request().body}); });
    server.attach({.routes = std::move(routes),
                   .stats = [this] { return stats; },
                   .describe_running = [] { return "request 7: 10 tokens"; },
                   .metrics = &metrics});
  }
  net::ClientResponse get(const std::string& path, net::Headers headers = {},
                          std::string method = "GET", std::string body = {}) {
    return net::fetch(client, {.method = std::move(method),
                               .url = fmt::format("http://127.0.0.1:{}{}", server.port(), path),
                               .headers = std::move(headers),
                               .body = std::move(body)});
  }
  net::ClientResponse echo(net::Headers headers = {}, std::string body = {}) {
    return get("/v1/echo", std::move(headers), "POST", std::move(body));
  }

  serving::ExecutorStats stats;
  Metrics metrics{{.model_name = "tiny"}};
  Lines lines;
  Log log{LogFormat::json, lines.sink()};
  Server server;
  net::Client client;
};

TEST(HttpServer, IsAliveButNotReadyWhileTheModelIsLoaded) {
  Fixture f;
  EXPECT_EQ(f.get("/livez").head.status, 200);
  EXPECT_EQ(f.get("/readyz").head.status, 503);
  EXPECT_EQ(f.get("/health").head.status, 503);
  EXPECT_EQ(f.get("/version").head.status, 200);
  const auto response = f.echo();
  EXPECT_EQ(response.head.status, 503);
  EXPECT_TRUE(response.head.header("Retry-After"));
  EXPECT_EQ(nlohmann::json::parse(response.body).at("error").at("code"), "model_loading");
  f.attach();
  for (const char* path : {"/livez", "/readyz", "/health", "/metrics"})
    EXPECT_EQ(f.get(path).head.status, 200) << path;
  EXPECT_EQ(f.echo().head.status, 200);
}

TEST(HttpServer, SaysWhenToComeAgainWhereItHasNoRoom) {
  ServerOptions options = on_any_port();
  options.transport.max_total_body_bytes = 3;
  options.allowed_origins = {"https://example.com"};
  Fixture f(std::move(options));
  f.attach();
  EXPECT_EQ(f.echo({}, "abc").head.status, 200);
  const auto response = f.echo({{"Origin", "https://example.com"}}, "abcd");
  EXPECT_EQ(response.head.status, 503);
  EXPECT_EQ(response.head.header("Retry-After"), "5");
  EXPECT_EQ(response.head.header("Access-Control-Allow-Origin"), "https://example.com");
  EXPECT_NE(response.body.find("3 bytes"), std::string::npos) << response.body;
}

TEST(HttpServer, IsNotReadyWhileAStepIsStuckAndNotAliveWhereItHangs) {
  Fixture f;
  f.attach();
  f.stats.step_start = steady_clock::now() - seconds(60);
  f.stats.step_predicted_s = 0.1;
  EXPECT_EQ(f.get("/readyz").head.status, 503);
  EXPECT_EQ(f.get("/livez").head.status, 200);
  f.stats.step_start = steady_clock::now() - seconds(301);
  EXPECT_EQ(f.get("/livez").head.status, 503);
  EXPECT_EQ(f.get("/health").head.status, 503);
}

TEST(HttpServer, IsAliveForAsLongAsTheWatchdogWaitsOrTenTimesThePrediction) {
  ServerOptions options = on_any_port();
  options.hang_timeout = seconds(5);
  Fixture f(std::move(options));
  f.attach();
  f.stats.step_predicted_s = 0.1;
  f.stats.step_start = steady_clock::now();
  EXPECT_EQ(f.get("/livez").head.status, 200);
  f.stats.step_start = steady_clock::now() - seconds(6);
  EXPECT_EQ(f.get("/livez").head.status, 503);
  f.stats.step_predicted_s = 60;
  EXPECT_EQ(f.get("/livez").head.status, 200) << "a step that is predicted to take so long";
  f.stats.step_start = steady_clock::now() - seconds(601);
  EXPECT_EQ(f.get("/livez").head.status, 503);
}

TEST(HttpServer, ReportsAStuckStepOnceWithItsBatch) {
  Fixture f;
  f.attach();
  f.stats.step_start = steady_clock::now() - seconds(60);
  f.server.tick(steady_clock::now());
  f.server.tick(steady_clock::now());
  ASSERT_EQ(f.lines.of("slow step").size(), 1u);
  EXPECT_EQ(f.lines.of("slow step")[0].at("batch"), "request 7: 10 tokens");
  f.stats.step_start = steady_clock::now() - seconds(30);  // another one
  f.server.tick(steady_clock::now());
  EXPECT_EQ(f.lines.of("slow step").size(), 2u);
}

TEST(HttpServer, AsksForAKeyExceptWhereProbesGo) {
  ServerOptions options = on_any_port();
  options.keys.keys = {"sk-1"};
  Fixture f(std::move(options));
  f.attach();
  for (const char* path : {"/livez", "/readyz", "/health", "/version", "/metrics"})
    EXPECT_EQ(f.get(path).head.status, 200) << path;
  for (const char* path : {"/v1/models", "/debug/trace", "/nothing"})
    EXPECT_EQ(f.get(path).head.status, 401) << path;
  const auto refused = f.echo({{"Authorization", "Bearer sk-2"}});
  EXPECT_EQ(refused.head.status, 401);
  EXPECT_EQ(refused.head.header("WWW-Authenticate"), "Bearer");
  const auto error = nlohmann::json::parse(refused.body).at("error");
  EXPECT_EQ(error.at("type"), "authentication_error");
  EXPECT_EQ(error.at("code"), "invalid_api_key");
  EXPECT_EQ(f.echo({{"Authorization", "Bearer sk-1"}}).head.status, 200);
}

TEST(HttpServer, Answers429WhereAKeyAsksTooOften) {
  ServerOptions options = on_any_port();
  options.keys = {.keys = {"sk-1"}, .limit = RateLimit{.requests_per_minute = 1, .burst = 1}};
  Fixture f(std::move(options));
  f.attach();
  const net::Headers key = {{"Authorization", "Bearer sk-1"}};
  EXPECT_EQ(f.echo(key).head.status, 200);
  const auto response = f.echo(key);
  EXPECT_EQ(response.head.status, 429);
  const int retry_s = std::stoi(std::string(response.head.header("Retry-After").value()));
  EXPECT_LE(retry_s, 60);
  EXPECT_GE(retry_s, 50) << "the minute began with the request before";
}

TEST(HttpServer, AnswersBrowsersOfAllowedOriginsOnly) {
  ServerOptions options = on_any_port();
  options.allowed_origins = {"https://a.example"};
  options.keys.keys = {"sk-1"};
  Fixture f(std::move(options));
  f.attach();
  const auto preflight = f.get("/v1/echo",
                               {{"Origin", "https://a.example"},
                                {"Access-Control-Request-Method", "POST"},
                                {"Access-Control-Request-Headers", "authorization"}},
                               "OPTIONS");
  EXPECT_EQ(preflight.head.status, 204) << "browsers send no key with it";
  EXPECT_EQ(preflight.head.header("Access-Control-Allow-Origin"), "https://a.example");
  EXPECT_EQ(preflight.head.header("Access-Control-Allow-Headers"), "authorization");
  const auto allowed = f.echo({{"Origin", "https://a.example"}, {"Authorization", "Bearer sk-1"}});
  EXPECT_EQ(allowed.head.header("Access-Control-Allow-Origin"), "https://a.example");
  const auto other = f.echo({{"Origin", "https://b.example"}, {"Authorization", "Bearer sk-1"}});
  EXPECT_FALSE(other.head.header("Access-Control-Allow-Origin"));
  EXPECT_EQ(other.head.header("Vary"), "Origin");
}

TEST(HttpServer, AllowsAnyOriginByAStarAndNoneByDefault) {
  ServerOptions options = on_any_port();
  options.allowed_origins = {"*"};
  Fixture any(std::move(options));
  any.attach();
  EXPECT_EQ(any.echo({{"Origin", "https://x"}}).head.header("Access-Control-Allow-Origin"), "*");
  Fixture none;
  none.attach();
  EXPECT_FALSE(none.echo({{"Origin", "https://x"}}).head.header("Access-Control-Allow-Origin"));
}

TEST(HttpServer, RefusesInAFormThatPagesMayRead) {
  ServerOptions options = on_any_port();
  options.allowed_origins = {"https://a.example"};
  options.transport.parser.max_body_bytes = 1;
  Fixture f(std::move(options));
  f.attach();
  const auto response =
      f.echo({{"Origin", "https://a.example"}, {"X-Request-Id", "my-id"}}, "too much");
  EXPECT_EQ(response.head.status, 413);
  EXPECT_EQ(response.head.header("Access-Control-Allow-Origin"), "https://a.example");
  EXPECT_EQ(response.head.header("X-Request-Id"), "my-id");
  const auto lines = f.lines.of("request");
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].at("id"), "my-id");
  EXPECT_EQ(lines[0].at("method"), "POST");
  EXPECT_EQ(lines[0].at("path"), "/v1/echo");
  EXPECT_EQ(lines[0].at("status"), 413);
}

TEST(HttpServer, LogsARequestWithItsId) {
  Fixture f;
  f.attach();
  f.echo({{"X-Request-Id", "my-id"}});
  const auto lines = f.lines.of("request");
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].at("id"), "my-id");
  EXPECT_EQ(lines[0].at("method"), "POST");
  EXPECT_EQ(lines[0].at("path"), "/v1/echo");
  EXPECT_EQ(lines[0].at("status"), 200);
  EXPECT_EQ(lines[0].at("peer"), "127.0.0.1");
  EXPECT_TRUE(lines[0].contains("duration_s"));
}

TEST(HttpServer, LogsNoRequestsWhereAskedNotTo) {
  ServerOptions options = on_any_port();
  options.has_access_log = false;
  Fixture f(std::move(options));
  f.attach();
  f.echo();
  EXPECT_TRUE(f.lines.of("request").empty());
}

TEST(HttpServer, TurnsNewWorkAwayWhileItShutsDown) {
  Fixture f;
  f.attach();
  f.server.begin_drain();
  const auto response = f.echo();
  EXPECT_EQ(response.head.status, 503);
  EXPECT_EQ(nlohmann::json::parse(response.body).at("error").at("code"), "shutting_down");
  EXPECT_EQ(f.get("/readyz").head.status, 503);
  EXPECT_EQ(f.get("/livez").head.status, 200);
  EXPECT_EQ(f.get("/metrics").head.status, 200);
  while (!f.server.is_drained()) std::this_thread::yield();
}

TEST(HttpServer, GivesATraceOfItsSteps) {
  Fixture f;
  f.attach();
  serving::StepRecord record;
  record.number = 5;
  f.server.on_step(record);
  const auto trace = nlohmann::json::parse(f.get("/debug/trace").body);
  EXPECT_EQ(trace.at("traceEvents").at(2).at("args").at("number"), 5);
}

TEST(HttpServer, SaysWhatItsMetricsAre) {
  Fixture f;
  f.attach();
  f.stats.num_running = 3;
  const auto response = f.get("/metrics");
  EXPECT_EQ(response.head.header("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_NE(response.body.find("veloz:num_requests_running{engine=\"0\",model_name=\"tiny\"} 3\n"),
            std::string::npos);
}

TEST(HttpServer, WritesStatisticsWhileThereIsSomethingToTell) {
  Fixture f;
  f.attach();
  const auto now = steady_clock::now();
  f.server.tick(now + seconds(11));
  EXPECT_TRUE(f.lines.of("stats").empty());
  serving::StepRecord record;
  record.num_decode_tokens = 10;
  f.server.on_step(record);
  f.server.tick(now + seconds(15));
  EXPECT_TRUE(f.lines.of("stats").empty()) << "not yet";
  f.server.tick(now + seconds(22));
  ASSERT_EQ(f.lines.of("stats").size(), 1u);
}

TEST(HttpServer, WritesNoStatisticsWhereAskedNotTo) {
  ServerOptions options = on_any_port();
  options.has_stats_log = false;
  options.stats_interval = seconds(1);
  Fixture f(std::move(options));
  f.attach();
  const auto now = steady_clock::now();
  for (int second = 2; second < 6; ++second) {
    serving::StepRecord record;
    record.num_decode_tokens = 10;
    f.server.on_step(record);
    f.server.tick(now + seconds(second));
  }
  EXPECT_TRUE(f.lines.of("stats").empty());
}

TEST(HttpServer, RefusesMalformedRequestsInOpenAisFormAndLogsThem) {
  ServerOptions options = on_any_port();
  options.transport.parser.max_body_bytes = 3;
  Fixture f(std::move(options));
  f.attach();
  const auto response = f.echo({}, "four");
  EXPECT_EQ(response.head.status, 413);
  EXPECT_EQ(nlohmann::json::parse(response.body).at("error").at("type"), "invalid_request_error");
  ASSERT_EQ(f.lines.of("request").size(), 1u);
  EXPECT_EQ(f.lines.of("request")[0].at("status"), 413);
}

}  // namespace
}  // namespace veloz::http
