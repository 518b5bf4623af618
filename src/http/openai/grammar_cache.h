// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "grammar/grammar.h"
#include "http/openai/structured_output.h"
#include "http/openai/work_pool.h"

namespace veloz::http::openai {

/// Compiled grammars, by what they were compiled from. Compiling happens on threads of its own,
/// each source once however many requests wait for it; the least recently used are forgotten.
/// Any thread may call any method.
class GrammarCache {
 public:
  struct Options {
    size_t max_entries = 256;
    size_t max_bytes = size_t{64} << 20;  // of them all; those in use are held beside it
    size_t max_waiting = 64;              // sources that wait to be compiled
    int num_threads = 1;
    grammar::CompileLimits limits = {};
  };
  /// The grammar, or why there is none.
  using Callback = std::function<void(grammar::GrammarPtr, std::exception_ptr)>;

  explicit GrammarCache(const Options& options)
      : options_(options), pool_(options.num_threads, options.max_waiting) {}

  /// Calls back at once where it is known, else from a compiling thread. Throws RequestError (503)
  /// where too many wait.
  void get(const StructuredOutput& output, Callback callback);

 private:
  struct Entry {
    bool is_compiled = false;
    grammar::GrammarPtr grammar;
    size_t num_bytes = 0;
    std::vector<Callback> waiting;
    std::list<std::string>::iterator place;  // in recent_
  };

  void compile(const std::string& key, const StructuredOutput& output);
  void forget_oldest();

  Options options_;
  std::mutex mutex_;
  std::unordered_map<std::string, Entry> entries_;  // guarded by mutex_
  size_t num_bytes_ = 0;                            // likewise: of those that are compiled
  std::list<std::string> recent_;                   // likewise: keys, the last used first
  WorkPool pool_;                                   // last: its threads use all the others
};

/// Compiles on the calling thread. Throws RequestError naming the parameter: 400 where the source
/// is wrong, 422 where compiling it passes a limit.
grammar::GrammarPtr compile(const StructuredOutput& output, const grammar::CompileLimits& limits);

}  // namespace veloz::http::openai
