// SPDX-License-Identifier: Apache-2.0
#include "http/openai/openapi.h"

#include "http/openai/chat_request.h"
#include "http/openai/completion_request.h"
#include "http/openai/json_writer.h"
#include "http/openai/schema_writer.h"
#include "http/openai/tokenize_request.h"

namespace veloz::http::openai {
namespace {

// What answers look like.

constexpr std::string_view kErrorSchema = R"({"type":"object","required":["error"],"properties":{
"error":{"type":"object","required":["message","type","param","code"],"properties":{
"message":{"type":"string"},"type":{"type":"string"},"param":{"type":["string","null"]},
"code":{"type":["string","null"]}}}}})";

constexpr std::string_view kUsageSchema = R"({"type":"object",
"required":["prompt_tokens","completion_tokens","total_tokens","prompt_tokens_details"],
"properties":{"prompt_tokens":{"type":"integer"},"completion_tokens":{"type":"integer"},
"total_tokens":{"type":"integer"},"prompt_tokens_details":{"type":"object",
"required":["cached_tokens"],"properties":{"cached_tokens":{"type":"integer"}}}}})";

constexpr std::string_view kModelSchema = R"({"type":"object",
"required":["id","object","created","owned_by","max_model_len"],"properties":{
"id":{"type":"string"},"object":{"const":"model"},"created":{"type":"integer"},
"owned_by":{"type":"string"},"root":{"type":"string"},"parent":{"type":"null"},
"max_model_len":{"type":"integer"},"architecture":{"type":"string"},
"num_parameters":{"type":"integer"},"dtype":{"type":"string"},
"quantization":{"type":["string","null"]},"verdict":{"type":["string","null"]}}})";

constexpr std::string_view kModelListSchema = R"({"type":"object","required":["object","data"],
"properties":{"object":{"const":"list"},"data":{"type":"array",
"items":{"$ref":"#/components/schemas/Model"}}}})";

constexpr std::string_view kFinishReasonSchema = R"({"enum":["stop","length","tool_calls"]})";

constexpr std::string_view kChatCompletionSchema = R"({"type":"object",
"required":["id","object","created","model","choices","usage"],"properties":{
"id":{"type":"string"},"object":{"const":"chat.completion"},"created":{"type":"integer"},
"model":{"type":"string"},"system_fingerprint":{"type":"string"},
"choices":{"type":"array","items":{"type":"object",
"required":["index","message","logprobs","finish_reason"],"properties":{
"index":{"type":"integer"},"message":{"type":"object","required":["role","content"],"properties":{
"role":{"const":"assistant"},"content":{"type":["string","null"]},"refusal":{"type":"null"},
"tool_calls":{"type":"array","items":{"$ref":"#/components/schemas/ToolCall"}}}},
"logprobs":{"type":["object","null"]},
"finish_reason":{"$ref":"#/components/schemas/FinishReason"},
"stop_reason":{"type":["string","integer","null"]},
"token_ids":{"type":"array","items":{"type":"integer"}}}}},
"usage":{"$ref":"#/components/schemas/Usage"},
"prompt_logprobs":{"type":"array"},
"prompt_token_ids":{"type":"array","items":{"type":"integer"}}}})";

constexpr std::string_view kToolCallSchema = R"({"type":"object",
"required":["id","type","function"],"properties":{"id":{"type":"string"},
"type":{"const":"function"},"function":{"type":"object","required":["name","arguments"],
"properties":{"name":{"type":"string"},"arguments":{"type":"string"}}}}})";

constexpr std::string_view kCompletionSchema = R"({"type":"object",
"required":["id","object","created","model","choices","usage"],"properties":{
"id":{"type":"string"},"object":{"const":"text_completion"},"created":{"type":"integer"},
"model":{"type":"string"},"system_fingerprint":{"type":"string"},
"choices":{"type":"array","items":{"type":"object",
"required":["index","text","logprobs","finish_reason"],"properties":{
"index":{"type":"integer"},"text":{"type":"string"},"logprobs":{"anyOf":[{"type":"null"},
{"type":"object","required":["tokens","token_logprobs","top_logprobs","text_offset"]}]},
"finish_reason":{"$ref":"#/components/schemas/FinishReason"},
"stop_reason":{"type":["string","integer","null"]},"prompt_logprobs":{"type":"array"},
"prompt_token_ids":{"type":"array","items":{"type":"integer"}},
"token_ids":{"type":"array","items":{"type":"integer"}}}}},
"usage":{"$ref":"#/components/schemas/Usage"}}})";

constexpr std::string_view kTokensSchema = R"({"type":"object",
"required":["count","max_model_len","tokens","token_strs"],"properties":{
"count":{"type":"integer"},"max_model_len":{"type":"integer"},
"tokens":{"type":"array","items":{"type":"integer"}},
"token_strs":{"anyOf":[{"type":"null"},{"type":"array","items":{"type":"string"}}]}}})";

constexpr std::string_view kTextSchema =
    R"({"type":"object","required":["prompt"],"properties":{"prompt":{"type":"string"}}})";

// Statuses of requests that were refused, beside those of the transport.
constexpr std::string_view kPostErrors[] = {"400", "401", "404", "408", "413",
                                            "415", "429", "431", "500", "503"};
constexpr std::string_view kGetErrors[] = {"400", "401", "404", "429", "431", "500", "503"};

std::string chat_request_schema() {
  ChatRequest request;
  SchemaWriter writer;
  visit_chat_request(writer, request);
  return writer.finish();
}

std::string completion_request_schema() {
  CompletionRequest request;
  SchemaWriter writer;
  visit_completion_request(writer, request);
  return writer.finish();
}

