// SPDX-License-Identifier: Apache-2.0
// An engine whose steps fail, behind the whole server: who hears of it, and what goes on.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <variant>

#include "http/openai/byte_pieces.h"
#include "http/openai/generation_stream.h"
#include "http/server.h"
#include "net/client.h"
#include "serving/engine_fixture.h"

namespace veloz::http {
namespace {

using nlohmann::json;

ServerOptions on_some_port() {
  ServerOptions options;
  options.transport.port = 0;
  return options;
}

/// A made-up model that answers every request to /v1/chat/completions with the same six tokens.
struct FailingServer {
  FailingServer() {
    engine.runner.on_step = [this](int64_t) {
      if (num_failures > 0 && num_failures-- > 0)
        throw Error(ErrorKind::internal, "a kernel failed");
    };
    Router routes;
    routes.add("POST", "/v1/chat/completions", [this](const auto& exchange) { answer(exchange); });
    server.attach({.routes = std::move(routes),
                   .stats = [this] { return engine.executor.stats(); },
                   .describe_running = [] { return ""; },
                   .metrics = &metrics});
  }
  ~FailingServer() { server.stop(); }
  FailingServer(const FailingServer&) = delete;
  FailingServer& operator=(const FailingServer&) = delete;

  void answer(const std::shared_ptr<net::Exchange>& exchange) {
    openai::AnswerPlan plan{.id = "chatcmpl-1", .model = "m", .pieces = &pieces};
    plan.params.temperature = 0;
    plan.params.ignore_eos = true;
    plan.params.max_tokens = 6;
    plan.prompts.push_back({.tokens = {7, 8, 9}});
    serving::Request request{.prompt_tokens = plan.prompts[0].tokens, .params = plan.params};
    const auto stream = std::make_shared<openai::GenerationStream>(
        exchange, openai::create_chat_answer(std::move(plan), /*is_streamed=*/false),
        engine.executor, metrics);
    stream->start();
    stream->set_ids({std::get<serving::RequestId>(
        engine.executor.submit(std::move(request), stream->make_sink(0, nullptr)))});
  }
  net::ClientResponse fetch(std::string method, const std::string& path) {
    return net::fetch(client, {.method = std::move(method),
                               .url = fmt::format("http://127.0.0.1:{}{}", server.port(), path)});
  }
  /// What is answered once the engine has noted the request's last step.
  net::ClientResponse generate() {
    net::ClientResponse response = fetch("POST", "/v1/chat/completions");
    engine.wait_until_idle();
    return response;
  }

  std::atomic<int> num_failures = 0;  // of the next steps
  openai::BytePieces pieces;
  serving::Engine engine;
  Metrics metrics{{.model_name = "m"}};
  Log log{LogFormat::json, [](const std::string&) {}};
  Server server{on_some_port(), log};
  net::Client client;
};

TEST(FailingSteps, AnswerTheirRequestWith500AndTheNextIsServed) {
  FailingServer f;
  const net::ClientResponse good = f.generate();
  ASSERT_EQ(good.head.status, 200) << good.body;
  f.num_failures = 1;
  const net::ClientResponse bad = f.generate();
  EXPECT_EQ(bad.head.status, 500);
  const json error = json::parse(bad.body).at("error");
  EXPECT_NE(error.at("message").get<std::string>().find("a kernel failed"), std::string::npos);
  EXPECT_EQ(error.at("type"), "server_error");
  EXPECT_TRUE(error.at("param").is_null() && error.at("code").is_null());
  const net::ClientResponse next = f.generate();
  EXPECT_EQ(next.head.status, 200);
  EXPECT_EQ(json::parse(next.body).at("choices"), json::parse(good.body).at("choices"));
  EXPECT_EQ(f.fetch("GET", "/readyz").head.status, 200);
}

TEST(FailingSteps, OneAfterTheOtherMakeTheServerNotReadyUntilOneIsDone) {
  FailingServer f;
  f.num_failures = 1000;
  EXPECT_EQ(f.generate().head.status, 500);
  EXPECT_EQ(f.generate().head.status, 500);
  const net::ClientResponse not_ready = f.fetch("GET", "/readyz");
  EXPECT_EQ(not_ready.head.status, 503);
  EXPECT_NE(not_ready.body.find("a kernel failed"), std::string::npos) << not_ready.body;
  EXPECT_EQ(f.fetch("GET", "/livez").head.status, 200);
  f.num_failures = 0;
  EXPECT_EQ(f.generate().head.status, 200) << "it takes requests all the time";
  EXPECT_EQ(f.fetch("GET", "/readyz").head.status, 200);
}

}  // namespace
}  // namespace veloz::http
