// SPDX-License-Identifier: Apache-2.0
#include "eval/eval_set.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "support/checkpoint_files.h"
#include "support/expect_error.h"
#include "support/temp_directory.h"

namespace veloz::eval {
namespace {

using test::throws_error;
using Tokens = std::vector<int32_t>;

/// Characters as tokens: "a" to "d" are 3 to 6, a space 7; texts begin with token 1.
constexpr const char* kTokenizer = R"({
  "added_tokens": [
    {"id": 1, "content": "<s>", "special": true}, {"id": 2, "content": "</s>", "special": true}],
  "normalizer": null, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
  "post_processor": {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
  "decoder": {"type": "ByteLevel"},
  "model": {"type": "BPE", "merges": [], "vocab": {"<pad>": 0, "<s>": 1, "</s>": 2, "a": 3,
    "b": 4, "c": 5, "d": 6, "\u0120": 7}}})";
constexpr const char* kTemplate =
    "{% for m in messages %}{{ m.role[0] }}{{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}a{% endif %}";

class EvalSetTest : public testing::Test {
 protected:
  void SetUp() override {
    test::write_bytes(directory_.path() / "tokenizer.json", kTokenizer);
    test::write_bytes(directory_.path() / "tokenizer_config.json",
                      R"({"bos_token": "<s>", "eos_token": "</s>"})");
    test::write_bytes(directory_.path() / "chat_template.jinja", kTemplate);
    text_ = text::load_text_files(directory_.path());
  }
  std::filesystem::path write(const std::string& content) const {
    test::write_bytes(directory_.path() / "data", content);
    return directory_.path() / "data";
  }
  EvalSet read(const std::string& content, const EvalSetOptions& options) const {
    EvalSet set;
    add_items(set, write(content), text_, options);
    return set;
  }
  EvalSet read(const std::string& content) const { return read(content, {.max_model_len = 20}); }
  EvalSet read_text(const std::string& content, const EvalSetOptions& options) const {
    EvalSet set;
    add_text(set, write(content), text_, options);
    return set;
  }
  void expect_refused(const std::string& content,
                      std::initializer_list<std::string_view> parts) const {
    EXPECT_TRUE(throws_error(ErrorKind::invalid_input, parts, [&] { read(content); })) << content;
  }

  const test::TempDirectory directory_;
  text::TextFiles text_;
};

TEST_F(EvalSetTest, ReadsPromptsWithTheirReference) {
  const EvalSet set = read("{\"prompt\": \"ab\", \"reference\": \"cd\", \"id\": 7}\n\n");
  EXPECT_EQ(set.task, Task::summarize);
  EXPECT_EQ(set.name, "data");
  ASSERT_EQ(set.items.size(), 1u);
  EXPECT_EQ(set.items[0].prompt_tokens, (Tokens{1, 3, 4}));
  EXPECT_EQ(set.items[0].expected, "cd");
}

TEST_F(EvalSetTest, ScoresTheAnswerBehindASpaceAndItsEnd) {
  const EvalSet set = read(R"({"prompt": "ab", "reference": "cd"})");
  ASSERT_EQ(set.texts.size(), 1u);
  EXPECT_EQ(set.texts[0].tokens, (Tokens{1, 3, 4, 7, 5, 6, 2}));
  EXPECT_EQ(set.texts[0].first_scored, 3);
}

TEST_F(EvalSetTest, AddsNoSpaceWhereThereIsOne) {
  EXPECT_EQ(read(R"({"prompt": "ab ", "answer": "c"})").texts[0].tokens,
            (Tokens{1, 3, 4, 7, 5, 2}));
  EXPECT_EQ(read(R"({"prompt": "ab", "answer": " c"})").texts[0].tokens,
            (Tokens{1, 3, 4, 7, 5, 2}));
}

TEST_F(EvalSetTest, PutsMessagesThroughTheChatTemplate) {
  const EvalSet set = read(R"({"messages": [{"role": "b", "content": "c"}], "answer": "d"})");
  EXPECT_EQ(set.task, Task::chat);
  EXPECT_EQ(set.items[0].prompt_tokens, (Tokens{4, 5, 2, 3}));  // "bc</s>a"
  EXPECT_EQ(set.texts[0].tokens, (Tokens{4, 5, 2, 3, 6, 2}));   // "bc</s>ad</s>"
  EXPECT_EQ(set.texts[0].first_scored, 4);
}

TEST_F(EvalSetTest, TakesTheTaskThatIsAskedFor) {
  EXPECT_EQ(
      read(R"({"prompt": "a", "answer": "b"})", {.task = Task::chat, .max_model_len = 20}).task,
      Task::chat);
  EXPECT_EQ(parse_task("summarize"), Task::summarize);
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"\"sum\"", "summarize", "chat"},
                           [] { parse_task("sum"); }));
}

