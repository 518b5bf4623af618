// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "api/loaded_model.h"
#include "base/error.h"
#include "base/verdict.h"
#include "cli/describe_running.h"
#include "cli/ends_within.h"
#include "cli/serve_flags.h"
#include "cli/signals.h"
#include "cli/verbs.h"
#include "cli/yaml_config.h"
#include "http/openai/service.h"
#include "http/server.h"
#include "net/post_together.h"

namespace veloz::cli {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kTick{1000};
constexpr milliseconds kPoll{50};           // while something is about to end
constexpr milliseconds kEngineEnd{10'000};  // of a step, once all its requests are cancelled

/// Each connection is a descriptor, and the usual limit of 1,024 is for interactive programs.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

/// A model with all that answers for it.
struct Served {
  Served(const ServeFlags& flags, http::Server& server, http::Log& log);

  std::unique_ptr<http::Metrics> metrics;  // first: the engine's thread counts into it
  std::unique_ptr<api::LoadedModel> model;
  std::unique_ptr<http::openai::Service> service;
};

ResolvedEngine resolve(const LoadFlags& flags, http::Log& log) {
  ResolvedEngine resolved = resolve_model(flags);
  if (resolved.was_built)
    log.info("built",
             {{"engine", resolved.engine.string()}, {"duration_s", resolved.report.seconds}});
  for (const std::string& warning : resolved.report.warnings)
    log.warning("checkpoint", {{"problem", warning}});
  return resolved;
}

void check_verdict(const std::filesystem::path& engine, bool force) {
  const engine::Manifest manifest = engine::Engine::open(engine).manifest();
  if (force || manifest.verdict != std::string(kVerdictFail)) return;
  throw Error(ErrorKind::invalid_input,
              fmt::format("the verdict on \"{}\" is {}: its evaluation found it damaged",
                          engine.string(), kVerdictFail),
              "quantize the model with another recipe, or serve it all the same with --force");
}

/// Those of the sampling defaults that are not OpenAI's own.
http::Log::Fields fields_of(const http::openai::SamplingDefaults& defaults) {
  http::Log::Fields fields = http::Log::Fields::object();
  const SamplingParams neutral;
  const auto add = [&](const char* name, auto SamplingParams::*member) {
    if (defaults.params.*member != neutral.*member) fields[name] = defaults.params.*member;
  };
  add("temperature", &SamplingParams::temperature);
  add("top_p", &SamplingParams::top_p);
  add("top_k", &SamplingParams::top_k);
  add("min_p", &SamplingParams::min_p);
  add("repetition_penalty", &SamplingParams::repetition_penalty);
  if (defaults.max_tokens) fields["max_new_tokens"] = *defaults.max_tokens;
  return fields;
}

Served::Served(const ServeFlags& flags, http::Server& server, http::Log& log) {
  // Files that flags name are read before a model is built or loaded.
  const http::openai::ServiceOptions options = flags.service_options();
  const ResolvedEngine resolved = resolve(flags.load, log);
  check_verdict(resolved.engine, flags.force);
  // The metrics are named after the model, and the model's steps are counted by the metrics.
  const auto on_step = [this, &server](const serving::StepRecord& record) {
    metrics->on_step(record);
    server.on_step(record);
  };
  model = std::make_unique<api::LoadedModel>(
      resolved.engine, flags.llm_options(), [&](serving::ExecutorOptions& executor) {
        executor.max_logprobs = std::max(executor.max_logprobs, flags.max_logprobs);
        executor.on_step = on_step;
        executor.event_scope = net::post_together;
      });
  if (!model->warning().empty()) log.warning("device", {{"problem", model->warning()}});
  for (const std::string& notice : model->notices()) log.info("tuning", {{"notice", notice}});
  const engine::Manifest& manifest = model->engine().manifest();
  const engine::Limits& limits = model->engine().plan().limits;
  metrics = std::make_unique<http::Metrics>(http::Metrics::Options{
      .prefix = flags.metrics_prefix,
      .model_name = options.served_model_names.empty() ? manifest.model.name
                                                       : options.served_model_names.front(),
      .max_model_len = limits.max_model_len,
      .cache_config = {{"cache_dtype", std::string(to_string(manifest.model.kv_cache_dtype))},
                       {"block_size", fmt::to_string(limits.block_size)},
                       {"num_gpu_blocks", fmt::to_string(model->executor().stats().num_blocks)},
                       {"enable_prefix_caching", flags.enable_prefix_caching ? "True" : "False"}}});
  service = std::make_unique<http::openai::Service>(*model, *metrics, options);
  const http::Log::Fields defaults = fields_of(service->defaults());
  if (!defaults.empty()) log.info("defaults of generation_config.json", defaults);
}

http::Backend backend_of(Served& served) {
  http::Router routes;
  served.service->add_routes(routes);
  serving::Executor& executor = served.model->executor();
  return {.routes = std::move(routes),
          .stats = [&executor] { return executor.stats(); },
          .describe_running = [&executor] { return describe_running(executor.running()); },
          .metrics = served.metrics.get()};
}

/// Stops the server before what its handlers use goes away.
struct StopGuard {
  http::Server& server;
  ~StopGuard() { server.stop(); }
};

class ServeVerb {
 public:
  explicit ServeVerb(const ServeFlags& flags)
      : flags_(flags), log_(flags.parsed_log_format()), server_(flags.server_options(), log_) {}

  int run() {
    announce();
    std::unique_ptr<Served> served = load();
    const StopGuard guard{server_};
    server_.attach(backend_of(*served));
    log_.info("ready", {{"url", url()}, {"engine", served->model->description()}});
    serve();
    drain();
    server_.stop();
    if (!ends_within(kEngineEnd, [&served] { served.reset(); })) {
      log_.error("a step does not end", {{"timeout_s", kEngineEnd.count() / 1000}});
      leave(1);
    }
    log_.info("stopped", http::Log::Fields::object());
    return 0;
  }

 private:
  std::string url() const {
    const bool is_ipv6 = flags_.host.find(':') != std::string::npos;
    return fmt::format("{}://{}:{}", flags_.ssl_keyfile.empty() ? "http" : "https",
                       is_ipv6 ? fmt::format("[{}]", flags_.host) : flags_.host, server_.port());
  }

  void announce() {
    fmt::print("veloz {} listens on {}\n", VELOZ_VERSION, url());
    std::fflush(stdout);
    if (flags_.is_public_without_key())
      log_.warning("public without a key",
                   {{"host", flags_.host},
                    {"hint",
                     "whoever reaches this port may use the model: give --api-key or "
                     "--api-key-file, or listen on 127.0.0.1"}});
  }

  /// On a thread of its own, so that signals are heard meanwhile.
  std::unique_ptr<Served> load() {
    log_.info("loading", {{"model", flags_.load.model.string()}});
    auto loading = std::async(std::launch::async,
                              [this] { return std::make_unique<Served>(flags_, server_, log_); });
    while (loading.wait_for(milliseconds(0)) != std::future_status::ready) {
      const std::optional<int> signal = signals_.wait(kPoll);
      if (!signal || *signal == SIGHUP) continue;
      log_.info("interrupted while loading", {{"signal", *signal}});
      server_.stop();
      leave(0);  // loading cannot be cancelled, and what it has not finished is used by nobody
    }
    return loading.get();
  }

  /// Without the threads that cannot be ended.
  [[noreturn]] static void leave(int exit_code) {
    std::this_thread::sleep_for(kPoll);  // the log's last line
    std::fflush(nullptr);
    std::_Exit(exit_code);
  }

  void serve() {
    for (;;) {
      const std::optional<int> signal = signals_.wait(kTick);
      if (signal == SIGHUP) {
        server_.reload();
      } else if (signal) {
        log_.info("shutting down", {{"signal", *signal},
                                    {"open_requests", server_.num_open_requests()},
                                    {"timeout_s", flags_.shutdown_timeout_s}});
        return;
      }
      server_.tick(Clock::now());
    }
  }

  /// A second signal ends the waiting.
  void drain() {
    server_.begin_drain();
    const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                        std::chrono::duration<double>(flags_.shutdown_timeout_s));
    while (!server_.is_drained() && Clock::now() < end) {
      const std::optional<int> signal = signals_.wait(kPoll);
      if (signal && *signal != SIGHUP) break;
      server_.tick(Clock::now());
    }
    if (!server_.is_drained()) log_.warning("cancelling what has not ended", {});
  }

  const ServeFlags& flags_;
  SignalWaiter signals_{SIGINT, SIGTERM, SIGHUP};  // before any thread is started
  http::Log log_;
  http::Server server_;
};

int run_serve(CLI::App& verb, ServeFlags& flags) {
  if (!flags.config.empty()) apply_yaml_config(verb, flags.config);
  if (flags.load.model.empty())
    throw Error(ErrorKind::invalid_input, "no model is given",
                "give an engine or model directory: veloz serve models/tiny-llama");
  std::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  return ServeVerb(flags).run();
}

}  // namespace

void add_serve(CLI::App& app, Action& action) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App& verb = *app.add_subcommand("serve", "Serve a model over OpenAI's HTTP API");
  add_serve_flags(verb, *flags);
  verb.footer(
      "Each flag has an environment variable, named in brackets, and a YAML key. The command line\n"
      "goes before the environment, that before --config, that before the default.\n"
      "Example:\n"
      "  veloz serve models/tiny-llama --port 8000\n"
      "  curl http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: application/json' \\\n"
      "    -d '{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'");
  verb.callback(
      [&action, &verb, flags] { action = [&verb, flags] { return run_serve(verb, *flags); }; });
}

}  // namespace veloz::cli
