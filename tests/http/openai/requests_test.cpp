// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "http/openai/chat_request.h"
#include "http/openai/completion_request.h"
#include "http/openai/expect_refused.h"
#include "http/openai/field_reader.h"
#include "http/openai/grammar_cache.h"
#include "http/openai/tokenize_request.h"

namespace veloz::http::openai {
namespace {

constexpr const char* kHello = R"("messages":[{"role":"user","content":"hello"}])";

ChatRequest chat(const std::string& fields, const SamplingParams& defaults = {}) {
  return parse_chat_request(parse_body("{" + fields + "}"), defaults);
}

ChatRequest hello(const std::string& fields, const SamplingParams& defaults = {}) {
  return chat(kHello + std::string(fields.empty() ? "" : ",") + fields, defaults);
}

CompletionRequest completion(const std::string& fields) {
  return parse_completion_request(parse_body("{" + fields + "}"), {});
}

std::string content_of(const ChatRequest& request, size_t index) {
  return std::string(request.chat.messages.at(index).find("content")->as_string());
}

TEST(ChatRequest, ReadsEverySamplingField) {
  const ChatRequest request = hello(R"("temperature":0.5,"top_p":0.9,"top_k":7,"min_p":0.1,
    "repetition_penalty":1.2,"presence_penalty":-1,"frequency_penalty":2,"seed":-1,"stop":["a","b"],
    "stop_token_ids":[3],"include_stop_str_in_output":true,"ignore_eos":true,"min_tokens":2,
    "max_tokens":9,"logit_bias":{"5":-100,"6":0.5},"bad_words":["x"],"n":2,"logprobs":true,
    "top_logprobs":4,"priority":-3,"cache_salt":"s","skip_special_tokens":false,
    "return_token_ids":true,"no_repeat_ngram_size":3,"prompt_logprobs":1,"request_id":"abc-1")");
  const SamplingParams& params = request.generation.params;
  EXPECT_EQ(params.temperature, 0.5);
  EXPECT_EQ(params.top_p, 0.9);
  EXPECT_EQ(params.top_k, 7);
  EXPECT_EQ(params.min_p, 0.1);
  EXPECT_EQ(params.repetition_penalty, 1.2);
  EXPECT_EQ(params.presence_penalty, -1);
  EXPECT_EQ(params.frequency_penalty, 2);
  EXPECT_EQ(params.seed, ~uint64_t{0});
  EXPECT_EQ(params.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(params.stop_token_ids, (std::vector<int32_t>{3}));
  EXPECT_TRUE(params.include_stop_str_in_output);
  EXPECT_TRUE(params.ignore_eos);
  EXPECT_EQ(params.min_tokens, 2);
  EXPECT_EQ(request.generation.max_tokens, 9);
  EXPECT_EQ(params.logit_bias, (std::vector<std::pair<int32_t, float>>{{5, -100}, {6, 0.5F}}));
  EXPECT_EQ(params.bad_words, (std::vector<std::string>{"x"}));
  EXPECT_EQ(params.n, 2);
  EXPECT_EQ(params.logprobs, 4);
  EXPECT_EQ(params.prompt_logprobs, 1);
  EXPECT_EQ(params.no_repeat_ngram_size, 3);
  EXPECT_EQ(request.generation.priority, -3);
  EXPECT_EQ(request.generation.cache_salt, "s");
  EXPECT_FALSE(request.generation.skip_special_tokens);
  EXPECT_TRUE(request.generation.return_token_ids);
  EXPECT_EQ(request.generation.request_id, "abc-1");
}

TEST(ChatRequest, KeepsTheModelsDefaultsButForBeamSearch) {
  SamplingParams defaults;
  defaults.temperature = 0.6;
  defaults.top_k = 20;
  EXPECT_EQ(hello("", defaults).generation.params.temperature, 0.6);
  const ChatRequest beams =
      hello(R"("use_beam_search":true,"n":4,"early_stopping":"never")", defaults);
  EXPECT_EQ(beams.generation.params.temperature, 1.0);
  EXPECT_EQ(beams.generation.params.top_k, 0);
  EXPECT_EQ(beams.generation.params.num_beams, 4);
  EXPECT_EQ(beams.generation.params.early_stopping, EarlyStopping::never);
}

TEST(ChatRequest, LeavesFieldsAloneThatItDoesNotKnow) {
  EXPECT_NO_THROW((void)hello(R"("store":true,"metadata":{"a":1},"user":"me","new_thing":[1])"));
}

TEST(ChatRequest, TakesMaxCompletionTokensOverMaxTokens) {
  EXPECT_EQ(hello(R"("max_completion_tokens":5)").generation.max_tokens, 5);
  EXPECT_EQ(hello(R"("max_completion_tokens":5,"max_tokens":6)").generation.max_tokens, 5);
  EXPECT_EQ(hello(R"("max_tokens":4,"max_completion_tokens":5)").generation.max_tokens, 5);
  EXPECT_EQ(hello(R"("max_tokens":6,"max_completion_tokens":null)").generation.max_tokens, 6);
  EXPECT_EQ(hello("").generation.max_tokens, std::nullopt);
}

TEST(ChatRequest, JoinsTextPartsAndRefusesOthers) {
  const ChatRequest request = chat(
      R"("messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}])");
  EXPECT_EQ(content_of(request, 0), "a\nb");
  expect_refused(
      [] {
        (void)chat(
            R"("messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}])");
      },
      "messages[0].content[0].type", "text only");
}

