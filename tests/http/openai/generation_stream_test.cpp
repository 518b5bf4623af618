// SPDX-License-Identifier: Apache-2.0
#include "http/openai/generation_stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "http/openai/byte_pieces.h"
#include "http/openai/waiting_exchange.h"
#include "serving/engine_fixture.h"

namespace veloz::http::openai {
namespace {

using nlohmann::json;

const BytePieces kStreamPieces;

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
    plan.pieces = &kStreamPieces;
    plan.params = params;
    plan.n = plan.num_generated = params.n;
    plan.return_token_ids = true;
    plan.prompts.push_back({.tokens = tokens});
    stream = std::make_shared<GenerationStream>(
        exchange, create_chat_answer(std::move(plan), is_streamed), engine.executor, metrics);
    stream->start();
  }

  ~Way() { exchange->close(); }
  Way(const Way&) = delete;
  Way& operator=(const Way&) = delete;

  void submit() {
    std::shared_ptr<std::vector<api::TextChoice>> texts;
    serving::Request request{.prompt_tokens = tokens, .params = sampling};
    if (!sampling.stop.empty()) {
      texts = std::make_shared<std::vector<api::TextChoice>>(
          api::make_text_choices(kStreamPieces, sampling));
      request.observer = api::make_stop_observer(sampling, texts);
    }
    stream->set_ids({std::get<serving::RequestId>(
        engine.executor.submit(std::move(request), stream->make_sink(0, std::move(texts))))});
  }
  json answer() { return json::parse(exchange->wait().body); }

