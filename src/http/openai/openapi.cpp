// SPDX-License-Identifier: Apache-2.0
#include "http/openai/openapi.h"

#include <span>

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

constexpr std::string_view kStatusSchema = R"({"type":"object","required":["status"],
"properties":{"status":{"type":"string"},"reason":{"type":"string"}}})";
constexpr std::string_view kNotAvailableSchema =
    R"({"anyOf":[{"$ref":"#/components/schemas/Status"},{"$ref":"#/components/schemas/Error"}]})";
constexpr std::string_view kVersionSchema =
    R"({"type":"object","required":["version"],"properties":{"version":{"type":"string"}}})";
constexpr std::string_view kDocumentSchema =
    R"({"type":"object","required":["openapi","paths"],"properties":{"openapi":{"const":"3.1.0"}}})";
constexpr std::string_view kTraceSchema = R"({"type":"object","required":["traceEvents"],
"properties":{"traceEvents":{"type":"array","items":{"type":"object"}}}})";
constexpr std::string_view kMetricsSchema = R"({"type":"string"})";

// Statuses of requests that were refused.
constexpr std::string_view kTransportErrors[] = {"400", "408", "413", "417",
                                                 "431", "500", "501", "505"};
constexpr std::string_view kKeyErrors[] = {"401", "429"};
constexpr std::string_view kPostErrors[] = {"404", "415"};
constexpr std::string_view kModelErrors[] = {"404"};
constexpr std::string_view kGrammarErrors[] = {"422"};

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
  TokenizeRequest request;
  SchemaWriter of_text;
  visit_tokenize_request(of_text, request);
  visit_tokenized_text(of_text, request);
  ChatFields chat;
  SchemaWriter of_chat;
  visit_tokenize_request(of_chat, request);
  visit_chat_fields(of_chat, chat);
  visit_tool_fields(of_chat, request.tools);
  return R"({"oneOf":[)" + of_text.finish() + ',' + of_chat.finish() + "]}";
}

std::string detokenize_request_schema() {
  DetokenizeRequest request;
  SchemaWriter writer;
  visit_detokenize_request(writer, request);
  return writer.finish();
}

void write_content(JsonWriter& writer, std::string_view type, std::string_view schema_name) {
  writer.key(type).begin_object().key("schema").begin_object();
  writer.field("$ref", "#/components/schemas/" + std::string(schema_name));
  writer.end_object().end_object();
}

struct Operation {
  std::string_view path;
  std::string_view id;
  std::string_view summary;
  std::string_view request = {};  // names of schemas; a GET has none
  std::string_view response;
  std::string_view response_type = "application/json";
  std::string_view not_available = "Error";  // of status 503
  bool may_stream = false;
  bool needs_key = true;  // where the server has keys
};

constexpr Operation kOperations[] = {
    {.path = "/v1/chat/completions",
     .id = "createChatCompletion",
     .summary = "Goes on with a conversation.",
     .request = "ChatRequest",
     .response = "ChatCompletion",
     .may_stream = true},
    {.path = "/v1/completions",
     .id = "createCompletion",
     .summary = "Goes on with texts.",
     .request = "CompletionRequest",
     .response = "Completion",
     .may_stream = true},
    {.path = "/v1/models",
     .id = "listModels",
     .summary = "The names this server answers to.",
     .response = "ModelList"},
    {.path = "/v1/models/{model}",
     .id = "retrieveModel",
     .summary = "One of them.",
     .response = "Model"},
    {.path = "/tokenize",
     .id = "tokenize",
     .summary = "The tokens of a text or conversation.",
     .request = "TokenizeRequest",
     .response = "Tokens"},
    {.path = "/detokenize",
     .id = "detokenize",
     .summary = "The text of tokens.",
     .request = "DetokenizeRequest",
     .response = "Text"},
    {.path = "/health",
     .id = "health",
     .summary = "Whether the model is loaded and no step hangs.",
     .response = "Status",
     .not_available = "NotAvailable",
     .needs_key = false},
    {.path = "/livez",
     .id = "livez",
     .summary = "Whether no step hangs.",
     .response = "Status",
     .not_available = "NotAvailable",
     .needs_key = false},
    {.path = "/readyz",
     .id = "readyz",
     .summary = "Whether a request would be answered soon.",
     .response = "Status",
     .not_available = "NotAvailable",
     .needs_key = false},
    {.path = "/version",
     .id = "version",
     .summary = "The server's version.",
     .response = "Version",
     .needs_key = false},
    {.path = "/metrics",
     .id = "metrics",
     .summary = "Counts and times for Prometheus.",
     .response = "Metrics",
     .response_type = "text/plain",
     .needs_key = false},
    {.path = "/openapi.json", .id = "openapi", .summary = "This document.", .response = "Document"},
    {.path = "/debug/trace",
     .id = "trace",
     .summary = "The last steps, for Perfetto and chrome://tracing.",
     .response = "Trace"},
};

