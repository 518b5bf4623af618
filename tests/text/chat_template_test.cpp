// SPDX-License-Identifier: Apache-2.0
#include "text/chat_template.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <ostream>
#include <random>
#include <thread>

#include "base/error.h"
#include "base/files.h"
#include "support/expect_error.h"

namespace veloz::text {
namespace {

using test::throws_error;

std::string render(const std::string& source, ChatInput input = {}) {
  return ChatTemplate::parse(source).render(input);
}

ChatInput one_user_message(std::string_view content) {
  ChatInput input;
  input.messages = {chat_message("user", content)};
  return input;
}

/// A directory of its own for one test, gone with it.
class ModelDir {
 public:
  ModelDir() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    path_ = std::filesystem::temp_directory_path() /
            (std::string("veloz_") + test->test_suite_name() + "_" + test->name());
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~ModelDir() { std::filesystem::remove_all(path_); }
  ModelDir(const ModelDir&) = delete;
  ModelDir& operator=(const ModelDir&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void write(const std::string& name, std::string_view text) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    write_text_file(path_ / name, text);
  }

 private:
  std::filesystem::path path_;
};

TEST(ChatTemplate, RendersMessagesInOrder) {
  ChatInput input;
  input.messages = {chat_message("system", "short"), chat_message("user", "hé")};
  EXPECT_EQ(render("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
                   "{% if add_generation_prompt %}<assistant>{% endif %}",
                   input),
            "<system>short<user>hé<assistant>");
}

TEST(ChatTemplate, GivesBackTheMessageOfRaiseExceptionAlone) {
  const auto refused = [] { render("\n{{ raise_exception('roles must alternate') }}"); };
  try {
    refused();
    FAIL() << "nothing was thrown";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::invalid_input);
    EXPECT_EQ(e.message(), "roles must alternate");
  }
}

TEST(ChatTemplate, NamesTheLineOfAnErrorWhileRendering) {
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input,
                           {"chat template line 3", "'dict object' has no attribute 'text'"}, [] {
                             render("{% for m in messages %}\n\n{{ m.text.strip() }}{% endfor %}",
                                    one_user_message("x"));
                           }));
}

TEST(ChatTemplate, NamesTheConstructAndTheLineOfWhatItDoesNotSupport) {
  const auto refuses = [](const std::string& source,
                          std::initializer_list<std::string_view> parts) {
    return throws_error(ErrorKind::unsupported, parts, [&] { render(source); });
  };
  EXPECT_TRUE(refuses("a\n{% include 'b' %}", {"line 2", "'include'"}));
  EXPECT_TRUE(refuses("{% block x %}{% endblock %}", {"line 1", "'block'"}));
  EXPECT_TRUE(refuses("\n\n{{ 'x' | urlize }}", {"line 3", "'urlize'"}));
  EXPECT_TRUE(refuses("{{ 1 is frobnicated }}", {"line 1", "'frobnicated'"}));
  EXPECT_TRUE(refuses("{{ 'x'.encode() }}", {"line 1", "'encode'"}));
  EXPECT_TRUE(refuses("{{ 99999999999999999999 }}", {"line 1", "64 bits"}));
  EXPECT_TRUE(refuses("{{ 9223372036854775807 + 1 }}", {"line 1", "64-bit"}));
  EXPECT_TRUE(refuses("{{ nums.append }}{{ range }}", {"cannot be printed"}) ||
              refuses("{{ range }}", {"cannot be printed"}));
  EXPECT_TRUE(refuses("{{ strftime_now('%Y') }}", {"clock"}));
}

TEST(ChatTemplate, NamesTheLineOfASyntaxError) {
  const auto refuses = [](const std::string& source,
                          std::initializer_list<std::string_view> parts) {
    return throws_error(ErrorKind::invalid_input, parts, [&] { ChatTemplate::parse(source); });
  };
  EXPECT_TRUE(refuses("\n{% if x %}", {"line 2", "'if' is not closed"}));
  EXPECT_TRUE(refuses("{% if x %}{% endfor %}", {"unknown tag 'endfor'", "inside 'if'"}));
  EXPECT_TRUE(refuses("{{ (1 }}", {"line 1"}));
  EXPECT_TRUE(refuses("a\xff", {"not UTF-8", "byte 1"}));
}

