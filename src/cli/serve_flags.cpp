// SPDX-License-Identifier: Apache-2.0
#include "cli/serve_flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <chrono>
#include <limits>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/generation_config.h"
#include "http/openai/context.h"

namespace veloz::cli {
namespace {

constexpr uint64_t kMaxTemplateBytes = uint64_t{16} * 1024 * 1024;
constexpr uint64_t kMaxGenerationConfigBytes = uint64_t{1} << 20;
constexpr double kMaxSeconds = 1e6;
constexpr int64_t kMaxCount = std::numeric_limits<int64_t>::max() / 2;

/// "--max-num-seqs,--alias" -> "VELOZ_MAX_NUM_SEQS"
std::string environment_name(std::string names) {
  names = names.substr(2, names.find(',') - 2);
  std::ranges::transform(names, names.begin(), [](unsigned char c) {
    return static_cast<char>(c == '-' ? '_' : std::toupper(c));
  });
  return "VELOZ_" + names;
}

/// The values of texts with commas between them.
std::vector<std::string> split_list(const std::string& names,
                                    const std::vector<std::string>& texts) {
  std::vector<std::string> values;
  for (const std::string& text : texts)
    for (size_t begin = 0, end = 0; end != std::string::npos; begin = end + 1) {
      end = text.find(',', begin);
      values.push_back(text.substr(begin, end - begin));
      if (values.back().empty()) throw CLI::ValidationError(names, "a value is empty");
    }
  return values;
}

std::chrono::milliseconds milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

/// Declares options, each with its environment variable, in one group of the help.
class Group {
 public:
  Group(CLI::App& verb, std::string name) : verb_(verb), name_(std::move(name)) {}

  template <typename T>
  CLI::Option* add(const std::string& names, T& value, const std::string& help) {
    return finish(verb_.add_option(names, value, help)->capture_default_str(), names);
  }
  /// May be given several times; in the environment, values are separated by commas. CLI11's own
  /// delimiter drops empty values: of VELOZ_API_KEY="," no key would be left, and the door open.
  void add_list(const std::string& names, std::vector<std::string>& values,
                const std::string& help) {
    const auto take = [names, &values](const std::vector<std::string>& texts) {
      values = split_list(names, texts);
      return true;
    };
    finish(verb_.add_option(names, take, help), names)
        ->type_name("TEXT")
        ->expected(1, CLI::detail::expected_max_vector_size)
        ->allow_extra_args(false)
        ->take_all();
  }
  void add_flag(const std::string& names, bool& value, const std::string& help) {
    finish(verb_.add_flag(names, value, help), names);
  }
  void add_count(const std::string& names, int64_t& value, int64_t min, const std::string& help) {
    add(names, value, help)->check(CLI::Range(min, kMaxCount));
  }
  void add_seconds(const std::string& names, double& value, const std::string& help) {
    add(names, value, help)->check(CLI::Range(0.001, kMaxSeconds));
  }

 private:
  CLI::Option* finish(CLI::Option* option, const std::string& names) {
    return option->group(name_)->envname(environment_name(names));
  }

