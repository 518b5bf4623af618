// SPDX-License-Identifier: Apache-2.0
#include "api/quantize.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "api/backend.h"
#include "api/evaluate.h"
#include "base/error.h"
#include "base/files.h"
#include "checkpoint/gate.h"
#include "checkpoint/model_config.h"
#include "compress/quantize/auto_search.h"
#include "eval/eval_set.h"
#include "text/text_files.h"
#include "veloz/build.h"

namespace veloz::api {
namespace {

namespace fs = std::filesystem;
using compress::Assignment;
using compress::QuantizeJob;
using compress::QuantizeReport;

int64_t stored_bytes(const QuantizeJob& job, const Assignment& assignment) {
  int64_t bytes = 0;
  for (size_t i = 0; i < assignment.size(); ++i)
    bytes += assignment[i] ? job.groups()[i].stored_bytes[*assignment[i]]
                           : job.groups()[i].original_bytes;
  return bytes;
}

class Quantizing {
 public:
  Quantizing(const QuantizeModelOptions& options, const QuantizeJob& job)
      : options_(options), job_(job) {}

  QuantizeReport run() {
    QuantizeReport report;
    Assignment assignment = job_.smallest();
    const bool is_automatic = options_.quantize.recipe.recipe == compress::Recipe::automatic;
    if (is_automatic) assignment = search(report);
    fill(assignment, report);
    // Without a verdict nothing appears where the output is to be.
    const fs::path candidate = work("candidate");
    job_.write(assignment, candidate, options_.on_progress);
    if (has_gate()) {
      report.gate = measure(candidate);
      report.gate->model = report.output;
      report.gate->reference = report.model;
    }
    write_reports(report, candidate);
    job_.publish(candidate);
    return report;
  }

 private:
  bool has_gate() const { return !options_.gate.dataset.empty() || !options_.gate.text.empty(); }
  fs::path work(const char* name) const { return job_.work_directory() / name; }

  /// The engine of a checkpoint, built in the work directory.
  fs::path build_engine(const fs::path& checkpoint, const char* name) const {
    BuildOptions build_options;
    build_options.model = checkpoint;
    build_options.output = work(name);
    build_options.replace_existing = true;
    build_options.num_threads = options_.num_threads;
    if (options_.on_progress)
      build_options.on_progress = [this](const Progress& progress) {
        options_.on_progress({progress.stage, progress.done, progress.total, progress.unit});
      };
    build(build_options);
    return build_options.output;
  }

  eval::GateReport measure(const fs::path& checkpoint) {
    if (original_.empty()) original_ = build_engine(options_.quantize.model, "original.engine");
    EvaluateOptions evaluate_options;
    evaluate_options.engine = build_engine(checkpoint, "quantized.engine");
    evaluate_options.reference = original_;
    evaluate_options.dataset = options_.gate.dataset;
    evaluate_options.text = options_.gate.text;
    evaluate_options.limit = options_.gate.limit;
    evaluate_options.reference_answers = &original_answers_;
    evaluate_options.backend.isa = options_.isa;
    evaluate_options.backend.num_threads = options_.num_threads;
    evaluate_options.on_progress = options_.on_progress;
    evaluate_options.should_stop = options_.should_stop;
    return evaluate(evaluate_options);
  }

  Assignment search(QuantizeReport& report) {
    const std::vector<compress::Upgrade> path = compress::upgrade_path(job_.groups());
    const size_t count = compress::fewest_upgrades(path.size(), [&](size_t tried) {
      const Assignment assignment = compress::after_upgrades(job_.groups(), path, tried);
      job_.write(assignment, work("candidate"), options_.on_progress);
      const eval::Verdict verdict = measure(work("candidate")).verdict;
      report.tries.push_back({stored_bytes(job_, assignment), verdict});
      return verdict >= options_.gate.least;
    });
    if (count == path.size())
      throw Error(ErrorKind::invalid_input,
                  fmt::format("no mixture reaches {} on this data", to_string(options_.gate.least)),
                  "a larger data set has room for small losses; or ask for --gate 99");
    return compress::after_upgrades(job_.groups(), path, count);
  }

  void fill(const Assignment& assignment, QuantizeReport& report) const {
    const compress::QuantizeOptions& quantize = options_.quantize;
    report.model = quantize.model.string();
    report.output = quantize.output.string();
    report.recipe = to_string(quantize.recipe.recipe);
    report.producer = "veloz " VELOZ_VERSION;
    report.num_calibration_texts = job_.num_calibration_texts();
    report.num_calibration_tokens = job_.num_calibration_tokens();
    report.linears = job_.reports(assignment);
    report.kept = job_.kept(assignment);
    for (const compress::GroupChoice& group : job_.groups())
      report.original_bytes += group.original_bytes;
    report.stored_bytes = stored_bytes(job_, assignment);
    if (quantize.quantizes_kv_cache) report.kv_cache = "fp8_e4m3";
  }

  static void write_reports(const QuantizeReport& report, const fs::path& directory) {
    write_text_file(directory / checkpoint::kGateFile, gate_file(report).dump(2) + '\n');
    write_text_file(directory / "report.json", to_json(report).dump(2) + '\n');
    write_text_file(directory / "report.md", to_markdown(report));
  }

  const QuantizeModelOptions& options_;
  const QuantizeJob& job_;
  fs::path original_;  // engine, once it is built
  std::vector<compress::Answer> original_answers_;
};

/// What the gate cannot read is told of before the work.
void check_data(const QuantizeModelOptions& options) {
  const QuantizeGate& gate = options.gate;
  const text::TextFiles text = text::load_text_files(options.quantize.model);
  const eval::EvalSetOptions set_options{
      .limit = gate.limit,
      .max_model_len =
          checkpoint::load_model_config(options.quantize.model).max_position_embeddings};
  eval::EvalSet set;
  if (!gate.dataset.empty()) eval::add_items(set, gate.dataset, text, set_options);
  if (!gate.text.empty()) eval::add_text(set, gate.text, text, set_options);
}

}  // namespace

QuantizeReport quantize(const QuantizeModelOptions& options) {
  if (options.quantize.recipe.recipe == compress::Recipe::automatic &&
      options.gate.dataset.empty() && options.gate.text.empty())
    throw Error(ErrorKind::invalid_input, "recipe auto has nothing to judge mixtures by",
                "give a data set with --dataset, or a text with --text");
  const Backend backend = open_cpu(options.isa, options.num_threads);
  check_data(options);
  QuantizeJob job(options.quantize, {*backend.device, *backend.registry, *backend.pool});
  job.calibrate(options.on_progress, options.should_stop);
  QuantizeReport report = Quantizing(options, job).run();
  job.clean_up();
  return report;
}

}  // namespace veloz::api