TEST(ChatTemplate, DropsAbsentFieldsAndNamesReasoningAsTransformersDoes) {
  ChatInput input;
  input.messages = {
      parse_json_value(R"({"role": "assistant", "content": null, "reasoning": "hm"})")};
  EXPECT_EQ(render("{{ messages[0].content is defined }} {{ messages[0].reasoning_content }} "
                   "{{ messages[0].thinking }}",
                   input),
            "False hm hm");
}

TEST(ChatTemplate, LetsExtraVariablesWin) {
  ChatInput input = one_user_message("x");
  input.bos_token = "<s>";
  input.extra = {{"bos_token", jinja::Value::string("<t>")},
                 {"depth", jinja::Value::integer(3)},
                 {"range", jinja::Value::boolean(true)}};
  EXPECT_EQ(render("{{ bos_token }}{{ depth }}{{ range }}[{{ eos_token }}]", input), "<t>3True[]");
}

TEST(ChatTemplate, RefusesAMessageThatIsNoObject) {
  ChatInput input;
  input.messages = {jinja::Value::string("hello")};
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"not an object"},
                           [&] { render("{{ messages }}", input); }));
}

TEST(ChatTemplate, RendersTheSameFromManyThreads) {
  const ChatTemplate chat = ChatTemplate::parse(
      "{% macro m(x) %}[{{ x }}]{% endmacro %}{% for m1 in messages %}{{ m(m1.content) }}"
      "{% endfor %}{{ tools | tojson }}");
  ChatInput input = one_user_message("hello");
  input.tools = parse_json_value(R"([{"a": [1, 2]}])");
  std::vector<std::string> results(4);
  {
    std::vector<std::jthread> threads;
    for (std::string& result : results)
      threads.emplace_back([&] {
        for (int i = 0; i < 50; ++i) result = chat.render(input);
      });
  }
  for (const std::string& result : results) EXPECT_EQ(result, "[hello][{\"a\": [1, 2]}]");
}

// --- Limits ---------------------------------------------------------------------------------

struct Hostile {
  const char* name;
  std::string source;
  const char* limit;
  friend void PrintTo(const Hostile& hostile, std::ostream* out) { *out << hostile.name; }
};

std::string repeated(std::string_view text, size_t times) {
  std::string result;
  for (size_t i = 0; i < times; ++i) result += text;
  return result;
}

