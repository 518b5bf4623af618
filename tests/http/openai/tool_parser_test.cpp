// SPDX-License-Identifier: Apache-2.0
#include "http/openai/tool_parser.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace veloz::http::openai {
namespace {

using Call = std::pair<std::string, std::string>;  // name, arguments

struct Parsed {
  std::string content;
  std::vector<Call> calls;
  int64_t num_calls = 0;
  bool is_call_open = false;

  bool operator==(const Parsed&) const = default;
};

void add(const ParsedPiece& piece, Parsed& parsed) {
  parsed.content += piece.content;
  for (const ToolCallPiece& call : piece.calls) {
    if (call.name) parsed.calls.emplace_back(*call.name, "");
    ASSERT_EQ(call.index, std::ssize(parsed.calls) - 1);
    parsed.calls.back().second += call.arguments;
  }
}

// The result must not depend on how the text is cut.
Parsed parse_all_ways(const auto& make, std::string_view text) {
  std::optional<Parsed> first;
  for (const size_t size : {size_t{1}, size_t{2}, size_t{3}, size_t{7}, text.size() + 1}) {
    ToolParser parser = make();
    Parsed parsed;
    for (size_t at = 0; at < text.size(); at += size)
      add(parser.push(text.substr(at, size)), parsed);
    add(parser.finish(), parsed);
    parsed.num_calls = parser.num_calls();
    parsed.is_call_open = parser.is_call_open();
    if (!first) first = parsed;
    EXPECT_EQ(parsed.content, first->content) << "in pieces of " << size;
    EXPECT_EQ(parsed.calls, first->calls) << "in pieces of " << size;
    EXPECT_EQ(parsed.num_calls, first->num_calls) << "in pieces of " << size;
    EXPECT_EQ(parsed.is_call_open, first->is_call_open) << "in pieces of " << size;
  }
  return *first;
}

Parsed parse(ToolFormat format, std::string_view text) {
  return parse_all_ways([&] { return ToolParser(format); }, text);
}

TEST(ToolParser, ReadsHermesCallsBetweenText) {
  const Parsed parsed = parse(ToolFormat::hermes,
                              "Let me look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": "
                              "{\"city\": \"Rom\", \"days\": [1, 2]}}\n</tool_call>\n<tool_call>\n"
                              "{\"name\": \"time\", \"arguments\": {}}\n</tool_call>");
  EXPECT_EQ(parsed.content, "Let me look.");
  ASSERT_EQ(parsed.num_calls, 2);
  EXPECT_EQ(parsed.calls[0], Call("weather", "{\"city\": \"Rom\", \"days\": [1, 2]}"));
  EXPECT_EQ(parsed.calls[1], Call("time", "{}"));
}

TEST(ToolParser, GivesPlainTextAsItIs) {
  const std::string text = " A <tool is not a call, 1 < 2.\n\nEnd. \n";
  for (const ToolFormat format : {ToolFormat::hermes, ToolFormat::mistral, ToolFormat::llama3}) {
    const Parsed parsed = parse(format, text);
    EXPECT_EQ(parsed.content, text);
    EXPECT_EQ(parsed.num_calls, 0);
  }
}

TEST(ToolParser, GivesWhatIsNoCallAsText) {
  EXPECT_EQ(parse(ToolFormat::llama3, "{\"answer\": 42}").content, "{\"answer\": 42}");
  EXPECT_EQ(parse(ToolFormat::llama3, "{\"answer\": 4").content, "{\"answer\": 4");
  EXPECT_EQ(parse(ToolFormat::hermes, "<tool_call>sorry").content, "sorry");
}

TEST(ToolParser, ReadsMistralLists) {
  const Parsed parsed =
      parse(ToolFormat::mistral,
            "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"a\": \"]}\\\"\"}}, "
            "{\"name\": \"g\", \"arguments\": {\"b\": null}}]");
  EXPECT_EQ(parsed.content, "");
  ASSERT_EQ(parsed.num_calls, 2);
  EXPECT_EQ(parsed.calls[0], Call("f", "{\"a\": \"]}\\\"\"}"));
  EXPECT_EQ(parsed.calls[1], Call("g", "{\"b\": null}"));
}

TEST(ToolParser, ReadsLlamaCallsWithAndWithoutTheTag) {
  const std::string call = "{\"name\": \"f\", \"parameters\": {\"x\": 1}}";
  for (const std::string& text : {call, "<|python_tag|>" + call, "\n " + call}) {
    const Parsed parsed = parse(ToolFormat::llama3, text);
    ASSERT_EQ(parsed.num_calls, 1) << text;
    EXPECT_EQ(parsed.calls[0], Call("f", "{\"x\": 1}"));
    EXPECT_EQ(parsed.content, "");
  }
  EXPECT_EQ(parse(ToolFormat::llama3, call + "; " + call).num_calls, 2);
}

TEST(ToolParser, TakesArgumentsBeforeTheNameAndInAString) {
  const Parsed parsed =
      parse(ToolFormat::forced,
            "[{\"arguments\":{\"x\":{\"y\":1}},\"name\":\"f\"},"
            "{\"name\":\"g\",\"arguments\":\"{\\\"z\\\": 2}\"},{\"name\":\"h\"}]");
  ASSERT_EQ(parsed.num_calls, 3);
  EXPECT_EQ(parsed.calls[0], Call("f", "{\"x\":{\"y\":1}}"));
  EXPECT_EQ(parsed.calls[1], Call("g", "{\"z\": 2}"));
  EXPECT_EQ(parsed.calls[2], Call("h", "{}"));
}

TEST(ToolParser, PassesArgumentsOnAsTheyCome) {
  ToolParser parser(ToolFormat::forced);
  EXPECT_TRUE(parser.push("[{\"name\": \"f\", ").calls.size() == 1);
  EXPECT_EQ(parser.push("\"parameters\": {\"te").calls.at(0).arguments, "{\"te");
  EXPECT_EQ(parser.push("xt\": \"a{b").calls.at(0).arguments, "xt\": \"a{b");
  EXPECT_EQ(parser.push("\"}}]").calls.at(0).arguments, "\"}");
  EXPECT_EQ(parser.num_calls(), 1);
}

TEST(ToolParser, GivesAllTextOfANamedToolAsItsArguments) {
  const auto make = [] { return ToolParser::of_named("f"); };
  const Parsed parsed = parse_all_ways(make, "{\"x\": [1, 2]}");
  ASSERT_EQ(parsed.num_calls, 1);
  EXPECT_EQ(parsed.calls[0], Call("f", "{\"x\": [1, 2]}"));
}

TEST(ToolParser, LeavesACallThatWasCutOffOpen) {
  const Parsed cut = parse(ToolFormat::hermes,
                           "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>\n"
                           "<tool_call>{\"name\": \"g\", \"arguments\": {\"x");
  EXPECT_EQ(cut.calls, (std::vector<Call>{{"f", "{}"}, {"g", "{\"x"}}));
  EXPECT_EQ(cut.num_calls, 1);
  EXPECT_TRUE(cut.is_call_open);
  const auto make = [] { return ToolParser::of_named("f"); };
  const Parsed named = parse_all_ways(make, "{\"x\": {\"y\": 1}");
  EXPECT_EQ(named.calls, (std::vector<Call>{{"f", "{\"x\": {\"y\": 1}"}}));
  EXPECT_EQ(named.num_calls, 0);
  EXPECT_TRUE(named.is_call_open);
}

TEST(ToolParser, GivesNothingBehindTheOneCallOfALimit) {
  const std::string call = R"({"name": "f", "arguments": {"x": 1}})";
  const std::pair<ToolFormat, std::string> cases[] = {
      {ToolFormat::hermes, "Look.\n<tool_call>\n" + call + "\n</tool_call>\n<tool_call>\n" + call +
                               "\n</tool_call> End."},
      {ToolFormat::mistral, "Look. [TOOL_CALLS] [" + call + ", " + call + "]"},
      {ToolFormat::llama3, call + "; " + call},
      {ToolFormat::forced, "[" + call + "," + call + "]"}};
  for (const auto& [format, text] : cases) {
    const auto make = [format = format] { return ToolParser(format, CallLimit::one); };
    const Parsed parsed = parse_all_ways(make, text);
    EXPECT_EQ(parsed.calls, (std::vector<Call>{{"f", "{\"x\": 1}"}})) << text;
    EXPECT_EQ(parsed.content, text.starts_with("Look.") ? "Look." : "");
  }
}

TEST(FindToolFormat, TellsFormatsByWhatTemplatesHold) {
  EXPECT_EQ(find_tool_format("{% if tools %}<tool_call>{% endif %}"), ToolFormat::hermes);
  EXPECT_EQ(find_tool_format("{% if tools %}[TOOL_CALLS]{% endif %}"), ToolFormat::mistral);
  EXPECT_EQ(find_tool_format("{% if tools %}<|python_tag|>{% endif %}"), ToolFormat::llama3);
  EXPECT_EQ(find_tool_format("{{ messages }}<tool_call>"), std::nullopt);
  EXPECT_EQ(find_tool_format("{% if tools %}{{ tools }}{% endif %}"), std::nullopt);
  EXPECT_EQ(find_tool_format("{{ tools }}<tool_call><function=f>"), std::nullopt);
}

}  // namespace
}  // namespace veloz::http::openai
