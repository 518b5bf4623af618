// SPDX-License-Identifier: Apache-2.0
#include "api/quantize.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "cli/interrupt.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

namespace veloz::cli {
namespace {

namespace fs = std::filesystem;

struct QuantizeFlags {
  api::QuantizeModelOptions options;
  std::string recipe;
  std::string format = "compressed-tensors";
  std::string weight_range = "amax";
  std::string activation_range = "amax";
  std::string kv_cache_dtype = "auto";
  std::string activations = "none";
  std::string gate = "99";
  bool no_act_order = false;
  bool no_gate = false;
  bool json = false;
};

/// The value of `name` in a table of names; `flag` is for the error.
template <typename T>
T parse_choice(const char* flag, const std::string& name,
               const std::vector<std::pair<std::string, T>>& choices) {
  std::vector<std::string> names;
  for (const auto& [known, value] : choices) {
    if (known == name) return value;
    names.push_back(known);
  }
  throw Error(ErrorKind::invalid_input, fmt::format("{} cannot be \"{}\"", flag, name),
              fmt::format("it is one of {}", fmt::join(names, ", ")));
}

void default_to_bundled(fs::path& file, const fs::path& model, const char* name) {
  if (file.empty() && fs::exists(model / name)) file = model / name;
}

/// What a recipe does not read it would ignore without a word.
void check_flags(const CLI::App& verb, std::string_view recipe) {
  struct Flag {
    const char* name;
    std::vector<std::string_view> recipes;
  };
  const Flag flags[] = {
      {"--group-size", {"int4", "int4-awq", "int4-gptq", "auto"}},
      {"--asymmetric", {"int4", "int4-tensor", "int4-awq", "int4-gptq", "auto"}},
      {"--activations", {"int4", "int4-tensor", "int4-awq", "int4-gptq", "auto"}},
      {"--activation-range", {"fp8"}},
      {"--percentile", {"fp8"}},
      {"--gptq-damping", {"int4-gptq"}},
      {"--no-act-order", {"int4-gptq"}},
      {"--gate", {"auto"}},
  };
  for (const Flag& flag : flags)
    if (verb.count(flag.name) > 0 && std::ranges::find(flag.recipes, recipe) == flag.recipes.end())
      throw Error(ErrorKind::invalid_input,
                  fmt::format("--recipe {} does not read {}", recipe, flag.name),
                  fmt::format("leave it out; it is for {}", fmt::join(flag.recipes, ", ")));
}

/// What stands in strings becomes options; files that lie beside the model are taken.
api::QuantizeModelOptions resolve(const QuantizeFlags& flags) {
  using compress::RangeMethod;
  api::QuantizeModelOptions options = flags.options;
  compress::QuantizeOptions& quantize = options.quantize;
  compress::RecipeOptions& recipe = quantize.recipe;
  recipe.recipe = compress::parse_recipe(flags.recipe);
  quantize.format = parse_choice<checkpoint::QuantFormat>(
      "--format", flags.format,
      {{"compressed-tensors", checkpoint::QuantFormat::compressed_tensors},
       {"modelopt", checkpoint::QuantFormat::modelopt}});
  recipe.weight_range =
      parse_choice<RangeMethod>("--weight-range", flags.weight_range,
                                {{"amax", RangeMethod::amax}, {"mse", RangeMethod::mse}});
  recipe.activation_range = parse_choice<RangeMethod>("--activation-range", flags.activation_range,
                                                      {{"amax", RangeMethod::amax},
                                                       {"percentile", RangeMethod::percentile},
                                                       {"mse", RangeMethod::mse}});
  recipe.quantizes_activations =
      parse_choice<bool>("--activations", flags.activations, {{"none", false}, {"int8", true}});
  quantize.quantizes_kv_cache = parse_choice<bool>("--kv-cache-dtype", flags.kv_cache_dtype,
                                                   {{"auto", false}, {"fp8", true}});
  recipe.gptq.act_order = !flags.no_act_order;
  options.gate.least = parse_choice<eval::Verdict>(
      "--gate", flags.gate, {{"99", eval::Verdict::pass_99}, {"99.9", eval::Verdict::pass_99_9}});
  if (quantize.calibration.files.empty()) {
    fs::path bundled;
    default_to_bundled(bundled, quantize.model, "calib.jsonl");
    if (!bundled.empty()) quantize.calibration.files.push_back(bundled);
  }
  if (flags.no_gate)
    options.gate.dataset = options.gate.text = "";
  else if (options.gate.text.empty())
    default_to_bundled(options.gate.dataset, quantize.model, "eval.jsonl");
  return options;
}

void print_report(const compress::QuantizeReport& report) {
  fmt::print("quantized {} linears to {} of {} in {}\n", report.linears.size(),
             format_bytes(static_cast<uint64_t>(report.stored_bytes)),
             format_bytes(static_cast<uint64_t>(report.original_bytes)), report.output);
  fmt::print("{}: {}\n", to_string(report.verdict()),
             report.gate ? report.gate->reason : "nobody measured it (--dataset, --text)");
  fmt::print("report: {}\n", (fs::path(report.output) / "report.md").string());
}

int run_quantize(const CLI::App& verb, const QuantizeFlags& flags) {
  api::QuantizeModelOptions options = resolve(flags);
  check_flags(verb, flags.recipe);
  const InterruptGuard guard;
  options.should_stop = InterruptGuard::is_interrupted;
  compress::QuantizeReport report;
  {
    ProgressBar bar;
    options.on_progress = [&bar](const ProgressUpdate& update) {
      bar.update({update.stage, update.done, update.total, update.unit});
    };
    report = api::quantize(options);
  }
  if (flags.json)
    fmt::print("{}\n", to_json(report).dump());
  else
    print_report(report);
  return 0;
}

std::string recipe_help() {
  std::string text = "How weights (and activations) are rounded:";
  for (const compress::Recipe recipe : compress::all_recipes())
    text += fmt::format("\n{}: {}", to_string(recipe), describe(recipe));
  return text;
}

void add_recipe_flags(CLI::App& verb, QuantizeFlags& flags) {
  compress::RecipeOptions& recipe = flags.options.quantize.recipe;
  verb.add_option("--recipe", flags.recipe, recipe_help())->required();
  verb.add_option("--group-size", recipe.group_size,
                  "Of 4-bit weights: columns that share a scale, a multiple of 32; 0: a whole row")
      ->capture_default_str();
  verb.add_flag("--asymmetric", recipe.has_zeros,
                "Of 4-bit weights: a zero point for each group, for weights around no zero");
  verb.add_option("--activations", flags.activations,
                  "Of 4-bit weights: none (activations stay), or int8 (faster prefill)")
      ->capture_default_str();
  verb.add_option("--weight-range", flags.weight_range,
                  "amax: the largest weight; mse: the range with the smallest squared error")
      ->capture_default_str();
  verb.add_option("--activation-range", flags.activation_range,
                  "Of recipe fp8: amax, percentile or mse of what calibration saw")
      ->capture_default_str();
  verb.add_option("--percentile", recipe.percentile, "Of --activation-range percentile")
      ->capture_default_str();
  verb.add_option("--gptq-damping", recipe.gptq.damping,
                  "Of int4-gptq: share of the mean that is added to the Hessian's diagonal")
      ->capture_default_str();
  verb.add_flag("--no-act-order", flags.no_act_order,
                "Of int4-gptq: round columns as they stand, not the most important first");
  verb.add_option("--kv-cache-dtype", flags.kv_cache_dtype,
                  "auto (as activations), or fp8 with a calibrated scale for each layer")
      ->capture_default_str();
  verb.add_option("--keep", flags.options.quantize.kept,
                  "Linears that stay as they are: a name in which * stands for anything "
                  "(repeatable)")
      ->allow_extra_args(false);
  verb.add_flag("--lm-head", flags.options.quantize.includes_lm_head,
                "Quantize lm_head too, where it has a matrix of its own");
}

void add_data_flags(CLI::App& verb, QuantizeFlags& flags) {
  compress::CalibrationOptions& calibration = flags.options.quantize.calibration;
  verb.add_option("--calibration", calibration.files,
                  "What the model is used for: JSONL of {\"text\"}, {\"prompt\", \"reference\"} or "
                  "{\"messages\", \"answer\"}, or plain text (repeatable); default: calib.jsonl of "
                  "the model's directory")
      ->allow_extra_args(false);
  verb.add_option("--num-samples", calibration.num_samples, "Texts that are drawn from it, at most")
      ->capture_default_str();
  verb.add_option("--max-length", calibration.max_length, "Tokens of a text that are used, at most")
      ->capture_default_str();
  verb.add_option("--seed", calibration.seed, "Of the draw")->capture_default_str();
  verb.add_option("--dataset", flags.options.gate.dataset,
                  "JSONL that the result is held against the original on, as `veloz eval` reads "
                  "it; default: eval.jsonl of the model's directory");
  verb.add_option("--text", flags.options.gate.text, "Plain text for the same");
  verb.add_option("--limit", flags.options.gate.limit, "Items of --dataset that are used, at most");
  verb.add_option("--gate", flags.gate,
                  "What recipe auto must keep, in percent of the original: 99 or 99.9")
      ->capture_default_str();
  verb.add_flag("--no-gate", flags.no_gate, "Measure nothing: the result is UNGATED");
}

}  // namespace

void add_quantize(CLI::App& app, Action& action) {
  auto flags = std::make_shared<QuantizeFlags>();
  compress::QuantizeOptions& quantize = flags->options.quantize;
  CLI::App& verb = *app.add_subcommand(
      "quantize", "Make a smaller checkpoint of a model and measure what is lost");
  verb.add_option("model", quantize.model, "Directory with config.json, *.safetensors, tokenizer")
      ->required();
  verb.add_option("-o,--output", quantize.output, "Directory to write, in Hugging Face layout")
      ->required();
  add_recipe_flags(verb, *flags);
  add_data_flags(verb, *flags);
  verb.add_option("--format", flags->format,
                  "Layout of the result: compressed-tensors (all recipes), or modelopt (fp8 and "
                  "fp8-rowwise)")
      ->capture_default_str();
  verb.add_option("--threads", flags->options.num_threads,
                  "Threads; 0: as many as this process may use")
      ->envname("VELOZ_THREADS")
      ->capture_default_str();
  verb.add_option("--isa", flags->options.isa, "Instruction set; default: the best there is")
      ->envname("VELOZ_ISA");
  verb.add_flag("--restart", quantize.restarts, "Drop what an interrupted run left, begin anew");
  verb.add_flag("--force", quantize.replaces_existing, "Replace a directory that is there");
  verb.add_flag("--json", flags->json, "Print the report as one JSON object");
  verb.footer(
      "Which recipe? On a CPU int8-smoothquant costs next to nothing and int4-awq --group-size 32\n"
      "is the smallest that is still good; auto mixes them until the gate holds. For GPUs with "
      "FP8\n"
      "units fp8. docs/quantization.md has the table.\n"
      "Memory: one layer in fp32 with what is observed of it, and the calibration data's hidden\n"
      "states. An interrupted run goes on where it stopped when the same command is given again.\n"
      "The report and the verdict (PASS-99.9, PASS-99, FAIL, UNGATED) are written into the\n"
      "directory, and go with the engines that are built from it; a FAIL ends with status 0 too,\n"
      "but is served with --force only.\n"
      "Example:\n"
      "  veloz quantize models/tiny-llama -o tiny-int8 --recipe int8-smoothquant\n"
      "  veloz chat tiny-int8");
  verb.callback(
      [flags, &verb, &action] { action = [flags, &verb] { return run_quantize(verb, *flags); }; });
}

}  // namespace veloz::cli