TEST(ChatRequest, GivesTemplatesArgumentsAsObjectsAndDevelopersAsSystem) {
  const ChatRequest request = chat(R"("messages":[{"role":"developer","content":"be brief"},
    {"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":
    {"name":"f","arguments":"{\"x\": 1}"}}]},{"role":"tool","tool_call_id":"c","content":"1"}])");
  EXPECT_EQ(request.chat.messages[0].find("role")->as_string(), "system");
  EXPECT_EQ(json_text(request.chat.messages[1]),
            R"({"role":"assistant","content":"","tool_calls":[{"id":"c","type":"function",)"
            R"("function":{"name":"f","arguments":{"x":1}}}]})");
}

TEST(ChatRequest, RefusesMessagesThatAreNone) {
  expect_refused([] { (void)chat(R"("model":"m")"); }, "messages", "missing");
  expect_refused([] { (void)chat(R"("messages":[])"); }, "messages", "empty");
  expect_refused([] { (void)chat(R"("messages":"hi")"); }, "messages", "a list");
  expect_refused([] { (void)chat(R"("messages":["hi"])"); }, "messages[0]", "an object");
  expect_refused([] { (void)chat(R"("messages":[{"content":"x"}])"); }, "messages[0].role");
  expect_refused([] { (void)chat(R"("messages":[{"role":7,"content":"x"}])"); },
                 "messages[0].role");
  expect_refused([] { (void)chat(R"("messages":[{"role":"user"}])"); }, "messages[0].content");
  expect_refused([] { (void)chat(R"("messages":[{"role":"user","content":5}])"); },
                 "messages[0].content");
  expect_refused(
      [] {
        (void)chat(R"("messages":[{"role":"assistant","tool_calls":[{"function":)"
                   R"({"name":"f","arguments":5}}]}])");
      },
      "messages[0].tool_calls[0].function.arguments");
  expect_refused([] { (void)chat(R"("messages":[{"role":"user","content":"x","name":5}])"); },
                 "messages[0].name");
}

TEST(ChatRequest, RefusesValuesOutsideTheirRange) {
  for (const auto& [param, value] : std::initializer_list<std::pair<const char*, const char*>>{
           {"temperature", "-0.1"},
           {"temperature", "\"hot\""},
           {"top_p", "0"},
           {"top_p", "1.1"},
           {"top_k", "-2"},
           {"min_p", "1"},
           {"n", "0"},
           {"n", "1.5"},
           {"n", "true"},
           {"max_tokens", "0"},
           {"max_tokens", "9223372036854775808"},
           {"min_tokens", "-1"},
           {"presence_penalty", "2.1"},
           {"frequency_penalty", "-3"},
           {"repetition_penalty", "0"},
           {"stream", "\"yes\""},
           {"stop", "7"},
           {"stop", "\"\""},
           {"stop", "[\"a\",\"\"]"},
           {"logit_bias", "[1]"},
           {"logit_bias", "{\"x\":1}"},
           {"logit_bias.5", "{\"5\":101}"},
           {"seed", "1.5"},
           {"top_logprobs", "-1"},
           {"early_stopping", "\"maybe\""},
           {"request_id", "\"a b\""},
           {"stream_options", "true"},
           {"prompt_logprobs", "-1"},
           {"allowed_token_ids", "[1]"},
           {"chat_template", "\"x\""},
           {"bad_words", "\"x\""},
           {"priority", "1e30"},
           {"functions", "[]"}}) {
    const std::string name(param);
    const std::string key = name.substr(0, name.find('.'));
    expect_refused([&] { (void)hello("\"" + key + "\":" + value); }, param);
  }
}

