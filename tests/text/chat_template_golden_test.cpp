// SPDX-License-Identifier: Apache-2.0
// Prompts against those of transformers; tests/golden/chat_templates/make_goldens.py made them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "text/chat_template.h"

namespace veloz::text {
namespace {

using Json = nlohmann::ordered_json;

std::filesystem::path golden_dir() {
  return std::filesystem::path(VELOZ_TEST_DATA_DIR) / "golden/chat_templates";
}

Json read_goldens(const char* name) {
  return Json::parse(read_text_file(golden_dir() / name, uint64_t{16} << 20));
}

std::tm golden_time() {
  std::tm time{};
  time.tm_year = 2024 - 1900;
  time.tm_mon = 6;
  time.tm_mday = 6;
  time.tm_hour = 9;
  time.tm_min = 5;
  time.tm_sec = 3;
  time.tm_wday = 6;
  time.tm_yday = 187;
  return time;
}

ChatInput input_of(const Json& conversation) {
  ChatInput input;
  for (const Json& message : conversation["messages"])
    input.messages.push_back(parse_json_value(message.dump()));
  input.tools = parse_json_value(conversation["tools"].dump());
  input.add_generation_prompt = conversation["add_generation_prompt"].get<bool>();
  input.bos_token = "<s>";
  input.eos_token = "</s>";
  for (const auto& [name, value] : conversation["extra"].items())
    input.extra.emplace_back(name, parse_json_value(value.dump()));
  input.clock = golden_time;
  return input;
}

/// {"text"}, {"raised"} or {"error"}, as the goldens have it.
Json outcome_of(const std::string& source, const ChatInput& input) {
  try {
    return {{"text", ChatTemplate::parse(source).render(input)}};
  } catch (const Error& e) {
    const bool is_refusal =
        e.kind() == ErrorKind::invalid_input || e.kind() == ErrorKind::unsupported;
    EXPECT_TRUE(is_refusal) << to_string(e.kind()) << ": " << e.message();
    const bool was_raised = e.message().find("chat template line") == std::string::npos;
    return {{was_raised ? "raised" : "error", e.message()}};
  }
}

/// The words of an error are Python's there and ours here.
void expect_same(const Json& expected, const Json& actual, const std::string& what) {
  if (expected.contains("error"))
    EXPECT_TRUE(actual.contains("error"))
        << what << "\nexpected " << expected << "\ngot " << actual;
  else
    EXPECT_EQ(expected, actual) << what;
}

TEST(ChatTemplateGoldens, EveryTemplateRendersEveryConversationAsTransformersDoes) {
  const Json goldens = read_goldens("rendered.json");
  const Json& conversations = goldens["conversations"];
  ASSERT_GE(goldens["templates"].size(), 12u);
  ASSERT_GE(conversations.size(), 10u);
  for (const Json& entry : goldens["templates"]) {
    const std::string name = entry["name"];
    const std::string source = read_text_file(golden_dir() / "templates" / name, 1 << 20);
    for (size_t i = 0; i < conversations.size(); ++i)
      expect_same(entry["outcomes"][i], outcome_of(source, input_of(conversations[i])),
                  fmt::format("{} on {}", name, conversations[i]["name"].get<std::string>()));
  }
}

TEST(ChatTemplateGoldens, EveryExpressionGivesWhatJinjaGives) {
  const Json goldens = read_goldens("expressions.json");
  ASSERT_GE(goldens["expressions"].size(), 200u);
  ChatInput input;
  for (const auto& [name, value] : goldens["variables"].items())
    input.extra.emplace_back(name, parse_json_value(value.dump()));
  input.clock = golden_time;
  for (const Json& golden : goldens["expressions"]) {
    Json expected = golden;
    expected.erase("source");
    const std::string source = golden["source"];
    expect_same(expected, outcome_of(source, input), source);
  }
}

}  // namespace
}  // namespace veloz::text
