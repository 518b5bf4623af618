// SPDX-License-Identifier: Apache-2.0
#include "http/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

namespace veloz::http {
namespace {

constexpr size_t kMaxWaitingLines = 8192;

std::string timestamp() {
  const auto now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)),
                     (now - seconds).count());
}

std::string dump(const Log::Fields& value) {
  return value.dump(-1, ' ', false, Log::Fields::error_handler_t::replace);
}

/// Quoted only where a reader could not tell where it ends.
std::string text_of(const Log::Fields& value) {
  if (!value.is_string()) return dump(value);
  const auto& text = value.get_ref<const std::string&>();
  const bool is_plain = !text.empty() && std::ranges::all_of(text, [](char c) {
    return c > ' ' && c < '\x7f' && c != '"' && c != '=' && c != '\\';
  });
  return is_plain ? text : dump(value);
}

}  // namespace

struct Log::State {
  LogFormat format;
  std::function<void(const std::string&)> sink;
  std::shared_ptr<spdlog::async_logger> logger;
  std::shared_ptr<spdlog::details::thread_pool> threads;  // ends first, with all lines written
};

Log::Log(LogFormat format) : state_(std::make_unique<State>()) {
  state_->format = format;
  state_->threads = std::make_shared<spdlog::details::thread_pool>(kMaxWaitingLines, 1);
  state_->logger = std::make_shared<spdlog::async_logger>(
      "veloz", std::make_shared<spdlog::sinks::stderr_sink_mt>(), state_->threads,
      spdlog::async_overflow_policy::overrun_oldest);
  state_->logger->set_pattern("%v");
  state_->logger->flush_on(spdlog::level::info);
}

Log::Log(LogFormat format, std::function<void(const std::string&)> sink)
    : state_(std::make_unique<State>()) {
  state_->format = format;
  state_->sink = std::move(sink);
}

Log::~Log() = default;

void Log::info(std::string_view event, const Fields& fields) { write("info", event, fields); }
void Log::warning(std::string_view event, const Fields& fields) { write("warning", event, fields); }
void Log::error(std::string_view event, const Fields& fields) { write("error", event, fields); }

void Log::write(std::string_view level, std::string_view event, const Fields& fields) {
  std::string line;
  if (state_->format == LogFormat::json) {
    Fields object = {{"ts", timestamp()}, {"level", level}, {"event", event}};
    if (!fields.empty()) object.update(fields);
    line = dump(object);
  } else {
    line = fmt::format("{} {} {}", timestamp(), level, event);
    for (const auto& [key, value] : fields.items())
      line += fmt::format(" {}={}", key, text_of(value));
  }
  if (state_->sink) return state_->sink(line);
  state_->logger->info(line);
}

}  // namespace veloz::http
