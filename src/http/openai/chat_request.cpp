// SPDX-License-Identifier: Apache-2.0
#include "http/openai/chat_request.h"

#include <fmt/format.h>

#include "http/openai/field_reader.h"
#include "http/openai/request_error.h"
#include "text/jinja/json.h"

namespace veloz::http::openai {
namespace {

constexpr std::string_view kMessagesSchema =
    R"({"type":"array","minItems":1,"items":{"type":"object","required":["role"],
  "properties":{"role":{"type":"string","minLength":1},
  "content":{"anyOf":[{"type":"string"},{"type":"null"},{"type":"array","items":{"anyOf":[
  {"type":"object","required":["type","text"],"properties":{"type":{"const":"text"},
  "text":{"type":"string"}}},
  {"type":"object","required":["type","refusal"],"properties":{"type":{"const":"refusal"},
  "refusal":{"type":"string"}}}]}}]},
  "name":{"type":["string","null"]},"tool_call_id":{"type":["string","null"]},
  "tool_calls":{"type":["array","null"],"items":{"type":"object","required":["function"],
  "properties":{"id":{"type":["string","null"]},"type":{"enum":["function",null]},"function":{"type":"object",
  "required":["name"],"properties":{"name":{"type":"string"},
  "arguments":{"type":["string","object","null"]}}}}}}},
  "anyOf":[{"properties":{"role":{"const":"assistant"}}},
  {"required":["content"],"properties":{"content":{"type":["string","array"]}}}]}})";
constexpr std::string_view kObjectSchema = R"({"type":"object"})";

// The text of a list of parts; other kinds of parts need a model that sees or hears.
std::string join_parts(const std::string& param, const Json& parts) {
  std::string text;
  for (size_t i = 0; i < parts.items().size(); ++i) {
    const std::string part_param = element(param, i);
    const Json& part = parts.items()[i];
    if (i > 0) text += '\n';
    read_object(part_param, part);
    const Json& type = require_field(part_param, part, "type");
    const std::string name = read_string(member(part_param, "type"), type);
    if (name != "text" && name != "refusal")
      throw RequestError({.param = member(part_param, "type")},
                         fmt::format("\"{}\" is {}: this model takes text only",
                                     member(part_param, "type"), json_text(type)),
                         "send parts of type \"text\"");
    text += read_string(member(part_param, name), require_field(part_param, part, name));
  }
  return text;
}

bool is_function(const Json& type) { return type.is_string() && type.as_string() == "function"; }

// Arguments are text on the wire and an object in templates.
Json read_call(const std::string& param, const Json& call) {
  const std::string inner = param + ".function";
  const Json& function =
      read_object(inner, require_field(param, read_object(param, call), "function"));
  read_string(inner + ".name", require_field(inner, function, "name"));
  if (const Json* id = find_field(call, "id")) read_string(param + ".id", *id);
  if (const Json* type = find_field(call, "type"); type != nullptr && !is_function(*type))
    refuse(param + ".type", *type, "\"function\"");
  const Json* arguments = find_field(function, "arguments");
  if (arguments != nullptr && !arguments->is_string() && !arguments->is_dict())
    refuse(inner + ".arguments", *arguments, "an object, or one in a string");
  Json parsed = arguments == nullptr ? Json::dict({}) : *arguments;
  if (parsed.is_string()) {
    try {
      parsed =
          parsed.as_string().empty() ? Json::dict({}) : text::jinja::parse_json(parsed.as_string());
    } catch (const Error& e) {
      throw RequestError({.param = inner + ".arguments"},
                         fmt::format("\"{}.arguments\": {}", inner, e.message()), e.hint());
    }
  }
  Json::Pairs members = function.pairs();
  members.emplace_back(Json::string("arguments"), std::move(parsed));
  Json::Pairs pairs = call.pairs();
  pairs.emplace_back(Json::string("function"), Json::dict(std::move(members)));
  return Json::dict(std::move(pairs));
}

Json read_calls(const std::string& param, const Json& calls) {
  Json::Items items;
  for (const Json& call : read_list(param, calls).items())
    items.push_back(read_call(element(param, items.size()), call));
  return Json::list(std::move(items));
}

Json read_message(const std::string& param, const Json& message) {
  read_object(param, message);
  const std::string role = read_string(param + ".role", require_field(param, message, "role"));
  if (role.empty()) refuse(param + ".role", *message.find("role"), "a role");
  for (const std::string_view name : {"name", "tool_call_id"})
    if (const Json* value = find_field(message, name)) read_string(member(param, name), *value);
  Json::Pairs pairs = message.pairs();
  // OpenAI's newer name of the system; templates know the older.
  if (role == "developer") pairs.emplace_back(Json::string("role"), Json::string("system"));
  const Json* calls = find_field(message, "tool_calls");
  if (calls != nullptr)
    pairs.emplace_back(Json::string("tool_calls"), read_calls(param + ".tool_calls", *calls));
  const Json* content = find_field(message, "content");
  if (content != nullptr && content->is_sequence())
    pairs.emplace_back(Json::string("content"),
                       Json::string(join_parts(param + ".content", *content)));
  else if (content != nullptr && !content->is_string())
    refuse(param + ".content", *content, "a string or a list of parts");
  if (content == nullptr && calls == nullptr) {
    if (role != "assistant")
      throw RequestError({.param = param + ".content"},
                         fmt::format("\"{}.content\" is missing", param));
  }
  if (content == nullptr) pairs.emplace_back(Json::string("content"), Json::string(""));
  return Json::dict(std::move(pairs));  // the last of two keys gives the value
}

