// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "grammar/grammar.h"
#include "http/openai/structured_output.h"

namespace veloz::http::openai {

/// Compiled grammars, by what they were compiled from. Compiling happens on threads of its own,
/// each source once however many requests wait for it; the least recently used are forgotten.
/// Any thread may call any method.
class GrammarCache {
 public:
  struct Options {
    size_t max_entries = 256;
    size_t max_waiting = 64;  // sources that wait to be compiled
    int num_threads = 1;
    grammar::CompileLimits limits = {};
  };
  /// The grammar, or why there is none.
  using Callback = std::function<void(grammar::GrammarPtr, std::exception_ptr)>;

  explicit GrammarCache(const Options& options);
  /// Drops what waits.
  ~GrammarCache();

  /// Calls back at once where it is known, else from a compiling thread. Throws RequestError (503)
  /// where too many wait.
  void get(const StructuredOutput& output, Callback callback);

 private:
  struct Entry {
    StructuredOutput output;
    bool is_compiled = false;
    grammar::GrammarPtr grammar;
    std::vector<Callback> waiting;
    std::list<std::string>::iterator place;  // in recent_
  };

  void run(const std::stop_token& stop);
  void compile(const std::string& key);
  void forget_oldest();

  Options options_;
  std::mutex mutex_;
  std::condition_variable_any has_work_;
  std::unordered_map<std::string, Entry> entries_;  // guarded by mutex_, as all below
  std::list<std::string> recent_;                   // keys, the last used first
  std::deque<std::string> queue_;
  std::vector<std::jthread> threads_;
};

/// Compiles on the calling thread. Throws RequestError naming the parameter.
grammar::GrammarPtr compile(const StructuredOutput& output, const grammar::CompileLimits& limits);

}  // namespace veloz::http::openai
