// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace veloz::http {

enum class LogFormat { text, json };

/// One line per event on stderr: time, level, event, then key=value pairs, or one JSON object. Any
/// thread may log; nobody waits for the reader of stderr: where it does not keep up, the oldest
/// lines are lost.
class Log {
 public:
  /// Fields in the order given: {{"id", id}, {"status", 200}}.
  using Fields = nlohmann::ordered_json;

  explicit Log(LogFormat format);
  /// For tests: each line goes to `sink`, on the thread that logs.
  Log(LogFormat format, std::function<void(const std::string&)> sink);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  void info(std::string_view event, const Fields& fields);
  void warning(std::string_view event, const Fields& fields);
  void error(std::string_view event, const Fields& fields);

 private:
  void write(std::string_view level, std::string_view event, const Fields& fields);

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace veloz::http
