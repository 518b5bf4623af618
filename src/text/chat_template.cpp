// SPDX-License-Identifier: Apache-2.0
#include "text/chat_template.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/json.h"
#include "text/jinja/parser.h"

namespace veloz::text {
namespace {

constexpr uint64_t kMaxConfigBytes = uint64_t{64} << 20;  // tokenizer_config.json with added tokens

void check_utf8(std::string_view source) {
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(source.data());
  for (size_t at = 0; at < source.size();) {
    utf8proc_int32_t c = 0;
    const utf8proc_ssize_t size =
        utf8proc_iterate(bytes + at, static_cast<utf8proc_ssize_t>(source.size() - at), &c);
    if (size <= 0)
      throw Error(ErrorKind::invalid_input,
                  fmt::format("the chat template is not UTF-8 at byte {}", at),
                  "save the template as UTF-8");
    at += static_cast<size_t>(size);
  }
}

using NamedSources = std::vector<std::pair<std::string, std::string>>;

std::string string_of(const jinja::Value& value, std::string_view what) {
  if (value.is_string()) return std::string(value.as_string());
  throw Error(ErrorKind::invalid_input, fmt::format("{} is not a string", what),
              "a chat template is a string, or a list of {\"name\", \"template\"}");
}

// `chat_template` of a JSON file: a string, or a list of named ones.
NamedSources sources_of(const jinja::Value& config) {
  NamedSources sources;
  const jinja::Value* entry = config.is_dict() ? config.find("chat_template") : nullptr;
  if (entry == nullptr || entry->is_none()) return sources;
  if (!entry->is_sequence()) {
    sources.emplace_back("default", string_of(*entry, "\"chat_template\""));
    return sources;
  }
  for (const jinja::Value& item : entry->items()) {
    const jinja::Value* name = item.is_dict() ? item.find("name") : nullptr;
    const jinja::Value* source = item.is_dict() ? item.find("template") : nullptr;
    if (name == nullptr || source == nullptr)
      throw Error(ErrorKind::invalid_input,
                  "an entry of the list \"chat_template\" lacks \"name\" or \"template\"",
                  "each entry is {\"name\": \"default\", \"template\": \"...\"}");
    sources.emplace_back(string_of(*name, "the name of a chat template"),
                         string_of(*source, "a chat template"));
  }
  return sources;
}

NamedSources read_json_sources(const std::filesystem::path& path) {
  try {
    return sources_of(
        jinja::parse_json(read_text_file(path, kMaxConfigBytes), jinja::BigIntegers::as_real));
  } catch (Error& e) {
    e.add_context(fmt::format("reading \"{}\"", path.string()));
    throw;
  }
}

// `additional_chat_templates/<name>.jinja`, which transformers reads beside chat_template.jinja.
void add_additional_sources(const std::filesystem::path& directory,
                            const ChatTemplateLimits& limits, NamedSources& sources) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(directory, ignored)) return;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    if (entry.path().extension() == ".jinja")
      sources.emplace_back(entry.path().stem().string(),
                           read_text_file(entry.path(), limits.max_template_bytes));
  std::sort(sources.begin(), sources.end());
}

NamedSources find_sources(const std::filesystem::path& model_dir,
                          const ChatTemplateLimits& limits) {
  NamedSources sources;
  if (std::filesystem::exists(model_dir / "chat_template.jinja"))
    sources.emplace_back(
        "default", read_text_file(model_dir / "chat_template.jinja", limits.max_template_bytes));
  add_additional_sources(model_dir / "additional_chat_templates", limits, sources);
  for (const char* name : {"chat_template.json", "tokenizer_config.json"}) {
    if (!sources.empty()) break;
    if (std::filesystem::exists(model_dir / name)) sources = read_json_sources(model_dir / name);
  }
  return sources;
}

std::optional<ChatTemplate> parse_named(const NamedSources& sources, std::string_view name,
                                        const std::filesystem::path& model_dir,
                                        const ChatTemplateLimits& limits) {
  const auto named = std::find_if(sources.begin(), sources.end(),
                                  [&](const auto& source) { return source.first == name; });
  if (named == sources.end()) return std::nullopt;
  try {
    return ChatTemplate::parse(named->second, limits);
  } catch (Error& e) {
    e.add_context(fmt::format("the chat template \"{}\" of \"{}\"", name, model_dir.string()));
    throw;
  }
}

[[noreturn]] void throw_no_such_template(const NamedSources& sources, std::string_view name,
                                         const std::filesystem::path& model_dir) {
  std::vector<std::string> names;
  for (const auto& [known, source] : sources) names.push_back(known);
  throw Error(ErrorKind::not_found,
              fmt::format("\"{}\" has no chat template \"{}\"", model_dir.string(), name),
              fmt::format("it has: {}", fmt::join(names, ", ")));
}

}  // namespace

