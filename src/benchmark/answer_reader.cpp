// SPDX-License-Identifier: Apache-2.0
#include "benchmark/answer_reader.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace veloz::benchmark {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxPlainBody = 4096;
constexpr size_t kMaxErrorText = 200;

const Json* find(const Json& object, const char* key) {
  const auto field = object.find(key);
  return field == object.end() || field->is_null() ? nullptr : &*field;
}

/// "message" of an OpenAI error object, or the beginning of whatever is there.
std::string error_text(const Json& error) {
  const Json* const message = error.is_object() ? find(error, "message") : nullptr;
  std::string text = message != nullptr && message->is_string()
                         ? message->get<std::string>()
                         : error.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > kMaxErrorText) text = text.substr(0, kMaxErrorText) + "...";
  return text;
}

std::string body_error(const std::string& body) {
  const Json parsed = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_object() && parsed.contains("error")) return error_text(parsed["error"]);
  return body.substr(0, kMaxErrorText);
}

void append_string(const Json& object, const char* key, std::string& to) {
  const Json* const value = find(object, key);
  if (value != nullptr && value->is_string()) to += value->get_ref<const std::string&>();
}

/// What a choice adds for its reader: text, or a chat's content, reasoning or tool call.
std::string text_of(const Json& choice) {
  std::string text;
  append_string(choice, "text", text);
  const Json* const delta = find(choice, "delta");
  if (delta == nullptr || !delta->is_object()) return text;
  for (const char* key : {"reasoning_content", "reasoning", "content"})
    append_string(*delta, key, text);
  if (const Json* const calls = find(*delta, "tool_calls")) text += calls->dump();
  return text;
}

int64_t count_of(const Json& usage, const char* key) {
  const Json* const value = find(usage, key);
  return value != nullptr && value->is_number_integer() ? value->get<int64_t>() : 0;
}

}  // namespace

void AnswerReader::on_head(int status, std::string_view content_type) {
  status_ = status;
  is_stream_ = status == 200 && content_type.starts_with("text/event-stream");
}

void AnswerReader::on_data(std::string_view bytes, double now_s) {
  if (is_stream_) {
    parser_.feed(bytes, [&](std::string_view data) { on_event(data, now_s); });
  } else if (plain_body_.size() < kMaxPlainBody) {
    plain_body_ += bytes.substr(0, kMaxPlainBody - plain_body_.size());
  }
}

void AnswerReader::on_event(std::string_view data, double now_s) {
  if (data == "[DONE]") {
    is_ended_ = true;
    return;
  }
  const Json event = Json::parse(data, nullptr, /*allow_exceptions=*/false);
  if (!event.is_object()) {
    stream_error_ = "an event is no JSON object";
    return;
  }
  if (const Json* const error = find(event, "error")) {
    stream_error_ = "in the stream: " + error_text(*error);
    return;
  }
  const Json* const choices = find(event, "choices");
  if (choices != nullptr && choices->is_array())
    for (const Json& choice : *choices)
      if (choice.is_object()) on_choice(choice, now_s);
  const Json* const usage = find(event, "usage");
  if (usage != nullptr && usage->is_object()) {
    has_usage_ = true;
    num_prompt_tokens_ = count_of(*usage, "prompt_tokens");
    num_output_tokens_ = count_of(*usage, "completion_tokens");
  }
}

void AnswerReader::on_choice(const Json& choice, double now_s) {
  if (find(choice, "finish_reason") != nullptr) is_ended_ = true;
  end_s_ = now_s;
  const std::string text = text_of(choice);
  // A chat's first chunk has its role and no text; a token that is half a character has none yet.
  if (text.empty()) return;
  if (num_chunks_ == 0)
    first_s_ = now_s;
  else
    itls_s_.push_back(now_s - last_s_);
  last_s_ = now_s;
  ++num_chunks_;
  text_ += text;
}

std::string AnswerReader::error_of(std::string_view transport_error) const {
  if (status_ != 0 && status_ != 200)
    return fmt::format("HTTP {}: {}", status_, body_error(plain_body_));
  if (!stream_error_.empty()) return stream_error_;
  if (!transport_error.empty()) return std::string(transport_error);
  if (!is_stream_) return "the answer is no event stream: " + body_error(plain_body_);
  if (!is_ended_) return "the stream ended without a finish reason";
  return {};
}

void AnswerReader::finish(std::string_view transport_error, RequestResult& result) const {
  result.start_s = sent_s_;
  result.error = error_of(transport_error);
  result.text = text_;
  result.itls_s = itls_s_;
  result.latency_s = end_s_ > 0 ? end_s_ - sent_s_ : 0;
  // An answer without visible text has its end as its first sign.
  result.ttft_s = num_chunks_ > 0 ? first_s_ - sent_s_ : result.latency_s;
  if (has_usage_) result.num_prompt_tokens = num_prompt_tokens_;
  result.num_output_tokens = has_usage_ ? num_output_tokens_ : num_chunks_;
}

}  // namespace veloz::benchmark
