// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "api/backend.h"
#include "base/files.h"
#include "base/table.h"
#include "base/thread_pool.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "compiler/build.h"
#include "compiler/lower.h"
#include "compiler/pipeline.h"
#include "compiler/quant_plan_text.h"
#include "engine/engine.h"
#include "runtime/kernel_choice.h"
#include "runtime/session.h"

namespace veloz::cli {
namespace {

using nlohmann::ordered_json;

struct InspectFlags {
  std::filesystem::path engine;
  bool graph = false;
  bool passes = false;
  bool weights = false;
  bool steps = false;
  bool verify = false;
  bool json = false;
};

/// Everything the sections print, worked out once.
struct Inspection {
  engine::Engine engine;
  graph::Graph graph;                // after the passes
  compiler::LoweredGraph lowered;    // of `graph`, for the reasons
  std::vector<std::string> kernels;  // one per step, on this machine
  size_t weight_bytes = 0;
  size_t kv_block_bytes = 0;
};

Inspection inspect(const std::filesystem::path& directory) {
  engine::Engine engine = engine::Engine::open(directory);
  graph::Graph graph = graph::parse(engine.graph_text());
  const ops::KernelRegistry registry = api::target_registry(engine.manifest().target);
  compiler::LoweredGraph lowered = compiler::lower(graph, engine.plan().limits, registry);
  Inspection result{std::move(engine), std::move(graph), std::move(lowered), {}, 0, 0};
  for (size_t i = 0; i < result.engine.plan().weights.size(); ++i)
    result.weight_bytes += result.engine.weight_bytes(i);
  result.kv_block_bytes = runtime::kv_block_bytes(result.engine.plan());
  const ops::KernelRegistry here = api::local_registry(result.engine.manifest().target);
  const engine::Plan& plan = result.engine.plan();
  for (const ops::Kernel* kernel :
       runtime::choose_kernels(plan, plan.program("step"), here).kernels)
    result.kernels.emplace_back(kernel->name);
  return result;
}

std::string describe_target(const engine::Manifest& manifest) {
  return fmt::format("{}, {} ({} weights, {} KV cache)", manifest.target,
                     to_string(manifest.model.dtype), to_string(manifest.model.dtype),
                     to_string(manifest.model.kv_cache_dtype));
}

void print_summary(const Inspection& inspection) {
  const engine::Manifest& manifest = inspection.engine.manifest();
  const engine::ModelFacts& model = manifest.model;
  const engine::Limits& limits = inspection.engine.plan().limits;
  const int64_t kv_token = static_cast<int64_t>(inspection.kv_block_bytes) / limits.block_size;
  const int64_t arena = inspection.engine.plan().program("step").arena_bytes;
  const auto row = [](std::string_view name, const std::string& text) {
    fmt::print("{:<12} {}\n", name, text);
  };
  row("engine", inspection.engine.directory().string());
  row("format", fmt::format("{}.{}, written by {}", manifest.format_major, manifest.format_minor,
                            manifest.producer));
  row("model",
      fmt::format("{} ({}), {} parameters, {} layers, hidden {}, heads {}/{} x {}, vocabulary {}",
                  model.name, model.architecture, format_count(model.num_parameters),
                  model.num_layers, model.hidden_size, model.num_heads, model.num_kv_heads,
                  model.head_dim, model.vocab_size));
  row("source", fmt::format("{} ({})", manifest.source_hash, manifest.load_format));
  row("target", describe_target(manifest));
  if (manifest.quantization) {
    std::string text = manifest.quantization->name;
    for (const auto& [scheme, count] : manifest.quantization->linears)
      text += fmt::format("; {} linears: {}", count, scheme);
    row("quantized", text);
  }
  if (manifest.verdict) row("verdict", *manifest.verdict);
  row("limits", fmt::format("{} tokens and {} sequences a step, {} positions a sequence, {} beams",
                            limits.max_num_batched_tokens, limits.max_num_seqs,
                            limits.max_model_len, limits.max_beam_width));
  row("memory",
      fmt::format(
          "weights {}, KV cache {} a token ({} a sequence of {}), arena {} (without reuse {})",
          format_bytes(inspection.weight_bytes), format_bytes(static_cast<uint64_t>(kv_token)),
          format_bytes(static_cast<uint64_t>(limits.max_blocks_per_seq()) *
                       inspection.kv_block_bytes),
          limits.max_model_len, format_bytes(static_cast<uint64_t>(arena)),
          format_bytes(static_cast<uint64_t>(inspection.lowered.arena_bytes_unshared))));
  fmt::print("passes\n");
  for (const std::string& report : manifest.pass_reports) fmt::print("  {}\n", report);
  fmt::print("kernels on this machine\n");
  std::set<std::string> kernels(inspection.kernels.begin(), inspection.kernels.end());
  for (const std::string& kernel : kernels)
    fmt::print("  {:<32} {} steps\n", kernel, std::ranges::count(inspection.kernels, kernel));
  fmt::print("see also --graph, --passes, --weights, --steps, --verify, --json\n");
}

/// Nodes of `text`, one a line.
std::set<std::string> lines_of(const std::string& text) {
  std::set<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.insert(line);
  return lines;
}

/// Lines of `text` that `other` lacks, in order, each behind `mark`.
void print_difference(const std::string& text, const std::string& other, char mark) {
  const std::set<std::string> known = lines_of(other);
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);)
    if (!known.contains(line))
      fmt::print("  {} {}\n", mark,
                 line.substr(std::min(line.find_first_not_of(' '), line.size())));
}