const Hostile kHostile[] = {
    {"EndlessMacro", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "max_depth"},
    {"EndlessMutualMacros",
     "{% macro f() %}{% if true %}{{ g() }}{% endif %}{% endmacro %}"
     "{% macro g() %}{% for i in [1] %}{{ f() ~ f() }}{% endfor %}{% endmacro %}{{ f() }}",
     "max_depth"},
    {"EndlessRecursiveLoop", "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}",
     "max_depth"},
    {"EndlessCaller",
     "{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{% endmacro %}{{ f() }}",
     "max_depth"},
    {"NestedLoops",
     "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}", "max_steps"},
    {"BigRange", "{{ range(100001) | length }}", "max_range"},
    {"HugeRange", "{{ range(0, 9223372036854775807, 1) }}", "max_range"},
    {"BigOutput", "{% set x = 'x' * 1000000 %}{% for i in range(1000) %}{{ x }}{% endfor %}",
     "max_output_bytes"},
    {"BigString", "{{ ('x' * 1000000) * 1000000 }}", "max_memory_bytes"},
    {"OverflowingString", "{{ 'xxxx' * 9223372036854775807 }}", "max_memory_bytes"},
    {"BigList", "{{ [0] * 1000000000 }}", "max_memory_bytes"},
    {"DoublingString",
     "{% set ns = namespace(x='ab') %}{% for i in range(100) %}{% set ns.x = ns.x ~ ns.x %}"
     "{% endfor %}",
     "max_memory_bytes"},
    {"DoublingList",
     "{% set ns = namespace(x=[1]) %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}"
     "{% endfor %}",
     "max_memory_bytes"},
    {"DoublingTree",
     "{% set ns = namespace(x=[1]) %}{% for i in range(100) %}{% set ns.x = [ns.x, ns.x] %}"
     "{% endfor %}{{ ns.x }}",
     "max_"},
    {"ComparingTrees",
     "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(100) %}{% set ns.x = [ns.x, ns.x] %}"
     "{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
     "max_steps"},
    {"DeepValue",
     "{% set ns = namespace(x=[]) %}{% for i in range(90000) %}{% set ns.x = [ns.x] %}{% endfor %}",
     "200 levels"},
    {"DeepMethods",
     "{% set ns = namespace(x=[]) %}{% for i in range(90000) %}{% set ns.x = [ns.x.count] %}"
     "{% endfor %}",
     "200 levels"},
    {"ReplaceGrowth", "{{ ('a' * 100000) | replace('a', 'b' * 100000) }}", "max_memory_bytes"},
    {"JoinGrowth", "{{ range(90000) | join('b' * 100000) }}", "max_memory_bytes"},
    {"IndentGrowth", "{{ ('\\n' * 100000) | indent(100000, blank=true) }}", "max_memory_bytes"},
    {"PadGrowth", "{{ 'x'.center(9223372036854775807) }}", "max_"},
    {"FillGrowth", "{{ [1] | batch(9223372036854775807, 'x') | list }}", "max_"},
    {"SliceGrowth", "{{ [1] | slice(9223372036854775807) | list }}", "max_"},
    {"FormatGrowth", "{{ '%999999999d' % 1 }}", "10000"},
    {"SearchInPeriodicText",
     "{% set h = 'a' * 1000000 %}{% set n = 'a' * 500000 ~ 'b' %}"
     "{% for i in range(90000) %}{{ n in h }}{{ h.rfind(n) }}{% endfor %}",
     "max_steps"},
    {"DeepBrackets", "{{ " + repeated("(", 10000) + repeated(")", 10000) + " }}", "deeper than"},
    {"DeepNot", "{{ " + repeated("not ", 10000) + "1 }}", "deeper than"},
    {"DeepMinus", "{{ " + repeated("- ", 10000) + "1 }}", "deeper than"},
    {"LongSum", "{{ " + repeated("1+", 10000) + "1 }}", "deeper than"},
    {"LongChain", "{{ x" + repeated(".a", 10000) + " }}", "deeper than"},
    {"LongFilters", "{{ x" + repeated("|e", 10000) + " }}", "deeper than"},
    {"LongElse", "{{ " + repeated("1 if 0 else ", 10000) + "1 }}", "deeper than"},
    {"DeepTags", repeated("{% if 1 %}", 10000), "deeper than"},
    {"DeepTargets", "{% set " + repeated("(", 10000) + "a" + repeated(")", 10000) + " = 1 %}",
     "deeper than"},
    {"ManyKeywords",
     [] {
       std::string source = "{{ f(";
       for (int i = 0; i < 1000; ++i) source += "a" + std::to_string(i) + "=1,";
       return source + ") }}";
     }(),
     "keywords"},
    {"BigTemplate", repeated("{{ 1 }}", 100000), "max_template_bytes"},
};

class HostileTemplates : public ::testing::TestWithParam<Hostile> {};

TEST_P(HostileTemplates, EndAtALimitThatTheErrorNames) {
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {GetParam().limit},
                           [] { render(GetParam().source); }));
}

INSTANTIATE_TEST_SUITE_P(All, HostileTemplates, ::testing::ValuesIn(kHostile),
                         [](const auto& case_info) { return case_info.param.name; });

TEST(ChatTemplateLimits, HoldCyclesThroughNamespacesAndLoopsWithoutALeak) {
  EXPECT_EQ(render("{% set ns = namespace() %}{% set ns.self = ns %}{% set ns.list = [ns] %}"
                   "{% for i in [1, 2] %}{% set ns.loop = loop %}{{ loop.changed(loop) }}"
                   "{% set ns.f = loop.cycle %}{% endfor %}{{ ns.f('a', 'b') }}"
                   "{% for i in range(30000) %}{% for j in [ns.loop] %}{% set ns.loop = loop %}"
                   "{% endfor %}{% endfor %}"
                   "{% for i in range(30000) %}{% set ns.c = cycler(ns.c, joiner(ns.c)) %}"
                   "{% endfor %}ok"),
            "TrueFalseaok");
}

