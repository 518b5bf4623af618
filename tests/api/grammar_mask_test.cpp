// SPDX-License-Identifier: Apache-2.0
#include "api/grammar_mask.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "api/loaded_model.h"
#include "serving/collector.h"
#include "support/expect_error.h"
#include "support/golden_models.h"
#include "support/temp_directory.h"
#include "veloz/build.h"

namespace veloz::api {
namespace {

class GrammarMaskTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = std::make_unique<test::TempDirectory>();
    build(test::small_build(test::bundled_model("tiny-gptj"), directory_->path() / "engine"));
    model_ =
        std::make_unique<LoadedModel>(directory_->path() / "engine", LLMOptions{.num_threads = 2});
    const auto& manifest = model_->engine().manifest();
    std::vector<int32_t> ends;
    for (const int64_t id : manifest.model.eos_token_ids) ends.push_back(static_cast<int32_t>(id));
    vocabulary_ = grammar::make_vocabulary(model_->pieces(), manifest.model.vocab_size, ends);
  }
  static void TearDownTestSuite() {
    vocabulary_.reset();
    model_.reset();
    directory_.reset();
  }

  /// Texts of the choices, sampled under the grammar.
  static std::vector<std::string> sample(const grammar::GrammarPtr& grammar, int64_t n) {
    serving::Request request;
    request.prompt_tokens = model_->tokens_of("The answer is");
    request.params.n = n;
    request.params.max_tokens = 100;
    request.params.seed = 5;
    for (int64_t i = 0; i < n; ++i)
      request.masks.push_back(std::make_unique<GrammarMask>(grammar, vocabulary_));
    const auto inbox = std::make_shared<serving::Inbox>();
    EXPECT_TRUE(std::holds_alternative<serving::RequestId>(model_->executor().submit(
        std::move(request), std::make_unique<serving::Collector>(inbox))));
    const serving::Outcome outcome = inbox->wait();
    EXPECT_FALSE(outcome.error.has_value());
    std::vector<std::string> texts;
    for (const auto& [index, choice] : outcome.choices) {
      EXPECT_EQ(choice.end->reason, FinishReason::stop);
      texts.push_back(model_->require_tokenizer().decode(choice.tokens));
    }
    return texts;
  }

  static inline std::unique_ptr<test::TempDirectory> directory_;
  static inline std::unique_ptr<LoadedModel> model_;
  static inline std::shared_ptr<const grammar::Vocabulary> vocabulary_;
};

TEST_F(GrammarMaskTest, EveryChoiceIsATextOfTheGrammar) {
  const std::vector<std::string> choices = {"yes", "no", "not before \"Monday\"\n"};
  for (const std::string& text : sample(grammar::compile_choice(choices), 8))
    EXPECT_EQ(std::count(choices.begin(), choices.end(), text), 1) << text;
  for (const std::string& text : sample(grammar::compile_regex("[a-f]{3}-[0-9]{2}"), 4)) {
    ASSERT_EQ(text.size(), 6u) << text;
    EXPECT_EQ(text[3], '-');
  }
}

TEST_F(GrammarMaskTest, ATokenAgainstTheGrammarIsAnError) {
  GrammarMask mask(grammar::compile_regex("a+"), vocabulary_);
  const std::vector<int32_t> tokens = model_->require_tokenizer().encode("ab");
  EXPECT_TRUE(test::throws_error(ErrorKind::internal, {"against the grammar"}, [&] {
    for (const int32_t token : tokens) mask.accept(token);
  }));
}

}  // namespace
}  // namespace veloz::api
