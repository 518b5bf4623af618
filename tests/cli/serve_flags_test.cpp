// SPDX-License-Identifier: Apache-2.0
// Every flag of `veloz serve`, from the command line, the environment and YAML, to the option it
// is.
#include "cli/serve_flags.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/environment.h"
#include "cli/yaml_config.h"
#include "support/temp_directory.h"

namespace veloz::cli {
namespace {

/// A variable that is set as long as this lives.
class Variable {
 public:
  Variable(std::string name, const std::string& value) : name_(std::move(name)) {
    ::setenv(name_.c_str(), value.c_str(), /*overwrite=*/1);
  }
  ~Variable() { ::unsetenv(name_.c_str()); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  std::string name_;
};

/// The verb's flags after a command line, and then a YAML file, were read into them.
struct Parsed {
  explicit Parsed(std::vector<std::string> arguments, const std::string& yaml = "") {
    add_serve_flags(app, flags);
    std::ranges::reverse(arguments);
    app.parse(std::move(arguments));
    if (yaml.empty()) return;
    const test::TempDirectory directory;
    std::ofstream(directory.path() / "serve.yaml") << yaml;
    apply_yaml_config(app, directory.path() / "serve.yaml");
  }
  CLI::App app;
  ServeFlags flags;
};

std::string text(const std::string& value) { return value; }
std::string text(bool value) { return value ? "true" : "false"; }
std::string text(std::chrono::milliseconds value) { return fmt::format("{} ms", value.count()); }
std::string text(const std::filesystem::path& value) { return value.string(); }
std::string text(const std::vector<std::string>& value) {
  return fmt::to_string(fmt::join(value, "|"));
}
std::string text(const std::optional<http::RateLimit>& value) {
  return value ? fmt::format("{} a minute, {} at once", value->requests_per_minute, value->burst)
               : "none";
}
template <typename T>
requires std::is_arithmetic_v<T> std::string text(T value) { return fmt::to_string(value); }

// What a row reads: a field of the options that the flags become.
using Read = std::function<std::string(const ServeFlags&)>;
template <typename F>
Read field(F read) {
  return [read](const ServeFlags& flags) { return text(read(flags)); };
}
template <typename F>
Read server(F read) {
  return [read](const ServeFlags& flags) { return text(read(flags.server_options())); };
}
template <typename F>
Read llm(F read) {
  return [read](const ServeFlags& flags) { return text(read(flags.llm_options())); };
}
template <typename F>
Read service(F read) {
  return [read](const ServeFlags& flags) { return text(read(flags.service_options())); };
}
template <typename F>
Read build(F read) {
  return [read](const ServeFlags& flags) { return text(read(build_options(flags.load))); };
}

using LLM = LLMOptions;
using Build = BuildOptions;
using Server = http::ServerOptions;
using Service = http::openai::ServiceOptions;
using Flags = ServeFlags;

/// A flag, what it is given, and how the option that it becomes reads without and with it.
struct Row {
  std::string flag;
  std::string value;
  std::string by_default;
  Read read;
  std::optional<std::string> expected = {};  // absent: as given
};

std::vector<Row> model_rows() {
  const std::string tuning = default_tuning_cache().string();
  return {
      {"dtype", "fp32", "auto", build([](const Build& o) { return o.dtype; })},
      {"kv-cache-dtype", "fp8", "auto", build([](const Build& o) { return o.kv_cache_dtype; })},
      {"max-model-len", "512", "0", build([](const Build& o) { return o.max_model_len; })},
      {"quant", "int8", "none", build([](const Build& o) { return o.quant; })},
      {"quant-layer", "a=int8,b=none", "", build([](const Build& o) { return o.quant_layers; }),
       "a=int8|b=none"},
      {"quant-lm-head", "fp8", "none", build([](const Build& o) { return o.quant_lm_head; })},
      {"quant-activations", "int8", "auto",
       build([](const Build& o) { return o.quant_activations; })},
      {"cache-dir", "/cache", "", field([](const Flags& f) { return f.load.cache_dir; })},
      {"device", "cuda:1", "auto", llm([](const LLM& o) { return o.device; })},
      {"allow-nondeterminism", "true", "false",
       llm([](const LLM& o) { return o.allow_nondeterminism; })},
      {"cublaslt", "/lib", "", llm([](const LLM& o) { return o.cublaslt_directory; })},
      {"tuning-cache", "/tuned", tuning, llm([](const LLM& o) { return o.tuning_directory; })},
      {"isa", "portable", "", llm([](const LLM& o) { return o.isa; })},
      {"threads", "3", "0", llm([](const LLM& o) { return o.num_threads; })},
      {"kv-cache-memory-bytes", "1000000", "0",
       llm([](const LLM& o) { return o.kv_cache_memory_bytes; })},
      {"gpu-memory-utilization", "0.5", "0.9",
       llm([](const LLM& o) { return o.gpu_memory_utilization; })},
      {"max-num-seqs", "5", "0", llm([](const LLM& o) { return o.max_num_seqs; })},
      {"max-num-batched-tokens", "96", "0",
       llm([](const LLM& o) { return o.max_num_batched_tokens; })},
      {"served-model-name", "one,two", "",
       service([](const Service& o) { return o.served_model_names; }), "one|two"},
      {"generation-config", "vllm", "false",
       service([](const Service& o) { return o.defaults.has_value(); }), "true"},
      {"max-logprobs", "7", "20", service([](const Service& o) { return o.max_logprobs; })},
      {"force", "true", "false", field([](const Flags& f) { return f.force; })},
  };
}

std::vector<Row> scheduling_rows() {
  const Read policy = llm([](const LLM& o) {
    return std::string(o.scheduling_policy == SchedulingPolicy::max_utilization
                           ? "max-utilization"
                           : "guaranteed-no-evict");
  });
  return {
      {"policy", "guaranteed-no-evict", "max-utilization", policy},
      {"target-step-ms", "50", "250", llm([](const LLM& o) { return o.target_step_ms; })},
      {"max-prefill-chunk", "32", "0", llm([](const LLM& o) { return o.max_prefill_chunk; })},
      {"enable-prefix-caching", "false", "true",
       llm([](const LLM& o) { return o.enable_prefix_caching; })},
      {"max-queued-requests", "9", "2048", llm([](const LLM& o) { return o.max_queued_requests; })},
      {"max-queued-requests", "9", "2048",
       server([](const Server& o) { return o.readiness.max_queued_requests; })},
      {"max-queued-tokens", "99", "4194304", llm([](const LLM& o) { return o.max_queued_tokens; })},
      {"max-queued-tokens", "99", "4194304",
       server([](const Server& o) { return o.readiness.max_queued_tokens; })},
  };
}

std::vector<Row> network_rows() {
  return {
      {"host", "::1", "127.0.0.1", server([](const Server& o) { return o.transport.address; })},
      {"port", "81", "8000", server([](const Server& o) { return o.transport.port; })},
      {"io-threads", "2", "1", server([](const Server& o) { return o.transport.num_io_threads; })},
      {"allowed-origins", "https://a,https://b", "",
       server([](const Server& o) { return o.allowed_origins; }), "https://a|https://b"},
      {"max-connections", "17", "4096",
       server([](const Server& o) { return o.transport.max_connections; })},
      {"max-header-bytes", "512", "32768",
       server([](const Server& o) { return o.transport.parser.max_header_bytes; })},
      {"max-body-bytes", "1000", "16777216",
       server([](const Server& o) { return o.transport.parser.max_body_bytes; })},
      {"max-total-body-bytes", "3000", "1073741824",
       server([](const Server& o) { return o.transport.max_total_body_bytes; })},
      {"max-stream-buffer-bytes", "2000", "1048576",
       server([](const Server& o) { return o.transport.max_stream_buffer_bytes; })},
      {"header-timeout", "1.5", "10000 ms",
       server([](const Server& o) { return o.transport.timeouts.header; }), "1500 ms"},
      {"body-timeout", "2.5", "60000 ms",
       server([](const Server& o) { return o.transport.timeouts.body; }), "2500 ms"},
      {"keep-alive-timeout", "3.5", "75000 ms",
       server([](const Server& o) { return o.transport.timeouts.idle; }), "3500 ms"},
      {"write-timeout", "4.5", "30000 ms",
       server([](const Server& o) { return o.transport.timeouts.write; }), "4500 ms"},
      {"api-key", "one,two", "", server([](const Server& o) { return o.keys.keys; }), "one|two"},
      {"api-key-file", "/keys", "", server([](const Server& o) { return o.keys.file; })},
      {"api-key-rpm", "90", "none", server([](const Server& o) { return o.keys.limit; }),
       "90 a minute, 90 at once"},
  };
}

std::vector<Row> operation_rows() {
  const Read format = field([](const Flags& f) {
    return std::string(f.parsed_log_format() == http::LogFormat::json ? "json" : "text");
  });
  return {
      {"shutdown-timeout", "5", "30", field([](const Flags& f) { return f.shutdown_timeout_s; })},
      {"watchdog-timeout", "6.5", "300000 ms",
       server([](const Server& o) { return o.hang_timeout; }), "6500 ms"},
      {"log-format", "json", "text", format},
      {"disable-access-log", "true", "true",
       server([](const Server& o) { return o.has_access_log; }), "false"},
      {"disable-log-stats", "true", "true", server([](const Server& o) { return o.has_stats_log; }),
       "false"},
      {"metrics-prefix", "vllm:", "veloz:", field([](const Flags& f) { return f.metrics_prefix; })},
  };
}

std::vector<Row> all_rows() {
  std::vector<Row> rows;
  for (const auto& part : {model_rows(), scheduling_rows(), network_rows(), operation_rows()})
    rows.insert(rows.end(), part.begin(), part.end());
  return rows;
}

std::string variable_of(const std::string& flag) {
  std::string name = "VELOZ_" + flag;
  std::ranges::transform(name, name.begin(), [](unsigned char c) {
    return static_cast<char>(c == '-' ? '_' : std::toupper(c));
  });
  return name;
}

TEST(ServeFlags, EachComesFromTheCommandLineTheEnvironmentAndYaml) {
  for (const Row& row : all_rows()) {
    SCOPED_TRACE(row.flag);
    const std::string expected = row.expected.value_or(row.value);
    EXPECT_EQ(row.read(Parsed({}).flags), row.by_default);
    EXPECT_EQ(row.read(Parsed({"--" + row.flag + "=" + row.value}).flags), expected);
    EXPECT_EQ(row.read(Parsed({}, fmt::format("{}: '{}'\n", row.flag, row.value)).flags), expected);
    const Variable variable(variable_of(row.flag), row.value);
    EXPECT_EQ(row.read(Parsed({}).flags), expected);
  }
}

TEST(ServeFlags, AreAllInTheTableOrInATestOfTheirOwn) {
  std::set<std::string> tested = {"help", "config", "ssl-keyfile", "ssl-certfile", "chat-template"};
  for (const Row& row : all_rows()) tested.insert(row.flag);
  std::set<std::string> declared;
  const Parsed parsed({});
  for (const CLI::Option* option : parsed.app.get_options())
    if (!option->get_lnames().empty()) declared.insert(option->get_lnames().front());
  EXPECT_EQ(declared, tested);
}

TEST(ServeFlags, NameTheModel) {
  EXPECT_EQ(Parsed({"/model"}).flags.load.model, "/model");
  EXPECT_EQ(Parsed({}, "model: /model\n").flags.load.model, "/model");
  const Variable variable("VELOZ_MODEL", "/model");
  EXPECT_EQ(Parsed({}).flags.load.model, "/model");
  EXPECT_EQ(build_options(Parsed({}).flags.load).model, "/model");
}

TEST(ServeFlags, NameTheConfiguration) {
  EXPECT_EQ(Parsed({"--config", "a.yaml"}).flags.config, "a.yaml");
  const Variable variable("VELOZ_CONFIG", "b.yaml");
  EXPECT_EQ(Parsed({}).flags.config, "b.yaml");
  EXPECT_THROW(Parsed({}, "config: c.yaml\n"), Error);
}

TEST(ServeFlags, TakeTheTwoFilesOfTlsTogether) {
  EXPECT_FALSE(Parsed({}).flags.server_options().transport.tls);
  const Parsed both({"--ssl-keyfile", "key.pem"}, "ssl-certfile: cert.pem\n");
  EXPECT_EQ(both.flags.server_options().transport.tls->private_key, "key.pem");
  EXPECT_EQ(both.flags.server_options().transport.tls->certificate_chain, "cert.pem");
  EXPECT_THROW(Parsed({"--ssl-keyfile", "key.pem"}).flags.server_options(), Error);
  EXPECT_THROW(Parsed({"--ssl-certfile", "cert.pem"}).flags.server_options(), Error);
}

TEST(ServeFlags, ReadTheChatTemplate) {
  const test::TempDirectory directory;
  const std::filesystem::path path = directory.path() / "template.jinja";
  std::ofstream(path) << "{{ messages }}";
  EXPECT_FALSE(Parsed({}).flags.service_options().chat_template);
  EXPECT_EQ(Parsed({"--chat-template", path.string()}).flags.service_options().chat_template,
            "{{ messages }}");
  EXPECT_THROW(Parsed({"--chat-template", "/missing"}).flags.service_options(), Error);
}

TEST(ServeFlags, GoFromTheCommandLineToTheEnvironmentToYaml) {
  const std::string yaml = "max-num-seqs: 3\nmax-logprobs: 3\nport: 3\n";
  const Variable seqs("VELOZ_MAX_NUM_SEQS", "2"), logprobs("VELOZ_MAX_LOGPROBS", "2");
  const ServeFlags flags = Parsed({"--max-num-seqs", "1"}, yaml).flags;
  EXPECT_EQ(flags.llm_options().max_num_seqs, 1);
  EXPECT_EQ(flags.service_options().max_logprobs, 2);
  EXPECT_EQ(flags.server_options().transport.port, 3);
}

TEST(ServeFlags, TakeListsInEveryForm) {
  const std::vector<std::string> both = {"one", "two"};
  EXPECT_EQ(Parsed({"--api-key", "one", "--api-key", "two"}).flags.api_keys, both);
  EXPECT_EQ(Parsed({"--api-key", "one,two", "/model"}).flags.load.model, "/model");
  EXPECT_EQ(Parsed({}, "api_key: [one, two]\n").flags.api_keys, both);
}

TEST(ServeFlags, TakeNoEmptyValueInAList) {
  for (const char* value : {"", ",", "one,", ",one", "one,,two"}) {
    EXPECT_THROW(Parsed({"--api-key", value}), CLI::ValidationError) << value;
    EXPECT_THROW(Parsed({}, fmt::format("api-key: '{}'\n", value)), Error) << value;
    if (*value == '\0') continue;  // a variable that is empty counts as absent
    const Variable variable("VELOZ_API_KEY", value);
    EXPECT_THROW(Parsed({}), CLI::ValidationError) << value;
  }
}

TEST(ServeFlags, TurnThePrefixCacheOff) {
  EXPECT_FALSE(Parsed({"--no-enable-prefix-caching"}).flags.llm_options().enable_prefix_caching);
  const std::string yaml = "no-enable-prefix-caching: true\n";
  EXPECT_FALSE(Parsed({}, yaml).flags.llm_options().enable_prefix_caching);
  EXPECT_TRUE(Parsed({"--enable-prefix-caching"}, yaml).flags.llm_options().enable_prefix_caching);
}

TEST(ServeFlags, KnowTheNamesThatVllmHas) {
  const ServeFlags flags = Parsed({"--scheduling-policy", "priority", "--max-num-queued-reqs", "8",
                                   "--max-num-queued-tokens", "9"})
                               .flags;
  EXPECT_EQ(flags.llm_options().scheduling_policy, SchedulingPolicy::max_utilization);
  EXPECT_EQ(flags.llm_options().max_queued_requests, 8);
  EXPECT_EQ(flags.llm_options().max_queued_tokens, 9);
}

TEST(ServeFlags, BuildAnEngineThatAllowsWhatIsServed) {
  const Parsed large({"--max-num-seqs", "128", "--max-num-batched-tokens", "4096"});
  EXPECT_EQ(build_options(large.flags.load).max_num_seqs, 128);
  EXPECT_EQ(build_options(large.flags.load).max_num_batched_tokens, 4096);
}

TEST(ServeFlags, GiveTheCacheTheMemoryThatIsFree) {
  EXPECT_EQ(Parsed({}).flags.llm_options().kv_cache_size, KvCacheSize::of_free_memory);
}

TEST(ServeFlags, TellAPublicServerFromAGuardedOne) {
  for (const char* host : {"127.0.0.1", "127.1.2.3", "localhost", "::1"})
    EXPECT_FALSE(Parsed({"--host", host}).flags.is_public_without_key()) << host;
  EXPECT_TRUE(Parsed({"--host", "0.0.0.0"}).flags.is_public_without_key());
  EXPECT_FALSE(Parsed({"--host", "::", "--api-key", "k"}).flags.is_public_without_key());
  EXPECT_FALSE(Parsed({"--host", "::", "--api-key-file", "f"}).flags.is_public_without_key());
}

}  // namespace
}  // namespace veloz::cli
