// SPDX-License-Identifier: Apache-2.0
#include "http/openai/grammar_cache.h"

#include <fmt/format.h>

#include <utility>

#include "http/openai/request_error.h"

namespace veloz::http::openai {
namespace {

std::string key_of(const StructuredOutput& output) {
  std::string key = std::to_string(static_cast<int>(output.kind)) + ':' + output.source;
  for (const std::string& choice : output.choices)
    key += std::to_string(choice.size()) + ':' + choice;
  return key;
}

grammar::GrammarPtr compile_kind(const StructuredOutput& output,
                                 const grammar::CompileLimits& limits) {
  switch (output.kind) {
    case StructuredOutput::Kind::none:
      return nullptr;
    case StructuredOutput::Kind::json_object:
      return grammar::compile_json_object(limits);
    case StructuredOutput::Kind::json_schema:
      return grammar::compile_json_schema(output.source, limits);
    case StructuredOutput::Kind::regex:
      return grammar::compile_regex(output.source, limits);
    case StructuredOutput::Kind::choice:
      return grammar::compile_choice(output.choices, limits);
    case StructuredOutput::Kind::ebnf:
      return grammar::compile_ebnf(output.source, limits);
  }
  return nullptr;
}

struct Complaint {
  std::string param;
  std::string message;
};

/// What is wrong with a part of the source is told of the schema that the client sent: its errors
/// begin with the place, and may quote a reference.
Complaint complaint_of(const StructuredOutput& output, std::string message) {
  for (const StructuredOutput::Part& part : output.parts) {
    const std::string place = '"' + part.pointer;
    const char next = message.starts_with(place) ? message[place.size()] : '\0';
    if (next != '"' && next != '/') continue;
    message.erase(1, part.pointer.size());
    const size_t reference = message.find("\"#" + part.pointer);
    if (reference != std::string::npos) message.erase(reference + 2, part.pointer.size());
    return {part.param, std::move(message)};
  }
  return {output.param, std::move(message)};
}

}  // namespace

grammar::GrammarPtr compile(const StructuredOutput& output, const grammar::CompileLimits& limits) {
  try {
    return compile_kind(output, limits);
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::internal) throw;
    // What is well-formed but beyond the limits of compiling is not the same as what is wrong.
    const int status = e.kind() == ErrorKind::unsupported ? 422 : 400;
    const Complaint complaint = complaint_of(output, e.message());
    throw RequestError({.param = complaint.param, .status = status},
                       fmt::format("\"{}\": {}", complaint.param, complaint.message), e.hint());
  }
}

void GrammarCache::get(const StructuredOutput& output, Callback callback) {
  const std::string key = key_of(output);
  grammar::GrammarPtr known;
  {
    const std::scoped_lock lock(mutex_);
    const auto found = entries_.find(key);
    if (found != entries_.end()) {
      Entry& entry = found->second;
      recent_.splice(recent_.begin(), recent_, entry.place);
      if (!entry.is_compiled) return entry.waiting.push_back(std::move(callback));
      known = entry.grammar;
    } else {
      if (!pool_.try_submit([this, key, output] { compile(key, output); }))
        throw RequestError({.param = output.param, .status = 503},
                           fmt::format("{} grammars wait to be compiled, which is the limit",
                                       options_.max_waiting),
                           "try again in a few seconds");
      recent_.push_front(key);
      Entry entry{.grammar = nullptr, .waiting = {}, .place = recent_.begin()};
      entry.waiting.push_back(std::move(callback));
      entries_.emplace(key, std::move(entry));
      return;
    }
  }
  callback(std::move(known), nullptr);
}

void GrammarCache::compile(const std::string& key, const StructuredOutput& output) {
  grammar::GrammarPtr grammar;
  std::exception_ptr error;
  try {
    grammar = openai::compile(output, options_.limits);
  } catch (...) {
    error = std::current_exception();
  }
  std::vector<Callback> waiting;
  {
    const std::scoped_lock lock(mutex_);
    Entry& entry = entries_.at(key);
    waiting = std::move(entry.waiting);
    if (error) {
      recent_.erase(entry.place);
      entries_.erase(key);
    } else {
      entry.is_compiled = true;
      entry.grammar = grammar;
      entry.num_bytes = 2 * key.size() + grammar::num_bytes(*grammar);
      num_bytes_ += entry.num_bytes;
      forget_oldest();
    }
  }
  for (const Callback& callback : waiting) callback(grammar, error);
}

void GrammarCache::forget_oldest() {
  const auto is_full = [this] {
    return entries_.size() > options_.max_entries || num_bytes_ > options_.max_bytes;
  };
  for (auto at = recent_.end(); is_full() && at != recent_.begin();) {
    --at;
    const auto entry = entries_.find(*at);
    if (!entry->second.is_compiled) continue;
    num_bytes_ -= entry->second.num_bytes;
    entries_.erase(entry);
    at = recent_.erase(at);
  }
}

}  // namespace veloz::http::openai