void read_messages(ChatFields& fields, const Json& value) {
  const Json::Items& items = read_list("messages", value).items();
  if (items.empty()) throw RequestError({.param = "messages"}, "\"messages\" is empty");
  for (const Json& item : items)
    fields.messages.push_back(read_message(element("messages", fields.messages.size()), item));
}

void read_template_kwargs(ChatFields& fields, const Json& value) {
  for (const auto& [name, kwarg] : read_object("chat_template_kwargs", value).pairs())
    fields.template_kwargs.emplace_back(std::string(name.as_string()), kwarg);
}

}  // namespace

void visit_chat_fields(FieldVisitor& visitor, ChatFields& fields) {
  visitor.complex({.name = "messages",
                   .schema = kMessagesSchema,
                   .doc = "The conversation so far.",
                   .read = [&fields](const Json& value) { read_messages(fields, value); },
                   .is_required = true});
  visitor.boolean("add_generation_prompt", fields.add_generation_prompt,
                  "The prompt ends with the opening of the assistant's turn.");
  visitor.boolean("continue_final_message", fields.continue_final_message,
                  "The answer goes on with the last message instead; needs "
                  "`add_generation_prompt` false.");
  visitor.boolean("add_special_tokens", fields.add_special_tokens,
                  "The tokenizer adds its special tokens to what the template wrote.");
  visitor.complex({.name = "chat_template_kwargs",
                   .schema = kObjectSchema,
                   .doc = "Further variables of the chat template.",
                   .read = [&fields](const Json& value) { read_template_kwargs(fields, value); }});
  refuse_field(visitor, "chat_template", "start the server with --chat-template");
}

void settle_chat_fields(const ChatFields& fields) {
  if (fields.continue_final_message && fields.add_generation_prompt)
    throw RequestError({.param = "continue_final_message"},
                       "\"continue_final_message\" and \"add_generation_prompt\" are both true",
                       "set add_generation_prompt to false");
}

void visit_chat_request(FieldVisitor& visitor, ChatRequest& request) {
  visit_chat_fields(visitor, request.chat);
  visitor.integer("max_tokens", request.generation.max_tokens, {.min = 1},
                  "The older name of `max_completion_tokens`, which wins over it.");
  visitor.integer("max_completion_tokens", request.generation.max_tokens, {.min = 1},
                  "New tokens at most; absent, what is left of the model's length.");
  visitor.boolean("logprobs", request.logprobs,
                  "Gives the log-probability of each token of the answer.");
  visitor.integer("top_logprobs", request.top_logprobs, {.min = 0, .max = 1000},
                  "And of that many of the likeliest; needs `logprobs`.");
  visitor.boolean("echo", request.generation.echo,
                  "The answer begins with the last message where that is the assistant's.");
  visit_tool_fields(visitor, request.tools);
  visit_generation_fields(visitor, request.generation);
  refuse_field(visitor, "functions", "use \"tools\"");
  refuse_field(visitor, "function_call", "use \"tool_choice\"");
}

ChatRequest parse_chat_request(const Json& body, const SamplingParams& defaults) {
  ChatRequest request;
  request.generation.params = wants_beam_search(body) ? SamplingParams{} : defaults;
  FieldReader reader(body);
  visit_chat_request(reader, request);
  settle_chat_fields(request.chat);
  settle_tool_fields(request.tools, find_field(body, "tool_choice") != nullptr);
  settle_generation_fields(request.generation);
  if (request.top_logprobs > 0 && !request.logprobs)
    throw RequestError({.param = "top_logprobs"}, "\"top_logprobs\" needs \"logprobs\": true");
  if (request.logprobs) request.generation.params.logprobs = request.top_logprobs;
  if (request.tools.is_forced() && request.generation.structured_output.is_set())
    throw RequestError({.param = "tool_choice"},
                       fmt::format("\"tool_choice\" and \"{}\" both say what the answer must be",
                                   request.generation.structured_output.param),
                       "leave one of them out");
  if (request.tools.is_forced() && request.generation.params.num_beams > 1)
    throw RequestError({.param = "tool_choice"},
                       "\"tool_choice\" cannot be combined with beam search",
                       "leave use_beam_search out");
  return request;
}

}  // namespace veloz::http::openai
