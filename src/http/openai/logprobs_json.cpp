// SPDX-License-Identifier: Apache-2.0
#include "http/openai/logprobs_json.h"

#include <algorithm>
#include <utility>

namespace veloz::http::openai {
namespace {

constexpr float kLowestLogprob = -9999.0F;

void write_entry(JsonWriter& writer, const TokenNames& names, int32_t token, float logprob) {
  writer.field("token", names.name(token)).field("logprob", finite_logprob(logprob));
  writer.key("bytes").begin_array();
  for (const char byte : api::token_text(*names.pieces, token).bytes)
    writer.value(int32_t{static_cast<unsigned char>(byte)});
  writer.end_array();
}

void append_item(std::string& list) {
  if (!list.empty()) list += ',';
}

}  // namespace

std::string TokenNames::name(int32_t token) const {
  if (as_token_ids) return "token_id:" + std::to_string(token);
  return api::token_text(*pieces, token).text;
}

float finite_logprob(float logprob) { return std::max(logprob, kLowestLogprob); }

void write_chat_logprob(JsonWriter& writer, const TokenNames& names,
                        const serving::TokenEvent& event) {
  writer.begin_object();
  write_entry(writer, names, event.token, event.logprob.value_or(0));
  writer.key("top_logprobs").begin_array();
  for (const serving::TokenLogprob& top : event.top) {
    writer.begin_object();
    write_entry(writer, names, top.token, top.logprob);
    writer.end_object();
  }
  writer.end_array().end_object();
}

void CompletionLogprobs::add_token(int32_t token) {
  append_item(tokens_);
  append_json_string(tokens_, names_.name(token));
  append_item(offsets_);
  append_json_number(offsets_, text_.text_offset());
  (void)text_.push(token, /*is_end=*/false);
}

void CompletionLogprobs::add_first(int32_t token) {
  add_token(token);
  append_item(logprobs_);
  logprobs_ += "null";
  append_item(tops_);
  tops_ += "null";
}

void CompletionLogprobs::add(const serving::TokenLogprob& token,
                             std::span<const serving::TokenLogprob> top) {
  add_token(token.token);
  append_item(logprobs_);
  append_json_number(logprobs_, finite_logprob(token.logprob));
  append_item(tops_);
  JsonWriter writer(tops_);
  writer.begin_object();
  std::vector<std::string> written;  // two tokens may have one text; the likelier stays
  const auto write = [&](const serving::TokenLogprob& entry) {
    std::string name = names_.name(entry.token);
    if (std::find(written.begin(), written.end(), name) != written.end()) return;
    writer.field(name, finite_logprob(entry.logprob));
    written.push_back(std::move(name));
  };
  for (const serving::TokenLogprob& entry : top) write(entry);
  write(token);
  writer.end_object();
}

std::string CompletionLogprobs::take() {
  std::string out = "{\"tokens\":[" + std::exchange(tokens_, {});
  out += "],\"token_logprobs\":[" + std::exchange(logprobs_, {});
  out += "],\"top_logprobs\":[" + std::exchange(tops_, {});
  out += "],\"text_offset\":[" + std::exchange(offsets_, {}) + "]}";
  return out;
}

void write_prompt_logprobs(JsonWriter& writer, const TokenNames& names,
                           std::span<const std::vector<serving::TokenLogprob>> logprobs) {
  writer.begin_array().null();
  for (const std::vector<serving::TokenLogprob>& entries : logprobs) {
    writer.begin_object();
    const std::span<const serving::TokenLogprob> top = std::span(entries).subspan(1);
    const auto write = [&](const serving::TokenLogprob& entry) {
      writer.key(std::to_string(entry.token)).begin_object();
      writer.field("logprob", finite_logprob(entry.logprob)).field("rank", entry.rank);
      writer.field("decoded_token", names.name(entry.token)).end_object();
    };
    const auto own = std::find_if(top.begin(), top.end(), [&](const serving::TokenLogprob& entry) {
      return entry.token == entries.front().token;
    });
    if (own == top.end()) write(entries.front());
    for (const serving::TokenLogprob& entry : top) write(entry);
    writer.end_object();
  }
  writer.end_array();
}

}  // namespace veloz::http::openai
