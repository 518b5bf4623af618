// SPDX-License-Identifier: Apache-2.0
#include "http/router.h"

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "http/fake_exchange.h"

namespace veloz::http {
namespace {

std::shared_ptr<FakeExchange> route(const Router& router, std::string method, std::string path) {
  auto exchange = std::make_shared<FakeExchange>(
      net::Request{.method = std::move(method), .path = std::move(path)});
  router.handle(exchange);
  return exchange;
}

Router test_router() {
  Router router;
  const auto say = [](std::string text) {
    return [text](const auto& exchange) { exchange->respond({.body = text}); };
  };
  router.add("GET", "/v1/models", say("list"));
  router.add("GET", "/v1/models/*", say("one"));
  router.add("POST", "/v1/models", say("add"));
  router.add("POST", "/tokenize", say("tokens"));
  return router;
}

TEST(Router, FindsTheHandlerOfMethodAndPath) {
  const Router router = test_router();
  EXPECT_EQ(route(router, "GET", "/v1/models")->response->body, "list");
  EXPECT_EQ(route(router, "POST", "/v1/models")->response->body, "add");
  EXPECT_EQ(route(router, "GET", "/v1/models/org/name")->response->body, "one");
}

TEST(Router, AnswersHeadAsGet) {
  EXPECT_EQ(route(test_router(), "HEAD", "/v1/models")->response->body, "list");
}

TEST(Router, Answers404InOpenAisFormWhereNothingIs) {
  for (const char* path : {"/", "/v1/model", "/v1/models/", "/tokenize/x", "/TOKENIZE"}) {
    const auto exchange = route(test_router(), "GET", path);
    EXPECT_EQ(exchange->response->status, 404) << path;
    const auto error = nlohmann::json::parse(exchange->response->body).at("error");
    EXPECT_EQ(error.at("message"), std::string("there is nothing at \"") + path + "\"");
    EXPECT_EQ(error.at("type"), "not_found_error");
    EXPECT_TRUE(error.at("param").is_null());
    EXPECT_TRUE(error.at("code").is_null());
  }
}

TEST(Router, Answers405WithTheMethodsThatFit) {
  const auto exchange = route(test_router(), "DELETE", "/v1/models");
  EXPECT_EQ(exchange->response->status, 405);
  EXPECT_EQ(exchange->header("Allow"), "GET, HEAD, POST");
  EXPECT_EQ(route(test_router(), "GET", "/tokenize")->header("Allow"), "POST");
}

}  // namespace
}  // namespace veloz::http