  CLI::App& verb_;
  std::string name_;
};

void add_network_flags(CLI::App& verb, ServeFlags& flags) {
  Group group(verb, "Network");
  group.add("--host", flags.host, "Address to listen on; 0.0.0.0 is every one of this machine");
  group.add("--port", flags.port, "Port; 0: any that is free")->check(CLI::Range(0, 65535));
  group.add("--io-threads", flags.io_threads, "Threads for connections")->check(CLI::Range(1, 64));
  group.add("--ssl-keyfile", flags.ssl_keyfile, "Private key (PEM); with --ssl-certfile: HTTPS");
  group.add("--ssl-certfile", flags.ssl_certfile, "Certificate chain (PEM)");
  group.add_list("--allowed-origins", flags.allowed_origins,
                 "Origins whose web pages may use the server, or * (repeatable)");
  group.add_count("--max-connections", flags.max_connections, 1, "Open at once");
  group.add_count("--max-header-bytes", flags.max_header_bytes, 256, "Of a request's header");
  group.add_count("--max-body-bytes", flags.max_body_bytes, 1, "Of a request's body");
  group.add_count("--max-total-body-bytes", flags.max_total_body_bytes, 1,
                  "Of the bodies of all requests that are being read or answered; beyond it 503");
  group.add_count("--max-stream-buffer-bytes", flags.max_stream_buffer_bytes, 1024,
                  "Kept for a client that reads slowly; beyond it, its request is cancelled");
  group.add_seconds("--header-timeout", flags.header_timeout_s, "Seconds for a header to arrive");
  group.add_seconds("--body-timeout", flags.body_timeout_s, "Seconds for a body to arrive");
  group.add_seconds("--keep-alive-timeout", flags.keep_alive_timeout_s,
                    "Seconds that a connection may idle");
  group.add_seconds("--write-timeout", flags.write_timeout_s,
                    "Seconds for a client to take 256 KiB of what is sent to it, or all of it");
}

void add_access_flags(CLI::App& verb, ServeFlags& flags) {
  Group group(verb, "Access");
  group.add_list("--api-key", flags.api_keys, "Key that clients must send (repeatable)");
  group.add("--api-key-file", flags.api_key_file,
            "File of keys: one a line, then name=alice rpm=60 burst=10 as wanted; read again on "
            "SIGHUP");
  group
      .add("--api-key-rpm", flags.api_key_rpm,
           "Requests per minute of keys that have no limit of their own; 0: any number")
      ->check(CLI::Range(0.0, 1e9));
}

void add_model_flags(CLI::App& verb, ServeFlags& flags) {
  Group group(verb, "Model");
  group.add_list("--served-model-name", flags.served_model_names,
                 "Name in requests and answers (repeatable); absent: the model's own");
  group.add("--chat-template", flags.chat_template, "File to use instead of the model's own");
  group.add("--generation-config", flags.generation_config,
            "Sampling defaults: auto, the model's generation_config.json; vllm, neutral ones; else "
            "the folder of another generation_config.json");
  group.add_count("--max-logprobs", flags.max_logprobs, 0, "Alternatives that a request may want");
  group.add_flag("--force", flags.force,
                 "Serve a model whose verdict is FAIL: its evaluation found it damaged");
}

void add_scheduling_flags(CLI::App& verb, ServeFlags& flags) {
  Group group(verb, "Scheduling");
  group
      .add("--policy,--scheduling-policy", flags.policy,
           "max-utilization (pause and recompute where memory runs out), or guaranteed-no-evict "
           "(reserve all that a request may need); vLLM's fcfs and priority mean the first")
      ->check(CLI::IsMember({"max-utilization", "guaranteed-no-evict", "fcfs", "priority"}));
  group
      .add("--target-step-ms", flags.target_step_ms,
           "Prompts are cut so that a step takes no longer, by prediction; what runs gets its next "
           "tokens, and one prompt 16 of its own, however long that takes; 0: no target")
      ->check(CLI::Range(0.0, 1e7));
  group.add_count("--max-prefill-chunk", flags.max_prefill_chunk, 0,
                  "Tokens of one prompt in one step; 0: no limit of its own");
  group.add_flag("--enable-prefix-caching,!--no-enable-prefix-caching", flags.enable_prefix_caching,
                 "Share what prompts have in common (on; --no-enable-prefix-caching: off)");
  group.add_count("--max-queued-requests,--max-num-queued-reqs", flags.max_queued_requests, 0,
                  "Waiting ones; beyond it 429. 0: any number");
  group.add_count("--max-queued-tokens,--max-num-queued-tokens", flags.max_queued_tokens, 0,
                  "Prompt tokens of waiting requests; beyond it 429. 0: any number");
}

void add_operation_flags(CLI::App& verb, ServeFlags& flags) {
  Group group(verb, "Operation");
  group.add("--config", flags.config, "YAML file of these flags: `max-num-seqs: 8`");
  group
      .add("--shutdown-timeout", flags.shutdown_timeout_s,
           "Seconds that running requests get to end after SIGTERM")
      ->check(CLI::Range(0.0, kMaxSeconds));
  group.add_seconds("--watchdog-timeout", flags.watchdog_timeout_s,
                    "Seconds that a step may take, or 10 times its prediction where that is "
                    "longer; beyond, /livez says that it has hung");
  group.add("--log-format", flags.log_format, "text or json")
      ->check(CLI::IsMember({"text", "json"}));
  group.add_flag("--disable-access-log", flags.disable_access_log, "No line per request");
  group.add_flag("--disable-log-stats", flags.disable_log_stats, "No line of statistics");
  group.add("--metrics-prefix", flags.metrics_prefix,
            "Before the names in /metrics; \"vllm:\" fits dashboards made for vLLM");
}

http::openai::SamplingDefaults read_sampling_defaults(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "generation_config.json";
  if (!std::filesystem::exists(path))
    throw Error(ErrorKind::not_found,
                fmt::format("--generation-config \"{}\": there is no \"{}\"", folder.string(),
                            path.string()),
                "give auto, vllm or a folder with a generation_config.json");
  try {
    const std::string text = read_text_file(path, kMaxGenerationConfigBytes);
    return http::openai::sampling_defaults(
        text, checkpoint::parse_generation_config(text).sampling_params());
  } catch (Error& e) {
    e.add_context(fmt::format("--generation-config: \"{}\"", path.string()));
    throw;
  }
}

}  // namespace

void add_serve_flags(CLI::App& verb, ServeFlags& flags) {
  flags.load.llm.kv_cache_size = KvCacheSize::of_free_memory;
  add_load_flags(verb, flags.load);
  // May come from the environment or from --config as well.
  verb.get_option("model")->required(false)->envname("VELOZ_MODEL");
  add_network_flags(verb, flags);
  add_access_flags(verb, flags);
  add_model_flags(verb, flags);
  add_scheduling_flags(verb, flags);
  add_operation_flags(verb, flags);
}

http::LogFormat ServeFlags::parsed_log_format() const {
  return log_format == "json" ? http::LogFormat::json : http::LogFormat::text;
}

http::ServerOptions ServeFlags::server_options() const {
  if (ssl_keyfile.empty() != ssl_certfile.empty())
    throw Error(ErrorKind::invalid_input, "of --ssl-keyfile and --ssl-certfile only one is given",
                "give both, or neither");
  http::ServerOptions options;
  net::ServerOptions& transport = options.transport;
  transport.address = host;
  transport.port = static_cast<uint16_t>(port);
  transport.num_io_threads = io_threads;
  if (!ssl_keyfile.empty())
    transport.tls = net::TlsFiles{.certificate_chain = ssl_certfile, .private_key = ssl_keyfile};
  transport.parser.max_header_bytes = static_cast<size_t>(max_header_bytes);
  transport.parser.max_body_bytes = static_cast<size_t>(max_body_bytes);
  transport.timeouts = {.header = milliseconds(header_timeout_s),
                        .body = milliseconds(body_timeout_s),
                        .idle = milliseconds(keep_alive_timeout_s),
                        .write = milliseconds(write_timeout_s)};
  transport.max_connections = max_connections;
  transport.max_total_body_bytes = static_cast<size_t>(max_total_body_bytes);
  transport.max_stream_buffer_bytes = static_cast<size_t>(max_stream_buffer_bytes);
  options.keys = {.keys = api_keys, .file = api_key_file};
  if (api_key_rpm > 0)
    options.keys.limit =
        http::RateLimit{.requests_per_minute = api_key_rpm, .burst = std::max(1.0, api_key_rpm)};
  options.allowed_origins = allowed_origins;
  options.has_access_log = !disable_access_log;
  options.has_stats_log = !disable_log_stats;
  options.readiness.max_queued_requests = max_queued_requests;
  options.readiness.max_queued_tokens = max_queued_tokens;
  options.hang_timeout = milliseconds(watchdog_timeout_s);
  return options;
}

http::openai::ServiceOptions ServeFlags::service_options() const {
  http::openai::ServiceOptions options;
  options.served_model_names = served_model_names;
  if (!chat_template.empty())
    options.chat_template = read_text_file(chat_template, kMaxTemplateBytes);
  if (generation_config == "vllm")
    options.defaults.emplace();
  else if (generation_config != "auto")
    options.defaults = read_sampling_defaults(generation_config);
  options.max_logprobs = max_logprobs;
  return options;
}

LLMOptions ServeFlags::llm_options() const {
  LLMOptions options = load.llm;
  options.scheduling_policy = policy == "guaranteed-no-evict"
                                  ? SchedulingPolicy::guaranteed_no_evict
                                  : SchedulingPolicy::max_utilization;
  options.enable_prefix_caching = enable_prefix_caching;
  options.target_step_ms = target_step_ms;
  options.max_prefill_chunk = max_prefill_chunk;
  options.max_queued_requests = max_queued_requests;
  options.max_queued_tokens = max_queued_tokens;
  return options;
}

bool ServeFlags::is_public_without_key() const {
  const bool is_local = host == "localhost" || host == "::1" || host.starts_with("127.");
  return !is_local && api_keys.empty() && api_key_file.empty();
}

}  // namespace veloz::cli