  Metrics metrics{Metrics::Options{.model_name = "m"}};
  serving::Engine engine;
  std::shared_ptr<WaitingExchange> exchange = std::make_shared<WaitingExchange>();
  std::promise<void> gate;  // holds the engine up where a test sets it to
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
  way.exchange->wait();
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

// Sampling a long output takes many steps; what is cancelled ends long before.
constexpr int64_t kLong = 60;

TEST(GenerationStream, CancelsWhereTheClientCannotBeWrittenTo) {
  Way way(params_of(kLong), /*is_streamed=*/true);
  way.engine.runner.on_step = [&way](int64_t step) {
    if (step == 10) way.gate.get_future().wait();
  };
  way.exchange->is_gone = true;
  way.submit();
  way.exchange->wait();
  way.gate.set_value();
  way.engine.wait_until_idle();
  EXPECT_LT(way.engine.executor.stats().num_steps, kLong);
  EXPECT_FALSE(way.exchange->is_finished);
}

TEST(GenerationStream, CancelsARequestThatIsSubmittedAfterItsClientWent) {
  Way way(params_of(kLong), /*is_streamed=*/true);
  way.engine.runner.on_step = [&way](int64_t step) {
    if (step == 1) way.gate.get_future().wait();
  };
  way.exchange->abort_callback();
  way.submit();
  way.gate.set_value();
  EXPECT_EQ(way.exchange->wait().status, 503);
  way.engine.wait_until_idle();
  EXPECT_LT(way.engine.executor.stats().num_steps, kLong);
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
  way.exchange->wait();
  EXPECT_EQ(way.exchange->response->status, 500);
  EXPECT_NE(way.exchange->response->body.find("a kernel failed"), std::string::npos);
}

TEST(GenerationStream, EndsAStreamThatFailsWithAnErrorEvent) {
  Way way(params_of(20), /*is_streamed=*/true);
  way.engine.runner.on_step = [&way](int64_t step) {
    if (step != 5) return;
    way.gate.get_future().wait();
    throw Error(ErrorKind::internal, "a kernel failed");
  };
  way.exchange->on_stream_start = [&way] { way.gate.set_value(); };
  way.submit();
  way.exchange->wait();
  EXPECT_EQ(way.exchange->response->status, 200);
  const std::string& body = way.exchange->response->body;
  EXPECT_NE(body.find("data: {\"error\":{\"message\":\"step 5: a kernel failed"), std::string::npos)
      << body;
  EXPECT_TRUE(body.ends_with("data: [DONE]\n\n"));
  EXPECT_TRUE(way.exchange->is_finished);
}

/// What /metrics says behind `series`.
int metric(Way& way, const std::string& series) {
  const std::string text = way.metrics.text(way.engine.executor.stats());
  return std::stoi(text.substr(text.find(series) + series.size()));
}

int num_ended(Way& way, const std::string& reason) {
  return metric(way, "finished_reason=\"" + reason + "\",model_name=\"m\"} ");
}

int num_tokens(Way& way, const std::string& kind) {
  return metric(way, "\nveloz:" + kind + "_tokens_total{engine=\"0\",model_name=\"m\"} ");
}

TEST(GenerationStream, CountsARequestThatFailsAsAnError) {
  Way way(params_of(6), /*is_streamed=*/true);
  way.engine.runner.on_step = [](int64_t) { throw Error(ErrorKind::internal, "a kernel failed"); };
  way.submit();
  EXPECT_EQ(way.exchange->wait().status, 500);
  EXPECT_EQ(num_ended(way, "error"), 1);
}

TEST(GenerationStream, CountsTokensWhileTheyCome) {
  Way way(params_of(20), /*is_streamed=*/true);
  way.engine.runner.on_step = [&way](int64_t step) {
    if (step == 5) way.gate.get_future().wait();
  };
  int num_prompt = 0;
  int num_generated = 0;
  way.exchange->on_stream_start = [&] {
    num_prompt = num_tokens(way, "prompt");
    num_generated = num_tokens(way, "generation");
    way.gate.set_value();
  };
  way.submit();
  way.exchange->wait();
  EXPECT_EQ(num_prompt, 3);
  EXPECT_GT(num_generated, 0);
  EXPECT_LT(num_generated, 6);
  EXPECT_EQ(num_tokens(way, "prompt"), 3);
  EXPECT_EQ(num_tokens(way, "generation"), 20);
}

// Nobody sees an answer in one piece before its end.
TEST(GenerationStream, CountsTokensOfAnAnswerThatIsNotStreamed) {
  Way way(params_of(20), /*is_streamed=*/false);
  way.engine.runner.on_step = [&way](int64_t step) {
    if (step == 5) way.gate.get_future().wait();
  };
  way.submit();
  while (num_tokens(way, "generation") == 0) std::this_thread::yield();
  EXPECT_EQ(num_tokens(way, "prompt"), 3);
  EXPECT_LT(num_tokens(way, "generation"), 6);
  way.gate.set_value();
  way.exchange->wait();
  EXPECT_EQ(num_tokens(way, "generation"), 20);
}

TEST(GenerationStream, CountsTheTokensOfEveryChoiceOnce) {
  SamplingParams params = params_of(6);
  params.n = 3;
  Way way(params, /*is_streamed=*/true);
  way.submit();
  way.exchange->wait();
  EXPECT_EQ(num_tokens(way, "prompt"), 3);
  EXPECT_EQ(num_tokens(way, "generation"), 18);
}

TEST(GenerationStream, TellsTheLengthOfTheLongestChoice) {
  SamplingParams params = params_of(60);
  params.n = 2;
  params.temperature = 1;
  params.seed = 1;
  params.ignore_eos = false;
  Way way(params, /*is_streamed=*/false);
  way.submit();
  const json choices = way.answer()["choices"];
  const auto [shorter, longer] =
      std::minmax({choices[0]["token_ids"].size(), choices[1]["token_ids"].size()});
  ASSERT_LT(shorter + 1, longer);  // so that their mean, rounded up, is something else
  EXPECT_EQ(num_tokens(way, "generation"), shorter + longer);
  EXPECT_EQ(metric(way, "request_max_num_generation_tokens_sum{engine=\"0\",model_name=\"m\"} "),
            longer);
}

TEST(GenerationStream, CountsTheTokensOfABeamSearchAsItsUsageHasThem) {
  SamplingParams params = params_of(6);
  params.n = 2;
  params.num_beams = 4;
  Way way(params, /*is_streamed=*/false);
  way.submit();
  const json usage = way.answer()["usage"];
  EXPECT_EQ(num_tokens(way, "prompt"), 3);
  EXPECT_EQ(num_tokens(way, "generation"), usage["completion_tokens"]);
}

TEST(GenerationStream, CountsWhatAFailedRequestMadeUntilThen) {
  Way way(params_of(20), /*is_streamed=*/true);
  way.engine.runner.on_step = [](int64_t step) {
    if (step == 5) throw Error(ErrorKind::internal, "a kernel failed");
  };
  way.submit();
  way.exchange->wait();
  EXPECT_EQ(num_tokens(way, "prompt"), 3);
  EXPECT_GT(num_tokens(way, "generation"), 0);
  EXPECT_LT(num_tokens(way, "generation"), 6);
}

TEST(GenerationStream, CountsNothingOfAPromptThatFails) {
  Way way(params_of(6), /*is_streamed=*/true);
  way.engine.runner.on_step = [](int64_t) { throw Error(ErrorKind::internal, "a kernel failed"); };
  way.submit();
  way.exchange->wait();
  EXPECT_EQ(num_tokens(way, "prompt"), 0);
  EXPECT_EQ(num_tokens(way, "generation"), 0);
}

}  // namespace
}  // namespace veloz::http::openai
