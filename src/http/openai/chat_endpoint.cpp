// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <random>
#include <utility>

#include "http/openai/chat_request.h"
#include "http/openai/endpoints.h"
#include "http/openai/field_reader.h"
#include "http/openai/generation_job.h"
#include "http/openai/request_error.h"

namespace veloz::http::openai {
namespace {

// Ids of calls must differ within a conversation, which is many requests.
std::string draw_call_id_prefix() {
  std::random_device device;
  return fmt::format("call_{:08x}{:08x}", device(), device());
}

void plan_tools(const Context& context, const ToolFields& tools, AnswerPlan& plan) {
  using Kind = ToolChoice::Kind;
  if (tools.choice.kind != Kind::none) plan.call_id_prefix = draw_call_id_prefix();
  if (!tools.allows_parallel_calls) plan.call_limit = CallLimit::one;
  switch (tools.choice.kind) {
    case Kind::none:
      return;
    case Kind::required:
      plan.tools = AnswerPlan::Tools::forced;
      return;
    case Kind::named:
      plan.tools = AnswerPlan::Tools::named;
      plan.tool_name = tools.choice.name;
      return;
    case Kind::automatic:
      plan.tools = AnswerPlan::Tools::automatic;
      plan.tool_format = context.prompter.require_tool_format();
      // Where the marks of a call are special tokens, leaving them out would hide it.
      if (plan.tool_format != ToolFormat::hermes) plan.special = text::SpecialTokens::keep;
      return;
  }
}

StructuredOutput structured_output_of(const ChatRequest& request) {
  return request.tools.is_forced() ? forced_output(request.tools)
                                   : request.generation.structured_output;
}

// The text that an echo begins with: the turn that is continued.
std::string echo_of(const ChatFields& chat) {
  const Json& last = chat.messages.back();
  const bool is_assistant = last.find("role")->as_string() == "assistant";
  const Json* content = last.find("content");
  if (!is_assistant || content == nullptr || !content->is_string()) return {};
  return std::string(content->as_string());
}

}  // namespace

void complete_chat(const Context& context, Submitter& submitter,
                   const std::shared_ptr<net::Exchange>& exchange) {
  const Json body = parse_body(exchange->request().body);
  const ChatRequest request = parse_chat_request(body, context.defaults.params);
  const GenerationFields& fields = request.generation;
  AnswerPlan plan = make_plan(context, fields, exchange->request(), "chatcmpl-");
  check_logprobs(context, fields, "top_logprobs");
  plan_tools(context, request.tools, plan);
  const std::string text = context.prompter.render(request.chat, request.tools);
  AnswerPlan::Prompt prompt{.tokens = context.model.require_tokenizer().encode(
                                text, {.add_special_tokens = request.chat.add_special_tokens})};
  fit_prompt(context, fields, "messages", prompt.tokens);
  plan.params.max_tokens = choose_max_tokens(context, fields, std::ssize(prompt.tokens));
  if (fields.echo) prompt.echo = echo_of(request.chat);
  plan.prompts.push_back(std::move(prompt));
  submitter.check(plan);
  submitter.submit(make_job(exchange, fields,
                            create_chat_answer(std::move(plan), fields.is_streamed),
                            structured_output_of(request)));
}

}  // namespace veloz::http::openai