TEST(ChatRequest, RefusesFieldsThatContradictEachOther) {
  expect_refused([] { (void)hello(R"("min_tokens":5,"max_tokens":4)"); }, "min_tokens");
  expect_refused([] { (void)hello(R"("top_logprobs":2)"); }, "top_logprobs");
  expect_refused([] { (void)hello(R"("stream_options":{"include_usage":true})"); },
                 "stream_options");
  expect_refused([] { (void)hello(R"("continue_final_message":true)"); }, "continue_final_message");
  expect_refused([] { (void)hello(R"("stream":true,"prompt_logprobs":1)"); }, "prompt_logprobs");
  expect_refused(
      [] {
        (void)hello(
            R"("response_format":{"type":"json_object"},"structured_outputs":{"regex":"a"})");
      },
      "structured_outputs.regex", "both say");
  expect_refused([] { (void)hello(R"("use_beam_search":true,"n":2,"guided_regex":"a")"); },
                 "guided_regex");
}

TEST(ChatRequest, ReadsStructuredOutputUnderAllItsNames) {
  using Kind = StructuredOutput::Kind;
  const auto output = [](const std::string& fields) {
    return hello(fields).generation.structured_output;
  };
  EXPECT_EQ(output(R"("response_format":{"type":"text"})").kind, Kind::none);
  EXPECT_EQ(output(R"("response_format":{"type":"json_object"})").kind, Kind::json_object);
  const StructuredOutput schema = output(
      R"("response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"integer"}}})");
  EXPECT_EQ(schema.kind, Kind::json_schema);
  EXPECT_EQ(schema.source, R"({"type":"integer"})");
  EXPECT_EQ(output(R"("structured_outputs":{"json":{"type":"null"}})").source,
            R"({"type":"null"})");
  EXPECT_EQ(output(R"("structured_outputs":{"regex":"a+"})").kind, Kind::regex);
  EXPECT_EQ(output(R"("structured_outputs":{"grammar":"root ::= \"a\""})").kind, Kind::ebnf);
  EXPECT_EQ(output(R"("structured_outputs":{"choice":["a","b"]})").choices.size(), 2U);
  EXPECT_EQ(output(R"("structured_outputs":{"json_object":true})").kind, Kind::json_object);
  EXPECT_EQ(output(R"("guided_json":"{\"type\": \"null\"}")").source, R"({"type": "null"})");
  EXPECT_EQ(output(R"("guided_choice":["a"])").param, "guided_choice");
  expect_refused([&] { (void)output(R"("response_format":{"type":"xml"})"); },
                 "response_format.type");
  expect_refused([&] { (void)output(R"("response_format":{"type":"json_schema"})"); },
                 "response_format.json_schema");
  expect_refused([&] { (void)output(R"("structured_outputs":{"choice":[]})"); },
                 "structured_outputs.choice");
  expect_refused([&] { (void)output(R"("structured_outputs":{"regex":"a","choice":["b"]})"); },
                 "structured_outputs.choice");
}

constexpr const char* kTools =
    R"("tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}},
    {"type":"function","function":{"name":"g","parameters":{"$ref":"#/$defs/P","$defs":{"P":{"type":"object"}}}}}])";

TEST(ChatRequest, LetsTheModelDecideWhereToolsComeWithoutAChoice) {
  EXPECT_TRUE(hello(kTools).tools.is_automatic());
  EXPECT_EQ(hello("").tools.choice.kind, ToolChoice::Kind::none);
  EXPECT_EQ(hello(kTools + std::string(R"(,"tool_choice":"none")")).tools.choice.kind,
            ToolChoice::Kind::none);
  EXPECT_EQ(hello(R"("tool_choice":"auto")").tools.choice.kind, ToolChoice::Kind::none);
}