bool has_parameter(const Operation& operation) {
  return operation.path.find('{') != std::string_view::npos;
}

void write_error(JsonWriter& writer, std::string_view status, std::string_view schema_name) {
  writer.key(status).begin_object().field("description", "The request was refused.");
  writer.key("content").begin_object();
  write_content(writer, "application/json", schema_name);
  writer.end_object().end_object();
}

void write_responses(JsonWriter& writer, const Operation& operation) {
  writer.key("responses").begin_object().key("200").begin_object();
  writer.field("description", "The answer.").key("content").begin_object();
  write_content(writer, operation.response_type, operation.response);
  if (operation.may_stream) writer.key("text/event-stream").raw(R"({"schema":{"type":"string"}})");
  writer.end_object().end_object();
  const auto write_errors = [&](std::span<const std::string_view> statuses) {
    for (const std::string_view status : statuses) write_error(writer, status, "Error");
  };
  write_errors(kTransportErrors);
  if (operation.needs_key) write_errors(kKeyErrors);
  if (!operation.request.empty()) write_errors(kPostErrors);
  if (has_parameter(operation)) write_errors(kModelErrors);
  if (operation.may_stream) write_errors(kGrammarErrors);
  write_error(writer, "503", operation.not_available);
  writer.end_object();
}

void write_path(JsonWriter& writer, const Operation& operation) {
  writer.key(operation.path).begin_object();
  writer.key(operation.request.empty() ? "get" : "post").begin_object();
  if (has_parameter(operation))
    writer.key("parameters")
        .raw(
            R"([{"name":"model","in":"path","required":true,"schema":{"type":"string","minLength":1}}])");
  writer.field("operationId", operation.id).field("summary", operation.summary);
  if (!operation.request.empty()) {
    writer.key("requestBody").begin_object().field("required", true).key("content").begin_object();
    write_content(writer, "application/json", operation.request);
    writer.end_object().end_object();
  }
  write_responses(writer, operation);
  writer.end_object().end_object();
}

}  // namespace

std::string openapi_document() {
  std::string out;
  JsonWriter writer(out);
  writer.begin_object().field("openapi", "3.1.0").key("info").begin_object();
  writer.field("title", "Veloz").field("version", VELOZ_VERSION).end_object();
  writer.key("paths").begin_object();
  for (const Operation& operation : kOperations) write_path(writer, operation);
  writer.end_object();
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
  writer.key("Status").raw(kStatusSchema);
  writer.key("NotAvailable").raw(kNotAvailableSchema);
  writer.key("Version").raw(kVersionSchema);
  writer.key("Metrics").raw(kMetricsSchema);
  writer.key("Document").raw(kDocumentSchema);
  writer.key("Trace").raw(kTraceSchema);
  writer.key("Error").raw(kErrorSchema);
  writer.end_object();
  writer.key("securitySchemes").raw(R"({"bearer":{"type":"http","scheme":"bearer"}})");
  writer.end_object().key("security").raw(R"([{},{"bearer":[]}])");
  writer.end_object();
  return out;
}

}  // namespace veloz::http::openai