std::string tokenize_request_schema() {
  TokenizeRequest text;
  text.prompt = "";
  SchemaWriter text_writer;
  visit_tokenize_request(text_writer, text);
  text_writer.boolean("add_special_tokens", text.add_special_tokens,
                      "Adds what the tokenizer adds to a text.");
  std::string text_schema = text_writer.finish();
  text_schema.pop_back();
  text_schema += R"(,"required":["prompt"]})";
  TokenizeRequest request;
  ChatFields chat;
  SchemaWriter chat_writer;
  visit_chat_fields(chat_writer, chat);
  visit_tool_fields(chat_writer, request.tools);
  return R"({"oneOf":[)" + text_schema + ',' + chat_writer.finish() + "]}";
}

std::string detokenize_request_schema() {
  DetokenizeRequest request;
  SchemaWriter writer;
  visit_detokenize_request(writer, request);
  return writer.finish();
}

void write_json_content(JsonWriter& writer, std::string_view schema_name) {
  writer.key("application/json").begin_object().key("schema").begin_object();
  writer.field("$ref", "#/components/schemas/" + std::string(schema_name));
  writer.end_object().end_object();
}

struct Operation {
  std::string_view id;
  std::string_view summary;
  std::string_view request;  // names of schemas; a GET has none
  std::string_view response;
  bool may_stream = false;
};

void write_operation(JsonWriter& writer, const Operation& operation) {
  writer.field("operationId", operation.id).field("summary", operation.summary);
  if (!operation.request.empty()) {
    writer.key("requestBody").begin_object().field("required", true).key("content").begin_object();
    write_json_content(writer, operation.request);
    writer.end_object().end_object();
  }
  writer.key("responses").begin_object().key("200").begin_object();
  writer.field("description", "The answer.").key("content").begin_object();
  write_json_content(writer, operation.response);
  if (operation.may_stream) writer.key("text/event-stream").raw(R"({"schema":{"type":"string"}})");
  writer.end_object().end_object();
  const auto write_error = [&](std::string_view status) {
    writer.key(status).begin_object().field("description", "The request was refused.");
    writer.key("content").begin_object();
    write_json_content(writer, "Error");
    writer.end_object().end_object();
  };
  if (operation.request.empty())
    for (const std::string_view status : kGetErrors) write_error(status);
  else
    for (const std::string_view status : kPostErrors) write_error(status);
  writer.end_object();
}

void write_path(JsonWriter& writer, std::string_view path, const Operation& operation) {
  writer.key(path).begin_object();
  writer.key(operation.request.empty() ? "get" : "post").begin_object();
  if (path.find('{') != std::string_view::npos)
    writer.key("parameters")
        .raw(
            R"([{"name":"model","in":"path","required":true,"schema":{"type":"string","minLength":1}}])");
  write_operation(writer, operation);
  writer.end_object().end_object();
}

void write_paths(JsonWriter& writer) {
  writer.key("paths").begin_object();
  write_path(writer, "/v1/chat/completions",
             {.id = "createChatCompletion",
              .summary = "Goes on with a conversation.",
              .request = "ChatRequest",
              .response = "ChatCompletion",
              .may_stream = true});
  write_path(writer, "/v1/completions",
             {.id = "createCompletion",
              .summary = "Goes on with texts.",
              .request = "CompletionRequest",
              .response = "Completion",
              .may_stream = true});
  write_path(writer, "/v1/models",
             {.id = "listModels",
              .summary = "The names this server answers to.",
              .request = {},
              .response = "ModelList"});
  write_path(
      writer, "/v1/models/{model}",
      {.id = "retrieveModel", .summary = "One of them.", .request = {}, .response = "Model"});
  write_path(writer, "/tokenize",
             {.id = "tokenize",
              .summary = "The tokens of a text or conversation.",
              .request = "TokenizeRequest",
              .response = "Tokens"});
  write_path(writer, "/detokenize",
             {.id = "detokenize",
              .summary = "The text of tokens.",
              .request = "DetokenizeRequest",
              .response = "Text"});
  writer.end_object();
}

}  // namespace

std::string openapi_document() {
  std::string out;
  JsonWriter writer(out);
  writer.begin_object().field("openapi", "3.1.0").key("info").begin_object();
  writer.field("title", "Veloz").field("version", VELOZ_VERSION).end_object();
  write_paths(writer);
  writer.key("components").begin_object().key("schemas").begin_object();
  writer.key("ChatRequest").raw(chat_request_schema());
  writer.key("CompletionRequest").raw(completion_request_schema());
  writer.key("TokenizeRequest").raw(tokenize_request_schema());
  writer.key("DetokenizeRequest").raw(detokenize_request_schema());
  writer.key("ChatCompletion").raw(kChatCompletionSchema);
  writer.key("Completion").raw(kCompletionSchema);
  writer.key("ToolCall").raw(kToolCallSchema);
  writer.key("FinishReason").raw(kFinishReasonSchema);
  writer.key("Usage").raw(kUsageSchema);
  writer.key("Model").raw(kModelSchema);
  writer.key("ModelList").raw(kModelListSchema);
  writer.key("Tokens").raw(kTokensSchema);
  writer.key("Text").raw(kTextSchema);
  writer.key("Error").raw(kErrorSchema);
  writer.end_object();
  writer.key("securitySchemes").raw(R"({"bearer":{"type":"http","scheme":"bearer"}})");
  writer.end_object().key("security").raw(R"([{},{"bearer":[]}])");
  writer.end_object();
  return out;
}

}  // namespace veloz::http::openai