TEST(ChatRequest, ForcesCallsBySchema) {
  const ToolFields named =
      hello(kTools + std::string(R"(,"tool_choice":{"type":"function","function":{"name":"f"}})"))
          .tools;
  EXPECT_EQ(forced_schema(named), R"({"type":"object"})");
  const ToolFields required =
      hello(kTools + std::string(R"(,"tool_choice":"required","parallel_tool_calls":false)")).tools;
  const auto schema = nlohmann::json::parse(forced_schema(required));
  EXPECT_EQ(schema["maxItems"], 1);
  EXPECT_EQ(schema["items"]["anyOf"].size(), 2U);
  // References within a tool's schema follow it to its new place.
  EXPECT_EQ(schema["$defs"]["tool_1"]["$ref"], "#/$defs/tool_1/$defs/P");
}

TEST(ChatRequest, TellsWhatIsWrongWithAToolsSchemaByItsPlaceInTheRequest) {
  const auto compile_forced = [](const std::string& parameters, const std::string& choice) {
    const ChatRequest request = hello(
        R"("tools":[{"type":"function","function":{"name":"f"}},
        {"type":"function","function":{"name":"g","parameters":)" +
        parameters + R"(}}],"tool_choice":)" + choice);
    (void)compile(forced_output(request.tools), {});
  };
  const std::string param = "tools[1].function.parameters";
  const std::string bad_minimum = R"({"properties":{"age":{"minimum":"low"}}})";
  const std::string bad_reference = R"({"properties":{"age":{"$ref":"#/$defs/tool_1"}}})";
  const std::string bad_root = R"({"properties":5})";
  for (const char* choice : {R"("required")", R"({"type":"function","function":{"name":"g"}})"}) {
    expect_refused([&] { compile_forced(bad_minimum, choice); }, param,
                   "\"tools[1].function.parameters\": \"/properties/age/minimum\": ");
    expect_refused([&] { compile_forced(bad_reference, choice); }, param,
                   R"(: "/properties/age/$ref": "#/$defs/tool_1" names nothing)");
    expect_refused([&] { compile_forced(bad_root, choice); }, param, R"(: "/properties": )");
    EXPECT_NO_THROW(compile_forced("{}", choice));
  }
}

TEST(ChatRequest, TakesOnlyObjectsForArguments) {
  const auto schema_of = [](const std::string& parameters) {
    return forced_schema(
        hello(R"("tools":[{"type":"function","function":{"name":"f","parameters":)" + parameters +
              R"(}}],"tool_choice":{"type":"function","function":{"name":"f"}})")
            .tools);
  };
  EXPECT_EQ(schema_of("{}"), R"({"type":"object"})");
  EXPECT_EQ(schema_of(R"({"type":null})"), R"({"type":"object"})");
  EXPECT_EQ(schema_of(R"({"type":["null","object"]})"), R"({"type":"object"})");
  EXPECT_EQ(schema_of(R"({"anyOf":[{"required":["a"]},{"type":"string"}]})"),
            R"({"anyOf":[{"required":["a"]},{"type":"string"}],"type":"object"})");
  for (const char* type : {"\"string\"", "[\"string\"]", "5"})
    expect_refused([&] { (void)schema_of(fmt::format(R"({{"type":{}}})", type)); },
                   "tools[0].function.parameters.type");
}

TEST(ChatRequest, RefusesToolsThatCannotBe) {
  expect_refused([] { (void)hello(R"("tools":[{"type":"web"}])"); }, "tools[0].type");
  expect_refused([] { (void)hello(R"("tools":[{"type":"function"}])"); }, "tools[0].function");
  expect_refused([] { (void)hello(R"("tools":[{"type":"function","function":{"name":"a b"}}])"); },
                 "tools[0].function.name");
  expect_refused(
      [] {
        (void)hello(R"("tools":[{"type":"function","function":{"name":"f"}},
    {"type":"function","function":{"name":"f"}}])");
      },
      "tools[1].function.name", "two tools");
  expect_refused([] { (void)hello(R"("tool_choice":"required")"); }, "tool_choice", "no \"tools\"");
  expect_refused([] { (void)hello(kTools + std::string(R"(,"tool_choice":"some")")); },
                 "tool_choice");
  expect_refused(
      [] {
        (void)hello(kTools +
                    std::string(R"(,"tool_choice":{"type":"function","function":{"name":"x"}})"));
      },
      "tool_choice.function.name");
}

TEST(CompletionRequest, TakesFourKindsOfPrompts) {
  EXPECT_EQ(std::get<std::string>(completion(R"("prompt":"a")").prompts.at(0)), "a");
  EXPECT_EQ(completion(R"("prompt":["a","b"])").prompts.size(), 2U);
  EXPECT_EQ(std::get<std::vector<int32_t>>(completion(R"("prompt":[1,2])").prompts.at(0)),
            (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(completion(R"("prompt":[[1],[2,3]])").prompts.size(), 2U);
}

TEST(CompletionRequest, RefusesOtherPrompts) {
  expect_refused([] { (void)completion(""); }, "prompt", "missing");
  expect_refused([] { (void)completion(R"("prompt":[])"); }, "prompt");
  expect_refused([] { (void)completion(R"("prompt":{"a":1})"); }, "prompt");
  expect_refused([] { (void)completion(R"("prompt":[1,"a"])"); }, "prompt[1]");
  expect_refused([] { (void)completion(R"("prompt":["a",1])"); }, "prompt[1]");
  expect_refused([] { (void)completion(R"("prompt":[[1],[]])"); }, "prompt[1]");
  expect_refused([] { (void)completion(R"("prompt":[[1],2])"); }, "prompt[1]");
  expect_refused([] { (void)completion(R"("prompt":[-1])"); }, "prompt[0]");
  expect_refused([] { (void)completion(R"("prompt":[2147483648])"); }, "prompt[0]");
  expect_refused([] { (void)completion(R"("prompt":"a","suffix":"b")"); }, "suffix");
}

TEST(CompletionRequest, GivesSixteenTokensWhereNoneAreAskedFor) {
  EXPECT_EQ(completion(R"("prompt":"a")").generation.max_tokens, 16);
}

TEST(CompletionRequest, TakesMaxTokensZeroForAnEchoOnly) {
  EXPECT_TRUE(completion(R"("prompt":"a","echo":true,"max_tokens":0)").is_echo_only);
  expect_refused([] { (void)completion(R"("prompt":"a","max_tokens":0)"); }, "max_tokens");
}

TEST(CompletionRequest, AsksForThePromptsLogprobsWhereTheyAreEchoed) {
  const CompletionRequest request = completion(R"("prompt":"a","echo":true,"logprobs":2)");
  EXPECT_EQ(request.generation.params.prompt_logprobs, 2);
  EXPECT_FALSE(request.generation.answers_prompt_logprobs);
}

TEST(CompletionRequest, HoldsBestOfToItsRules) {
  expect_refused([] { (void)completion(R"("prompt":"a","best_of":1,"n":2)"); }, "best_of");
  expect_refused([] { (void)completion(R"("prompt":"a","best_of":3,"stream":true)"); }, "best_of");
  EXPECT_EQ(completion(R"("prompt":"a","best_of":4,"n":2,"use_beam_search":true)")
                .generation.params.num_beams,
            4);
}

TEST(TokenizeRequest, TakesATextOrAConversation) {
  EXPECT_EQ(parse_tokenize_request(parse_body(R"({"prompt":"a","add_special_tokens":false})"))
                .add_special_tokens,
            false);
  EXPECT_TRUE(parse_tokenize_request(parse_body("{" + std::string(kHello) + "}")).chat);
  expect_refused([] { (void)parse_tokenize_request(parse_body("{}")); }, "prompt");
  expect_refused(
      [] {
        (void)parse_tokenize_request(parse_body("{\"prompt\":\"a\"," + std::string(kHello) + "}"));
      },
      "prompt");
  expect_refused([] { (void)parse_detokenize_request(parse_body(R"({"tokens":[1,"a"]})")); },
                 "tokens[1]");
}

}  // namespace
}  // namespace veloz::http::openai
