// SPDX-License-Identifier: Apache-2.0
#include "benchmark/openai_request.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace veloz::benchmark {
namespace {

using nlohmann::json;

json body(const SampleRequest& request, const RequestFormat& format) {
  return json::parse(request_body(request, format));
}

TEST(OpenaiRequest, ACompletionCarriesTokenIds) {
  const SampleRequest request{std::vector<int32_t>{5, 6}, 2, 16};
  EXPECT_EQ(body(request, {.model = "m", .ignore_eos = true}), json::parse(R"({
    "model": "m", "prompt": [5, 6], "max_tokens": 16, "temperature": 0.0, "ignore_eos": true,
    "stream": true, "stream_options": {"include_usage": true}})"));
}

TEST(OpenaiRequest, AChatCarriesThePromptAsItsOneMessage) {
  const SampleRequest request{std::string("hi"), 1, 4};
  const json sent =
      body(request, {.backend = Backend::openai_chat, .model = "m", .temperature = std::nullopt});
  EXPECT_EQ(sent.at("messages"), json::parse(R"([{"role": "user", "content": "hi"}])"));
  EXPECT_FALSE(sent.contains("prompt"));
  EXPECT_FALSE(sent.contains("temperature"));
  EXPECT_FALSE(sent.contains("ignore_eos"));
}

TEST(OpenaiRequest, AChatCannotCarryTokenIds) {
  const SampleRequest request{std::vector<int32_t>{5}, 1, 4};
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"token ids", "--backend openai"}, [&] {
    request_body(request, {.backend = Backend::openai_chat});
  }));
}

TEST(OpenaiRequest, ExtraFieldsGoOverOurs) {
  const SampleRequest request{std::string("hi"), 1, 4};
  const json sent = body(request, {.extra_body = {{"top_k", 5}, {"temperature", 0.7}}});
  EXPECT_EQ(sent.at("top_k"), 5);
  EXPECT_EQ(sent.at("temperature"), 0.7);
}

TEST(OpenaiRequest, BackendsAreNamedAsVllmNamesThem) {
  EXPECT_EQ(default_endpoint(parse_backend("openai")), "/v1/completions");
  EXPECT_EQ(default_endpoint(parse_backend("openai-chat")), "/v1/chat/completions");
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"tgi", "openai-chat"},
                                 [] { parse_backend("tgi"); }));
}

}  // namespace
}  // namespace veloz::benchmark
