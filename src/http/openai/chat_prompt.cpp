// SPDX-License-Identifier: Apache-2.0
#include "http/openai/chat_prompt.h"

#include <fmt/format.h>

#include <ctime>
#include <string_view>

#include "http/openai/request_error.h"

namespace veloz::http::openai {
namespace {

constexpr std::string_view kTemplateSpaces = " \n\t\r\v\f";

std::tm local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm time{};
  localtime_r(&now, &time);
  return time;
}

std::string_view strip_left(std::string_view text) {
  const size_t first = text.find_first_not_of(kTemplateSpaces);
  return first == std::string_view::npos ? std::string_view() : text.substr(first);
}

std::string_view strip(std::string_view text) {
  text = strip_left(text);
  return text.substr(0, text.find_last_not_of(kTemplateSpaces) + 1);
}

// What transformers does: the prompt ends with the last message's text, without what the template
// puts behind it.
std::string cut_behind_final_message(std::string rendered, std::string_view content) {
  const std::string_view stripped = strip(content);
  const size_t at = rendered.rfind(stripped);
  if (at == std::string::npos)
    throw RequestError({.param = "continue_final_message"},
                       "the chat template changes the last message, so it cannot be continued",
                       "leave continue_final_message out");
  const std::string_view with_end = strip_left(content);
  const bool keeps_end = std::string_view(rendered).substr(at).starts_with(with_end);
  rendered.resize(at + (keeps_end ? with_end.size() : stripped.size()));
  return rendered;
}

}  // namespace

ChatPrompter::ChatPrompter(const text::TextFiles& files, const std::optional<std::string>& source)
    : files_(files) {
  if (source) own_ = text::ChatTemplate::parse(*source);
}

const text::ChatTemplate& ChatPrompter::choose(const text::ChatInput& input) const {
  if (own_) return *own_;
  if (files_.chat_templates) return files_.chat_templates->choose(input);
  throw RequestError({.param = "messages"}, "this model has no chat template",
                     "use /v1/completions, or start the server with --chat-template");
}

std::string ChatPrompter::render(const ChatFields& chat, const ToolFields& tools) const {
  text::ChatInput input{.messages = chat.messages,
                        .tools = {},
                        .add_generation_prompt = chat.add_generation_prompt,
                        .bos_token = files_.special_tokens.bos,
                        .eos_token = files_.special_tokens.eos,
                        .extra = {},
                        .clock = local_time};
  if (tools.choice.kind != ToolChoice::Kind::none) input.tools = tools.definitions;
  for (const auto& [name, value] : chat.template_kwargs) input.extra.emplace_back(name, value);
  try {
    std::string rendered = choose(input).render(input);
    if (!chat.continue_final_message) return rendered;
    return cut_behind_final_message(std::move(rendered),
                                    chat.messages.back().find("content")->as_string());
  } catch (const RequestError&) {
    throw;
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::invalid_input && e.kind() != ErrorKind::unsupported) throw;
    throw RequestError({.param = "messages"}, fmt::format("the chat template: {}", e.message()),
                       e.hint());
  }
}

std::optional<ToolFormat> ChatPrompter::tool_format() const {
  if (!own_ && !files_.chat_templates) return std::nullopt;
  text::ChatInput with_tools;
  with_tools.tools = Json::list({});
  return find_tool_format(choose(with_tools).source());
}

ToolFormat ChatPrompter::require_tool_format() const {
  if (const std::optional<ToolFormat> format = tool_format()) return *format;
  throw RequestError({.param = "tool_choice"},
                     "\"tool_choice\" is \"auto\", and this model's chat template shows no way of "
                     "writing calls that this server knows",
                     "use \"required\" or a named function, which need no template for tools");
}

}  // namespace veloz::http::openai