TEST_F(EvalSetTest, StopsAtTheLimit) {
  const std::string line = "{\"prompt\": \"a\", \"answer\": \"b\"}\n";
  EXPECT_EQ(read(line + line + "no JSON", {.limit = 2, .max_model_len = 20}).items.size(), 2u);
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"a limit of 0", "1 or more"},
                           [&] { read(line, {.limit = 0, .max_model_len = 20}); }));
}

TEST_F(EvalSetTest, RefusesLinesThatSayNothing) {
  expect_refused("{\"prompt\": \"a\", \"answer\": \"b\"}\nx", {"line 2", "no JSON object"});
  expect_refused("[1]", {"line 1", "no JSON object"});
  expect_refused(R"({"answer": "b"})", {"no \"prompt\" and no \"messages\""});
  expect_refused(R"({"prompt": "a"})", {"no \"reference\" and no \"answer\""});
  expect_refused(R"({"prompt": "", "answer": "b"})", {"\"prompt\" must be a text"});
  expect_refused(R"({"prompt": "a", "answer": 3})", {"\"answer\" must be a text"});
  expect_refused(R"({"messages": [], "answer": "b"})", {"\"messages\" must be a list"});
  expect_refused(R"({"messages": [{"role": "b"}], "answer": "b"})", {"\"messages\" must be"});
  expect_refused("\n \n", {"holds no items"});
}

TEST_F(EvalSetTest, RefusesWhatDoesNotFitTheModel) {
  EXPECT_TRUE(
      throws_error(ErrorKind::invalid_input, {"line 1", "have 7 tokens, the model takes 6"},
                   [&] { read(R"({"prompt": "ab", "reference": "cd"})", {.max_model_len = 6}); }));
}

TEST_F(EvalSetTest, RefusesModelsThatCannotReadTheData) {
  EvalSet set;
  const auto path = write(R"({"messages": [{"role": "b", "content": "c"}], "answer": "d"})");
  EXPECT_TRUE(throws_error(ErrorKind::unsupported, {"no tokenizer"},
                           [&] { add_items(set, path, {}, {.max_model_len = 20}); }));
  text_.chat_templates.reset();
  EXPECT_TRUE(throws_error(ErrorKind::unsupported, {"line 1", "no chat template"},
                           [&] { add_items(set, path, text_, {.max_model_len = 20}); }));
  EXPECT_TRUE(throws_error(ErrorKind::not_found, {"nowhere"},
                           [&] { add_items(set, "nowhere", text_, {.max_model_len = 20}); }));
}

TEST_F(EvalSetTest, CutsTextsIntoWindowsThatEachBeginAsTextsDo) {
  const EvalSet set = read_text("abcdabc", {.max_model_len = 20, .max_text_window = 4});
  EXPECT_FALSE(set.task);
  ASSERT_EQ(set.texts.size(), 3u);
  EXPECT_EQ(set.texts[0].tokens, (Tokens{1, 3, 4, 5}));
  EXPECT_EQ(set.texts[1].tokens, (Tokens{1, 6, 3, 4}));
  EXPECT_EQ(set.texts[2].tokens, (Tokens{1, 5}));
  for (const ScoredText& text : set.texts) EXPECT_EQ(text.first_scored, 1);
}

TEST_F(EvalSetTest, WindowsFitTheModelAndTheLimit) {
  const EvalSet set = read_text("abcdabcd", {.limit = 1, .max_model_len = 3});
  ASSERT_EQ(set.texts.size(), 1u);
  EXPECT_EQ(set.texts[0].tokens, (Tokens{1, 3, 4}));
}

TEST_F(EvalSetTest, RefusesTextsWithNothingToPredict) {
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"holds 0 tokens"},
                           [&] { read_text("", {.max_model_len = 20}); }));
}

}  // namespace
}  // namespace veloz::eval
