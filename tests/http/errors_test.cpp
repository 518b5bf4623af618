// SPDX-License-Identifier: Apache-2.0
#include "http/errors.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace veloz::http {
namespace {

TEST(Errors, HaveOpenAisForm) {
  const net::Response response =
      error_response(400, "no", {.param = "temperature", .code = "bad_value"});
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.content_type, "application/json");
  EXPECT_EQ(response.body,
            R"({"error":{"message":"no","type":"invalid_request_error","param":"temperature",)"
            R"("code":"bad_value"}})");
}

TEST(Errors, OfWhatIsNotAvailableSayWhenToComeAgain) {
  const net::Headers expected = {{"Retry-After", "5"}};
  EXPECT_EQ(error_response(503, "loading").headers, expected);
  EXPECT_EQ(response_of(Error(ErrorKind::out_of_memory, "no memory")).headers, expected);
  EXPECT_TRUE(error_response(500, "no").headers.empty());
}

TEST(Errors, SurviveBytesThatAreNoUtf8) {
  const auto json = nlohmann::json::parse(error_response(400, "bad \xff\xc0").body);
  EXPECT_EQ(json.at("error").at("message"), "bad \xef\xbf\xbd\xef\xbf\xbd");
}

TEST(Errors, TakeTheirStatusFromTheKindAndKeepTheHint) {
  const net::Response response =
      response_of(Error(ErrorKind::invalid_input, "n is 0", "give 1 or more"));
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(nlohmann::json::parse(response.body).at("error").at("message"),
            "n is 0 (give 1 or more)");
  EXPECT_EQ(status_of(ErrorKind::not_found), 404);
  EXPECT_EQ(status_of(ErrorKind::unsupported), 400);
  EXPECT_EQ(status_of(ErrorKind::cancelled), 408);
  EXPECT_EQ(status_of(ErrorKind::out_of_memory), 503);
  EXPECT_EQ(status_of(ErrorKind::internal), 500);
}

TEST(Errors, OfAFullQueueSayWhenToComeAgain) {
  const net::Response response = response_of(serving::QueueFull{"8 requests wait", 2.1});
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(response.headers, (net::Headers{{"Retry-After", "3"}}));
  EXPECT_EQ(nlohmann::json::parse(response.body).at("error").at("type"), "rate_limit_error");
}

}  // namespace
}  // namespace veloz::http
