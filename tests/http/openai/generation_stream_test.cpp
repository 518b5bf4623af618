// SPDX-License-Identifier: Apache-2.0
#include "http/openai/generation_stream.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "http/fake_exchange.h"
#include "http/openai/byte_pieces.h"
#include "serving/engine_fixture.h"

namespace veloz::http::openai {
namespace {

using nlohmann::json;

const BytePieces kPieces;

SamplingParams params_of(int64_t max_tokens) {
  SamplingParams params;
  params.temperature = 0;
  params.ignore_eos = true;
  params.max_tokens = max_tokens;
  return params;
}

/// An engine of a made-up model, and one request to it on the way to an exchange without a network.
struct Way {
  Way(const SamplingParams& params, bool is_streamed) : sampling(params) {
    AnswerPlan plan;
    plan.id = "chatcmpl-1";
    plan.model = "m";
    plan.pieces = &kPieces;
    plan.params = params;
    plan.n = plan.num_generated = params.n;
    plan.prompts.push_back({.tokens = tokens});
    stream = std::make_shared<GenerationStream>(
        exchange, create_chat_answer(std::move(plan), is_streamed), engine.executor, metrics);
    stream->start();
  }

  void submit() {
    std::shared_ptr<std::vector<api::TextChoice>> texts;
    serving::Request request{.prompt_tokens = tokens, .params = sampling};
    if (!sampling.stop.empty()) {
      texts =
          std::make_shared<std::vector<api::TextChoice>>(api::make_text_choices(kPieces, sampling));
      request.observer = api::make_stop_observer(sampling, texts);
    }
    stream->add_id(std::get<serving::RequestId>(
        engine.executor.submit(std::move(request), stream->make_sink(0, std::move(texts)))));
  }
  json answer() {
    engine.wait_until_idle();
    return json::parse(exchange->response->body);
  }

  Metrics metrics{Metrics::Options{.model_name = "m"}};
  serving::Engine engine;
  std::shared_ptr<FakeExchange> exchange = std::make_shared<FakeExchange>(net::Request{});
  SamplingParams sampling;
  std::shared_ptr<GenerationStream> stream;
  std::vector<int32_t> tokens = {7, 8, 9};
};

TEST(GenerationStream, AnswersOnceTheRequestHasEnded) {
  Way way(params_of(6), /*is_streamed=*/false);
  way.submit();
  const json body = way.answer();
  EXPECT_EQ(body["usage"]["completion_tokens"], 6);
  EXPECT_EQ(body["choices"][0]["finish_reason"], "length");
  EXPECT_TRUE(way.exchange->header("x-veloz-ttft-ms"));
  EXPECT_TRUE(way.exchange->header("x-veloz-total-ms"));
}

TEST(GenerationStream, StreamsTheTextOfTheWholeAnswer) {
  Way whole(params_of(6), /*is_streamed=*/false);
  whole.submit();
  const std::string expected = whole.answer()["choices"][0]["message"]["content"];
  Way way(params_of(6), /*is_streamed=*/true);
  way.submit();
  way.engine.wait_until_idle();
  EXPECT_TRUE(way.exchange->is_finished);
  EXPECT_TRUE(way.exchange->response->content_type.starts_with("text/event-stream"));
  std::string text;
  const std::string& body = way.exchange->response->body;
  ASSERT_TRUE(body.ends_with("data: [DONE]\n\n"));
  for (size_t at = 0; body.compare(at, 12, "data: [DONE]") != 0; at = body.find("\n\n", at) + 2)
    text += json::parse(body.substr(at + 6, body.find("\n\n", at) - at - 6))["choices"][0]["delta"]
                .value("content", "");
  EXPECT_EQ(text, expected);
}

TEST(GenerationStream, CancelsWhereTheClientCannotBeWrittenTo) {
  Way way(params_of(40), /*is_streamed=*/true);
  way.exchange->is_gone = true;
  way.submit();
  way.engine.wait_until_idle();
  EXPECT_LT(way.engine.executor.stats().num_steps, 20);
  EXPECT_FALSE(way.exchange->is_finished);
}

TEST(GenerationStream, CancelsARequestThatIsSubmittedAfterItsClientWent) {
  Way way(params_of(60), /*is_streamed=*/true);
  way.exchange->abort_callback();
  way.submit();
  way.engine.wait_until_idle();
  EXPECT_LT(way.engine.executor.stats().num_steps, 60);
}

TEST(GenerationStream, EndsAtStopStringsAndSaysWhich) {
  Way plain(params_of(12), /*is_streamed=*/false);
  plain.submit();
  const std::string text = plain.answer()["choices"][0]["message"]["content"];
  SamplingParams params = params_of(12);
  params.stop = {text.substr(4, 2)};
  Way way(params, /*is_streamed=*/false);
  way.submit();
  const json choice = way.answer()["choices"][0];
  EXPECT_EQ(choice["message"]["content"], text.substr(0, text.find(params.stop[0])));
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_EQ(choice["stop_reason"], params.stop[0]);
}

TEST(GenerationStream, AnswersWithTheStatusOfAFailureBeforeTheFirstEvent) {
  Way way(params_of(6), /*is_streamed=*/true);
  way.engine.runner.on_step = [](int64_t) { throw Error(ErrorKind::internal, "a kernel failed"); };
  way.submit();
  way.engine.wait_until_idle();
  EXPECT_EQ(way.exchange->response->status, 500);
  EXPECT_NE(way.exchange->response->body.find("a kernel failed"), std::string::npos);
}

TEST(GenerationStream, EndsAStreamThatFailsWithAnErrorEvent) {
  Way way(params_of(20), /*is_streamed=*/true);
  way.engine.runner.on_step = [](int64_t step) {
    if (step == 5) throw Error(ErrorKind::internal, "a kernel failed");
  };
  way.submit();
  way.engine.wait_until_idle();
  EXPECT_EQ(way.exchange->response->status, 200);
  const std::string& body = way.exchange->response->body;
  EXPECT_NE(body.find("data: {\"error\":{\"message\":\"a kernel failed"), std::string::npos)
      << body;
  EXPECT_TRUE(body.ends_with("data: [DONE]\n\n"));
  EXPECT_TRUE(way.exchange->is_finished);
}

TEST(GenerationStream, CountsWhatItAnswered) {
  Way way(params_of(6), /*is_streamed=*/false);
  way.submit();
  const serving::ExecutorStats stats = way.engine.wait_until_idle();
  const std::string text = way.metrics.text(stats);
  EXPECT_NE(text.find("generation_tokens_total{"), std::string::npos);
  EXPECT_NE(text.find("time_to_first_token_seconds_count{"), std::string::npos);
}

}  // namespace
}  // namespace veloz::http::openai
