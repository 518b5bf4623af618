// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <tuple>

#include "api/backend.h"
#include "api/verify_engine.h"
#include "base/table.h"
#include "cli/load.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "ops/op.h"

namespace veloz::cli {
namespace {

using api::DeviceChecks;
using api::OutputCheck;
using api::VerifyReport;
using nlohmann::ordered_json;

struct VerifyFlags {
  LoadFlags load;
  api::VerifyRequest request;
  bool per_step = false;
  bool json = false;
};

/// JSON has no infinity.
ordered_json number(double value) {
  return std::isfinite(value) ? ordered_json(value) : ordered_json(nullptr);
}

std::string text(double value) { return value == 0 ? "0" : fmt::format("{:.2e}", value); }

/// The worst of several checks.
struct Worst {
  int64_t count = 0, num_outside = 0;
  double abs = 0, rel = 0, ulp = 0, ratio = 0;

  void add(const OutputCheck& check) {
    ++count;
    num_outside += check.is_within() ? 0 : 1;
    abs = std::max(abs, check.max_abs_error);
    rel = std::max(rel, check.max_rel_error);
    ulp = std::max(ulp, check.max_ulp);
    ratio = std::max(ratio, check.worst_ratio);
  }
};

std::vector<Table::Column> columns_of(std::initializer_list<const char*> names) {
  std::vector<Table::Column> columns;
  for (const char* name : names) columns.push_back({name});
  for (const char* name : {"abs error", "rel error", "ULP", "of tolerance", "outside"})
    columns.push_back({name, Table::Align::right});
  return columns;
}

std::vector<std::string> numbers_of(const Worst& worst) {
  return {text(worst.abs), text(worst.rel), text(worst.ulp),
          std::isfinite(worst.ratio) ? fmt::format("{:.3f}", worst.ratio) : "exact, broken",
          fmt::format("{}", worst.num_outside)};
}

std::vector<std::string> joined(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// A row per kernel and phase, or per step.
std::string table_of(const DeviceChecks& device, bool per_step) {
  if (per_step) {
    Table table(columns_of({"phase", "step", "result", "kernel"}));
    for (const OutputCheck& check : device.outputs) {
      Worst worst;
      worst.add(check);
      worst.num_outside = check.num_outside;
      table.add_row(
          joined({check.phase, fmt::format("{}", check.step),
                  fmt::format("%{} {}", check.name, to_string(check.dtype)), check.kernel},
                 numbers_of(worst)));
    }
    return table.text();
  }
  std::map<std::tuple<std::string, std::string>, Worst> groups;
  for (const OutputCheck& check : device.outputs) groups[{check.kernel, check.phase}].add(check);
  Table table(columns_of({"kernel", "phase", "outputs"}));
  for (const auto& [key, worst] : groups)
    table.add_row(joined({std::get<0>(key), std::get<1>(key), fmt::format("{}", worst.count)},
                         numbers_of(worst)));
  return table.text();
}

void print_report(const VerifyReport& report, bool per_step) {
  for (const DeviceChecks& device : report.devices) {
    fmt::print("{}\n{}", device.backend, table_of(device, per_step));
    if (device.num_outside() == 0)
      fmt::print("all {} outputs are within tolerance\n", device.outputs.size());
    else
      fmt::print("{} of {} outputs are out of tolerance\n", device.num_outside(),
                 device.outputs.size());
    if (device.first_divergence)
      fmt::print("greedy generation leaves the reference's at token {} of {}\n\n",
                 *device.first_divergence + 1, report.reference_tokens.size());
    else
      fmt::print("greedy generation gives the reference's {} tokens\n\n",
                 report.reference_tokens.size());
  }
}

ordered_json to_json(const VerifyReport& report) {
  ordered_json devices = ordered_json::array();
  for (const DeviceChecks& device : report.devices) {
    ordered_json outputs = ordered_json::array();
    for (const OutputCheck& check : device.outputs)
      outputs.push_back({{"phase", check.phase},
                         {"step", check.step},
                         {"op", ops::op_def(check.op).name},
                         {"result", check.name},
                         {"kernel", check.kernel},
                         {"dtype", to_string(check.dtype)},
                         {"max_abs_error", number(check.max_abs_error)},
                         {"max_rel_error", number(check.max_rel_error)},
                         {"max_ulp", number(check.max_ulp)},
                         {"worst_ratio", number(check.worst_ratio)},
                         {"num_outside", check.num_outside}});
    devices.push_back({{"backend", device.backend},
                       {"num_outside", device.num_outside()},
                       {"tokens", device.tokens},
                       {"first_divergence",
                        device.first_divergence ? ordered_json(*device.first_divergence) : nullptr},
                       {"outputs", outputs}});
  }
  return {{"engine", report.engine},
          {"is_within", report.is_within()},
          {"prompt", report.prompt},
          {"reference_tokens", report.reference_tokens},
          {"devices", devices}};
}

int run_verify(const VerifyFlags& flags) {
  const ResolvedEngine resolved = resolve_model(flags.load);
  api::VerifyRequest request = flags.request;
  request.backend = api::backend_request(flags.load.llm);
  VerifyReport report;
  {
    ProgressBar bar;
    request.on_progress = [&](int64_t num_done, int64_t total) {
      bar.update(
          {"verifying", static_cast<uint64_t>(num_done), static_cast<uint64_t>(total), "steps"});
    };
    report = api::verify_engine(resolved.engine, request);
  }
  if (flags.json)
    fmt::print("{}\n", to_json(report).dump());
  else
    print_report(report, flags.per_step);
  return report.is_within() ? 0 : 1;
}

}  // namespace

void add_verify(CLI::App& app, Action& action) {
  auto flags = std::make_shared<VerifyFlags>();
  CLI::App& verb = *app.add_subcommand(
      "verify", "Hold every op of a model, as it runs here, against its plain reference");
  add_engine_flags(verb, flags->load);
  verb.add_option("--prompt-tokens", flags->request.num_prompt_tokens,
                  "Random tokens of the first step; the second has one")
      ->capture_default_str();
  verb.add_option("--new-tokens", flags->request.num_new_tokens,
                  "Tokens generated greedily, with references and without")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  verb.add_option("--seed", flags->request.seed, "Of the random tokens")->capture_default_str();
  verb.add_flag("--per-step", flags->per_step, "A row per step of the plan, not per kernel");
  verb.add_flag("--json", flags->json, "Print one JSON object, with every step");
  verb.footer(
      "Each op gets what the references made of all ops before it, so errors do not add up. The\n"
      "CPU is verified, and with --device cuda the GPU too. References are slow: a model of\n"
      "billions of parameters takes minutes.\n"
      "Exit codes: 0 all within tolerance, 1 not, 2 wrong usage or bad input.\n"
      "Example:\n  veloz verify models/tiny-llama");
  verb.callback([flags, &action] { action = [flags] { return run_verify(*flags); }; });
}

}  // namespace veloz::cli