void print_passes(const Inspection& inspection) {
  graph::Graph graph = graph::parse(read_text_file(
      inspection.engine.directory() / compiler::kImportedGraphFile, uint64_t{64} << 20));
  const std::filesystem::path plan_path =
      inspection.engine.directory() / compiler::kQuantizationFile;
  checkpoint::QuantPlan plan;
  if (std::filesystem::exists(plan_path))
    plan = compiler::parse_quant_plan(read_text_file(plan_path, uint64_t{64} << 20));
  compiler::PipelineOptions options;
  options.quantization = &plan;
  std::string before = graph::print(graph);
  options.on_pass = [&](std::string_view pass, const graph::Graph& rewritten) {
    const std::string after = graph::print(rewritten);
    fmt::print("== {}\n", pass);
    print_difference(before, after, '-');
    print_difference(after, before, '+');
    before = after;
  };
  for (const compiler::PassRecord& record : compiler::run_pipeline(graph, options)) {
    fmt::print("== {}: {} rewrites\n", record.pass, record.report.num_rewrites);
    for (const std::string& remark : record.report.remarks) fmt::print("  {}\n", remark);
  }
}

void print_weights(const Inspection& inspection) {
  const engine::Plan& plan = inspection.engine.plan();
  Table table({{"weight"}, {"type"}, {"layout"}, {"bytes", Table::Align::right}, {"why"}});
  for (size_t i = 0; i < plan.weights.size(); ++i) {
    const engine::PlanWeight& weight = plan.weights[i];
    const auto choice =
        std::ranges::find(inspection.lowered.layouts, weight.name, &compiler::LayoutChoice::weight);
    table.add_row({"@" + weight.name,
                   fmt::format("{}{}", to_string(weight.dtype), to_string(weight.shape)),
                   weight.layout, format_bytes(inspection.engine.weight_bytes(i)),
                   choice == inspection.lowered.layouts.end() ? "" : choice->reason});
  }
  fmt::print("{}", table.text());
}

void print_steps(const Inspection& inspection) {
  const engine::Program& program = inspection.engine.plan().program("step");
  Table table({{"step", Table::Align::right},
               {"result"},
               {"type"},
               {"kernel"},
               {"arena offset", Table::Align::right}});
  for (size_t i = 0; i < program.steps.size(); ++i) {
    const engine::PlanValue& result =
        program.values[static_cast<size_t>(program.steps[i].outputs[0])];
    const auto* arena = std::get_if<engine::ArenaSlot>(&result.slot);
    table.add_row({fmt::format("{}", i), "%" + result.name, to_string(result.type),
                   inspection.kernels[i], arena ? fmt::format("{}", arena->offset) : "state"});
  }
  fmt::print("{}", table.text());
}

ordered_json to_json(const Inspection& inspection) {
  const engine::Manifest& manifest = inspection.engine.manifest();
  const engine::Plan& plan = inspection.engine.plan();
  ordered_json json;
  json["engine"] = inspection.engine.directory().string();
  json["manifest"] = ordered_json::parse(engine::print_manifest(manifest));
  json["memory"] = {{"weight_bytes", inspection.weight_bytes},
                    {"kv_block_bytes", inspection.kv_block_bytes},
                    {"arena_bytes", plan.program("step").arena_bytes},
                    {"arena_bytes_without_reuse", inspection.lowered.arena_bytes_unshared}};
  json["layouts"] = ordered_json::array();
  for (const compiler::LayoutChoice& choice : inspection.lowered.layouts)
    json["layouts"].push_back(
        {{"weight", choice.weight}, {"layout", choice.layout}, {"reason", choice.reason}});
  json["kernels"] = inspection.kernels;
  json["graph"] = inspection.engine.graph_text();
  return json;
}

int run_inspect(const InspectFlags& flags) {
  const Inspection inspection = inspect(flags.engine);
  if (flags.verify) {
    ThreadPool pool(default_num_threads());
    inspection.engine.verify_checksums(pool);
  }
  if (flags.json) {
    fmt::print("{}\n", to_json(inspection).dump(2));
    return 0;
  }
  if (flags.graph) fmt::print("{}", inspection.engine.graph_text());
  if (flags.passes) print_passes(inspection);
  if (flags.weights) print_weights(inspection);
  if (flags.steps) print_steps(inspection);
  if (flags.verify) fmt::print("all checksums match\n");
  if (!flags.graph && !flags.passes && !flags.weights && !flags.steps && !flags.verify)
    print_summary(inspection);
  return 0;
}

}  // namespace

void add_inspect(CLI::App& app, Action& action) {
  auto flags = std::make_shared<InspectFlags>();
  CLI::App& verb = *app.add_subcommand("inspect", "Show what is inside an engine");
  verb.add_option("engine", flags->engine, "Engine directory")->required();
  verb.add_flag("--graph", flags->graph, "The graph, after the passes");
  verb.add_flag("--passes", flags->passes, "What each pass changed, and what it left and why");
  verb.add_flag("--weights", flags->weights, "Weights with their layouts and the reasons");
  verb.add_flag("--steps", flags->steps, "The plan's steps with the kernels this machine takes");
  verb.add_flag("--verify", flags->verify, "Check every file against its checksums");
  verb.add_flag("--json", flags->json, "Everything as one JSON object");
  verb.footer("Example:\n  veloz inspect tiny.engine --passes");
  verb.callback([flags, &action] { action = [flags] { return run_inspect(*flags); }; });
}

}  // namespace veloz::cli