TEST(ChatTemplateLimits, LetALongConversationThrough) {
  ChatInput input;
  for (int i = 0; i < 2000; ++i)
    input.messages.push_back(
        chat_message(i % 2 == 0 ? "user" : "assistant", std::string(500, 'x')));
  const std::string prompt = render(
      "{% set ns = namespace(out='') %}{% for m in messages %}"
      "{% set ns.out = ns.out + '<' + m['role'] + '>' + m['content'] | trim %}{% endfor %}"
      "{{ ns.out }}",
      input);
  EXPECT_EQ(prompt.size(), 2000u * 500 + 1000 * 6 + 1000 * 11);
}

// Pieces of templates in a random order: most are no template, and none may do harm.
TEST(ChatTemplateProperty, AnyOrderOfPiecesRendersOrThrowsAnError) {
  constexpr std::string_view kPieces[] = {"{{ ",
                                          " }}",
                                          "{% ",
                                          " %}",
                                          "{%- ",
                                          " -%}",
                                          "{# ",
                                          " #}",
                                          "if ",
                                          "elif ",
                                          "else",
                                          "endif",
                                          "for ",
                                          " in ",
                                          "endfor",
                                          "set ",
                                          "endset",
                                          "macro m(a, b=1)",
                                          "endmacro",
                                          "m(1)",
                                          "x",
                                          "y",
                                          "ns",
                                          " = ",
                                          "1",
                                          "-",
                                          "'a'",
                                          "'é😀'",
                                          "[1, 'b']",
                                          "{'k': 2}",
                                          "(1,)",
                                          ".k",
                                          "['k']",
                                          "[1:]",
                                          "[::-1]",
                                          "[0]",
                                          " | ",
                                          "upper",
                                          "length",
                                          "list",
                                          "tojson",
                                          "map('upper')",
                                          "join(',')",
                                          "sort",
                                          "first",
                                          " is ",
                                          "defined",
                                          "not ",
                                          "string",
                                          " and ",
                                          " or ",
                                          " == ",
                                          " < ",
                                          " ~ ",
                                          " + ",
                                          " * ",
                                          " % ",
                                          " ** ",
                                          "messages",
                                          "loop",
                                          ".index",
                                          "namespace(a=1)",
                                          "range(3)",
                                          "\n",
                                          "  ",
                                          "raw",
                                          "endraw",
                                          "call m()",
                                          "endcall",
                                          "caller()",
                                          "filter upper",
                                          "endfilter",
                                          "break",
                                          "continue",
                                          "recursive",
                                          "loop(x)",
                                          ".items()",
                                          ".split()",
                                          ", ",
                                          "(",
                                          ")",
                                          "[",
                                          "]",
                                          "with ",
                                          "endwith",
                                          "generation",
                                          "endgeneration",
                                          "{{ x }}",
                                          "{% if x %}",
                                          "{% endif %}",
                                          "{% for x in messages %}",
                                          "{% endfor %}",
                                          "{% set x = 1 %}"};
  const ChatInput input = one_user_message("hello");
  ChatTemplateLimits limits;
  limits.max_steps = 20000;
  int num_rendered = 0;
  for (uint32_t seed = 0; seed < 20000; ++seed) {
    std::mt19937 random(seed);
    std::string source;
    for (uint64_t i = 0, count = 1 + random() % 14; i < count; ++i)
      source += kPieces[random() % std::size(kPieces)];
    try {
      ChatTemplate::parse(source, limits).render(input);
      ++num_rendered;
    } catch (const Error& e) {
      EXPECT_NE(e.kind(), ErrorKind::internal) << "seed " << seed << ": " << source;
    }
  }
  EXPECT_GT(num_rendered, 500);
}

// --- Where the template of a model lies ------------------------------------------------------