namespace {

// Names under which clients pass a message's reasoning; templates read the first.
constexpr std::string_view kReasoningFields[] = {"reasoning_content", "thinking", "reasoning"};

// What transformers does to a message first: a key without a value is dropped, since templates
// take it for present, and reasoning is put under the names that templates read.
jinja::Value normalize_message(const jinja::Value& message) {
  using jinja::Value;
  if (!message.is_dict())
    throw Error(ErrorKind::invalid_input,
                "a message is not an object with \"role\" and \"content\"",
                "pass {\"role\": \"user\", \"content\": \"...\"}");
  std::optional<Value> reasoning;
  for (const std::string_view field : kReasoningFields)
    if (const Value* value = message.find(field); value && !value->is_none() && !reasoning)
      reasoning = *value;
  Value::Pairs pairs;
  if (reasoning) pairs.emplace_back(Value::string("thinking"), *reasoning);
  for (const auto& [key, value] : message.pairs())
    if (!value.is_none()) pairs.emplace_back(key, value);
  if (reasoning) pairs.emplace_back(Value::string("reasoning_content"), *reasoning);
  return Value::dict(std::move(pairs));
}

}  // namespace

struct ChatTemplate::Parsed {
  std::string source;
  ChatTemplateLimits limits;
  jinja::Body body;
};

jinja::Value chat_message(std::string_view role, std::string_view content) {
  using jinja::Value;
  return Value::dict({{Value::string("role"), Value::string(std::string(role))},
                      {Value::string("content"), Value::string(std::string(content))}});
}

jinja::Value parse_json_value(std::string_view text) { return jinja::parse_json(text); }

ChatTemplate::ChatTemplate(std::unique_ptr<const Parsed> parsed) : parsed_(std::move(parsed)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

const std::string& ChatTemplate::source() const { return parsed_->source; }

ChatTemplate ChatTemplate::parse(std::string source, ChatTemplateLimits limits) {
  if (source.size() > limits.max_template_bytes)
    throw Error(ErrorKind::invalid_input,
                fmt::format("the chat template has {} bytes, over max_template_bytes = {}",
                            source.size(), limits.max_template_bytes),
                "this does not look like a chat template");
  check_utf8(source);
  jinja::Body body = jinja::parse_template(source);
  return ChatTemplate(
      std::make_unique<const Parsed>(Parsed{std::move(source), limits, std::move(body)}));
}

std::optional<ChatTemplate> ChatTemplate::load(const std::filesystem::path& model_dir,
                                               std::string_view name, ChatTemplateLimits limits) {
  const NamedSources sources = find_sources(model_dir, limits);
  if (sources.empty()) return std::nullopt;
  const std::string_view wanted = name.empty() ? "default" : name;
  std::optional<ChatTemplate> result = parse_named(sources, wanted, model_dir, limits);
  if (!result) throw_no_such_template(sources, wanted, model_dir);
  return result;
}

std::string ChatTemplate::render(const ChatInput& input) const {
  using jinja::Value;
  Value::Items messages;
  for (const Value& message : input.messages) messages.push_back(normalize_message(message));
  jinja::Interpreter::Variables variables = {
      {"messages", Value::list(std::move(messages))},
      {"tools", input.tools},
      {"documents", Value()},
      {"add_generation_prompt", Value::boolean(input.add_generation_prompt)}};
  if (!input.bos_token.empty()) variables.emplace_back("bos_token", Value::string(input.bos_token));
  if (!input.eos_token.empty()) variables.emplace_back("eos_token", Value::string(input.eos_token));
  for (const auto& entry : input.extra) variables.push_back(entry);
  jinja::Interpreter interpreter({.limits = parsed_->limits, .clock = input.clock}, variables);
  return interpreter.render(parsed_->body);
}

std::optional<ChatTemplates> ChatTemplates::load(const std::filesystem::path& model_dir,
                                                 ChatTemplateLimits limits) {
  const NamedSources sources = find_sources(model_dir, limits);
  if (sources.empty()) return std::nullopt;
  std::optional<ChatTemplate> plain = parse_named(sources, "default", model_dir, limits);
  if (!plain) throw_no_such_template(sources, "default", model_dir);
  ChatTemplates result(std::move(*plain));
  result.tool_use_ = parse_named(sources, "tool_use", model_dir, limits);
  return result;
}

const ChatTemplate& ChatTemplates::choose(const ChatInput& input) const {
  return !input.tools.is_none() && tool_use_ ? *tool_use_ : default_;
}

}  // namespace veloz::text
