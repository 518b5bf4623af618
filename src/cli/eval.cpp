// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>

#include "api/backend.h"
#include "api/evaluate.h"
#include "base/error.h"
#include "base/files.h"
#include "base/table.h"
#include "cli/interrupt.h"
#include "cli/load.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "eval/gate_tables.h"

namespace veloz::cli {
namespace {

struct EvalFlags {
  LoadFlags load;
  std::filesystem::path reference, dataset, text, output;
  std::string task = "auto";
  std::string gate = "99";
  std::optional<int64_t> limit, max_tokens, num_beams;
  bool json = false;
};

/// Of the flags, or the set that lies in the model's or its original's directory.
std::filesystem::path find_dataset(const EvalFlags& flags) {
  if (!flags.dataset.empty() || !flags.text.empty()) return flags.dataset;
  for (const std::filesystem::path& directory : {flags.load.model, flags.reference})
    if (!directory.empty() && std::filesystem::exists(directory / "eval.jsonl"))
      return directory / "eval.jsonl";
  throw Error(ErrorKind::invalid_input, "there is nothing to evaluate the model on",
              "give --dataset or --text; without them, eval.jsonl of a model directory is taken");
}

/// The original, where it is a model directory, is built as it is, whatever the model is built
/// with.
LoadFlags original_flags(const EvalFlags& flags) {
  LoadFlags load = flags.load;
  load.model = flags.reference;
  load.build = {.dtype = flags.load.build.dtype, .max_model_len = flags.load.build.max_model_len};
  return load;
}

std::filesystem::path resolve(const LoadFlags& load) {
  const ResolvedEngine resolved = resolve_model(load);
  for (const std::string& warning : resolved.report.warnings)
    fmt::print(stderr, "warning: {}\n", warning);
  return resolved.engine;
}

eval::Verdict least_verdict(const std::string& gate) {
  const std::optional<eval::Verdict> verdict = eval::try_parse_verdict("PASS-" + gate);
  if (!verdict)
    throw Error(ErrorKind::invalid_input, fmt::format("there is no gate \"{}\"", gate),
                "gates are 99 and 99.9");
  return *verdict;
}

eval::GateReport evaluate(const EvalFlags& flags) {
  api::EvaluateOptions options;
  options.dataset = find_dataset(flags);
  options.text = flags.text;
  if (flags.task != "auto") options.task = eval::parse_task(flags.task);
  options.limit = flags.limit;
  options.max_tokens = flags.max_tokens;
  options.num_beams = flags.num_beams;
  options.backend = api::backend_request(flags.load.llm);
  options.max_num_seqs = flags.load.llm.max_num_seqs;
  options.kv_cache_memory_bytes = flags.load.llm.kv_cache_memory_bytes;
  options.engine = resolve(flags.load);
  if (!flags.reference.empty()) options.reference = resolve(original_flags(flags));
  options.should_stop = InterruptGuard::is_interrupted;
  ProgressBar bar;
  options.on_progress = [&bar](const ProgressUpdate& update) {
    bar.update({update.stage, update.done, update.total, update.unit});
  };
  eval::GateReport report = api::evaluate(options);
  report.model = flags.load.model.string();
  report.reference = flags.reference.string();
  return report;
}

void print_report(const eval::GateReport& report) {
  for (const eval::ReportTable& shown : eval::tables_of(report)) {
    std::vector<Table::Column> columns;
    for (const std::string& title : shown.columns)
      columns.push_back({title, columns.empty() ? Table::Align::left : Table::Align::right});
    Table table(std::move(columns));
    for (const std::vector<std::string>& row : shown.rows) table.add_row(row);
    fmt::print("{}\n{}\n", shown.title, table.text());
  }
  fmt::print("{}: {}\n", to_string(report.verdict), report.reason);
}

/// 1 where the gate does not hold; a model without an original has none.
int exit_code_of(const eval::GateReport& report, eval::Verdict least) {
  return report.verdict == eval::Verdict::ungated || report.verdict >= least ? 0 : 1;
}

int run_eval(const EvalFlags& flags) {
  const eval::Verdict least = least_verdict(flags.gate);
  const InterruptGuard guard;
  // Before the work: a place that cannot be written would waste it.
  std::optional<FileWriter> file;
  if (!flags.output.empty()) file.emplace(FileWriter::create(flags.output));
  const eval::GateReport report = evaluate(flags);
  if (file) {
    file->write(flags.output.extension() == ".json" ? eval::to_json(report).dump(2) + '\n'
                                                    : eval::to_markdown(report));
    file->close();
  }
  if (flags.json)
    fmt::print("{}\n", eval::to_json(report).dump());
  else
    print_report(report);
  return exit_code_of(report, least);
}

}  // namespace

void add_eval(CLI::App& app, Action& action) {
  auto flags = std::make_shared<EvalFlags>();
  CLI::App& verb = *app.add_subcommand(
      "eval",
      "Measure what a model's answers are worth, and whether it can stand for its original");
  add_load_flags(verb, flags->load);
  verb.add_option("--reference", flags->reference,
                  "The original: engine or model directory. Both are measured, the gate compares");
  verb.add_option("--dataset", flags->dataset,
                  "JSONL of {\"prompt\", \"reference\"} or {\"messages\", \"answer\"}; default: "
                  "eval.jsonl of the model's directory, or of the original's");
  verb.add_option("--text", flags->text, "Plain text to measure perplexity and KL divergence on");
  verb.add_option("--task", flags->task,
                  "What answers are judged by: summarize (ROUGE), chat (exact answers); auto: chat "
                  "where the data set has messages")
      ->capture_default_str();
  verb.add_option("--limit", flags->limit, "Take so many items, and windows of text, at most");
  verb.add_option("--max-tokens", flags->max_tokens,
                  "New tokens of an answer; default: as generation_config.json says, or 128");
  verb.add_option("--num-beams", flags->num_beams,
                  "Beams of an answer, 1 is greedy; default: as generation_config.json says");
  verb.add_option("--gate", flags->gate,
                  "What must hold, in percent of the original: 99 or 99.9; else the exit code is 1")
      ->capture_default_str();
  verb.add_flag("--json", flags->json, "Print one JSON object");
  verb.add_option("-o,--output", flags->output,
                  "Also write the report here: Markdown, or JSON where the name ends in .json");
  verb.footer(
      "PASS-99.9 and PASS-99: every metric of the task (ROUGE-1, -2 and -L, or exact answers)\n"
      "reaches that share of the original's, and answers are 90 % to 110 % as long. With --text\n"
      "alone perplexity decides. Without --reference nothing is judged (UNGATED).\n"
      "Exit codes: 0 the gate holds or there is none, 1 it does not, 2 wrong usage or bad input.\n"
      "Example:\n"
      "  veloz eval models/tiny-gptj\n"
      "  veloz eval models/tiny-gptj --quant int8 --reference models/tiny-gptj\n"
      "  veloz eval tiny-int4.engine --reference models/tiny-gptj --gate 99.9 -o report.md");
  verb.callback([flags, &action] { action = [flags] { return run_eval(*flags); }; });
}

}  // namespace veloz::cli