TEST(ChatTemplateLoad, PrefersTheJinjaFile) {
  const ModelDir dir;
  dir.write("tokenizer_config.json", R"({"chat_template": "config"})");
  EXPECT_EQ(ChatTemplate::load(dir.path())->source(), "config");
  dir.write("chat_template.json", R"({"chat_template": "json"})");
  EXPECT_EQ(ChatTemplate::load(dir.path())->source(), "json");
  dir.write("chat_template.jinja", "jinja");
  EXPECT_EQ(ChatTemplate::load(dir.path())->source(), "jinja");
}

TEST(ChatTemplateLoad, GivesNothingWhereThereIsNone) {
  const ModelDir dir;
  EXPECT_FALSE(ChatTemplate::load(dir.path()).has_value());
  dir.write("tokenizer_config.json", R"({"chat_template": null})");
  EXPECT_FALSE(ChatTemplates::load(dir.path()).has_value());
}

TEST(ChatTemplateLoad, TakesTheNamedOneAndTellsWhichThereAre) {
  const ModelDir dir;
  dir.write("tokenizer_config.json",
            R"({"chat_template": [{"name": "default", "template": "D"},
                                  {"name": "tool_use", "template": "T{{ tools | length }}"}]})");
  EXPECT_EQ(ChatTemplate::load(dir.path())->source(), "D");
  EXPECT_EQ(ChatTemplate::load(dir.path(), "tool_use")->source(), "T{{ tools | length }}");
  EXPECT_TRUE(throws_error(ErrorKind::not_found, {"\"rag\"", "default, tool_use"},
                           [&] { ChatTemplate::load(dir.path(), "rag"); }));
  const auto templates = ChatTemplates::load(dir.path());
  ChatInput input = one_user_message("x");
  EXPECT_EQ(templates->render(input), "D");
  input.tools = parse_json_value("[{}]");
  EXPECT_EQ(templates->render(input), "T1");
}

TEST(ChatTemplateLoad, ReadsAdditionalTemplates) {
  const ModelDir dir;
  dir.write("chat_template.jinja", "D");
  dir.write("additional_chat_templates/tool_use.jinja", "T");
  EXPECT_EQ(ChatTemplate::load(dir.path(), "tool_use")->source(), "T");
}

TEST(ChatTemplateLoad, SaysWhichFileIsWrong) {
  const ModelDir dir;
  const auto refuses = [&](std::string_view config, std::initializer_list<std::string_view> parts) {
    dir.write("tokenizer_config.json", config);
    return throws_error(ErrorKind::invalid_input, parts, [&] { ChatTemplate::load(dir.path()); });
  };
  EXPECT_TRUE(refuses("{", {"tokenizer_config.json", "no JSON"}));
  EXPECT_TRUE(refuses(R"({"chat_template": 5})", {"not a string"}));
  EXPECT_TRUE(refuses(R"({"chat_template": [{"name": "default"}]})", {"lacks"}));
  EXPECT_TRUE(refuses(R"({"chat_template": "\n{% if %}"})", {"\"default\"", "line 2"}));
}

// --- JSON ------------------------------------------------------------------------------------

TEST(ParseJsonValue, KeepsTheOrderOfKeysAndTheLastOfARepeatedOne) {
  ChatInput input;
  input.extra = {{"v", parse_json_value(R"({"b": 1, "a": [true, null, -2, 1.5e3], "b": "x"})")}};
  EXPECT_EQ(render("{{ v | tojson }}", input), R"({"b": "x", "a": [true, null, -2, 1500.0]})");
}

TEST(ParseJsonValue, RefusesWhatItCannotHold) {
  const auto refuses = [](const std::string& text, std::string_view part) {
    return throws_error(ErrorKind::invalid_input, {part}, [&] { parse_json_value(text); });
  };
  EXPECT_TRUE(refuses("{\"a\": }", "no JSON"));
  EXPECT_TRUE(refuses("[1, 2] x", "no JSON"));
  EXPECT_TRUE(refuses("\"\xff\"", "no JSON"));
  EXPECT_TRUE(refuses(repeated("[", 100000), "deeper than 150"));
  EXPECT_TRUE(refuses("9223372036854775808", "64 bits"));
  EXPECT_TRUE(refuses("123456789012345678901234567890", "64 bits"));
}

}  // namespace
}  // namespace veloz::text
