// SPDX-License-Identifier: Apache-2.0
#include "http/openai/grammar_cache.h"

#include <gtest/gtest.h>

#include <exception>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "http/openai/error_response.h"
#include "http/openai/request_error.h"

namespace veloz::http::openai {
namespace {

StructuredOutput regex(std::string pattern) {
  return {.kind = StructuredOutput::Kind::regex,
          .source = std::move(pattern),
          .param = "structured_outputs.regex"};
}

/// What a cache called back with, and on which thread.
struct Answer {
  grammar::GrammarPtr grammar;
  RequestError::Details error;
  std::thread::id thread;
};

// On the thread that made it: no sanitizer sees how threads that share an exception let it go.
RequestError::Details details_of(const std::exception_ptr& error) {
  if (!error) return {};
  try {
    std::rethrow_exception(error);
  } catch (const RequestError& e) {
    return e.details();
  }
}

std::future<Answer> ask(GrammarCache& cache, const std::string& pattern) {
  const auto answer = std::make_shared<std::promise<Answer>>();
  cache.get(regex(pattern), [answer](grammar::GrammarPtr grammar, const std::exception_ptr& error) {
    answer->set_value({std::move(grammar), details_of(error), std::this_thread::get_id()});
  });
  return answer->get_future();
}

grammar::GrammarPtr compile_now(GrammarCache& cache, const std::string& pattern) {
  return ask(cache, pattern).get().grammar;
}

/// Keeps the compiling thread of a cache busy while it lives.
class HeldUp {
 public:
  explicit HeldUp(GrammarCache& cache) {
    const auto begun = std::make_shared<std::promise<void>>();
    const std::shared_future<void> go_on = go_on_.get_future().share();
    cache.get(regex("held up"), [begun, go_on](const auto&, const auto&) {
      begun->set_value();
      go_on.wait();
    });
    begun->get_future().wait();
  }
  ~HeldUp() { go_on_.set_value(); }
  HeldUp(const HeldUp&) = delete;
  HeldUp& operator=(const HeldUp&) = delete;

 private:
  std::promise<void> go_on_;
};

TEST(GrammarCache, CompilesElsewhereAndOnceForAllThatWait) {
  GrammarCache cache({});
  std::future<Answer> first;
  std::future<Answer> second;
  {
    const HeldUp held_up(cache);
    first = ask(cache, "a+");
    second = ask(cache, "a+");
  }
  const Answer one = first.get();
  ASSERT_NE(one.grammar, nullptr);
  EXPECT_EQ(one.grammar, second.get().grammar);
  EXPECT_NE(one.thread, std::this_thread::get_id());
  const Answer known = ask(cache, "a+").get();
  EXPECT_EQ(known.grammar, one.grammar);
  EXPECT_EQ(known.thread, std::this_thread::get_id());
}

TEST(GrammarCache, ForgetsTheLeastRecentlyUsed) {
  GrammarCache cache({.max_entries = 2});
  const grammar::GrammarPtr a = compile_now(cache, "a");
  const grammar::GrammarPtr b = compile_now(cache, "b");
  EXPECT_EQ(compile_now(cache, "a"), a);
  compile_now(cache, "c");
  EXPECT_EQ(compile_now(cache, "a"), a);
  EXPECT_NE(compile_now(cache, "b"), b);
}

TEST(GrammarCache, HoldsNoMoreBytesThanItMay) {
  const std::string many = "[a-z]{1,100}[a-z0-9]{1,100}";
  const grammar::CompileLimits limits = {.max_milliseconds = 60'000};
  GrammarCache wide({.limits = limits});
  const grammar::GrammarPtr large = compile_now(wide, many + "a");
  ASSERT_NE(large, nullptr);
  const size_t num_bytes = grammar::num_bytes(*large);
  EXPECT_GT(num_bytes, 10'000U);

  GrammarCache cache({.max_bytes = 2 * num_bytes + num_bytes / 2, .limits = limits});
  const grammar::GrammarPtr a = compile_now(cache, many + "a");
  const grammar::GrammarPtr b = compile_now(cache, many + "b");
  EXPECT_EQ(compile_now(cache, many + "a"), a);
  compile_now(cache, many + "c");
  EXPECT_EQ(compile_now(cache, many + "a"), a);
  EXPECT_NE(compile_now(cache, many + "b"), b);

  GrammarCache small({.max_bytes = num_bytes / 2, .limits = limits});
  const grammar::GrammarPtr one = compile_now(small, many + "a");
  ASSERT_NE(one, nullptr);
  EXPECT_NE(compile_now(small, many + "a"), one) << "larger than the whole cache";
}

TEST(GrammarCache, RefusesWhatWouldWaitTooLong) {
  GrammarCache cache({.max_waiting = 1});
  std::future<Answer> waiting;
  {
    const HeldUp held_up(cache);
    waiting = ask(cache, "a");
    try {
      ask(cache, "b");
      ADD_FAILURE() << "nothing was thrown";
    } catch (const RequestError& e) {
      EXPECT_EQ(e.details().status, 503);
      EXPECT_EQ(error_response_of(e).headers, (net::Headers{{"Retry-After", "5"}}));
    }
  }
  EXPECT_NE(waiting.get().grammar, nullptr);
  EXPECT_NE(compile_now(cache, "b"), nullptr) << "it may be asked for again";
}

TEST(GrammarCache, TellsWhatIsWrongFromWhatIsTooMuch) {
  GrammarCache cache({.limits = {.max_states = 50}});
  for (int i = 0; i < 2; ++i) {
    const Answer wrong = ask(cache, "a(").get();
    EXPECT_EQ(wrong.grammar, nullptr);
    EXPECT_EQ(wrong.error.status, 400);
    EXPECT_EQ(wrong.error.param, "structured_outputs.regex");
    EXPECT_EQ(ask(cache, "(a|b)*a(a|b){9}").get().error.status, 422);
  }
}

}  // namespace
}  // namespace veloz::http::openai
