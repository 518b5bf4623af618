// SPDX-License-Identifier: Apache-2.0
#include "api/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "api/backend.h"
#include "base/error.h"
#include "compress/gate.h"
#include "compress/measured_model.h"
#include "engine/engine.h"
#include "text/text_files.h"

namespace veloz::api {
namespace {

/// An engine opened, with what its tokenizer's folder says; not loaded yet.
struct Opened {
  explicit Opened(const std::filesystem::path& directory)
      : engine(engine::Engine::open(directory)),
        text(text::load_text_files(engine.tokenizer_directory())) {}

  int64_t max_model_len() const { return engine.plan().limits.max_model_len; }

  engine::Engine engine;
  text::TextFiles text;
};

eval::EvalSet read_set(const EvaluateOptions& options, const Opened& model, int64_t max_model_len) {
  const eval::EvalSetOptions set_options{
      .task = options.task, .limit = options.limit, .max_model_len = max_model_len};
  eval::EvalSet set;
  if (!options.dataset.empty()) eval::add_items(set, options.dataset, model.text, set_options);
  if (!options.text.empty()) eval::add_text(set, options.text, model.text, set_options);
  if (set.texts.empty())
    throw Error(ErrorKind::invalid_input, "there is nothing to evaluate the model on",
                "give a data set or a text");
  return set;
}

/// Both models must read the data as the same tokens: otherwise they were not made from each other,
/// and nothing can be compared.
void check_same_tokens(const eval::EvalSet& set, const eval::EvalSet& reference) {
  const bool is_same = std::ranges::equal(set.texts, reference.texts, {}, &eval::ScoredText::tokens,
                                          &eval::ScoredText::tokens);
  if (!is_same)
    throw Error(ErrorKind::invalid_input,
                fmt::format("the tokenizers of model and reference read {} differently", set.name),
                "compare a model with the one it was made from");
}

SamplingParams answer_params(const EvaluateOptions& options, const compress::MeasuredModel& model) {
  SamplingParams params = model.default_params();
  if (options.max_tokens) params.max_tokens = *options.max_tokens;
  if (options.num_beams) params.num_beams = *options.num_beams;
  return params;
}

}  // namespace

eval::GateReport evaluate(const EvaluateOptions& options) {
  const Opened model(options.engine);
  const auto reference =
      options.reference.empty() ? nullptr : std::make_unique<Opened>(options.reference);
  const int64_t max_model_len = reference
                                    ? std::min(model.max_model_len(), reference->max_model_len())
                                    : model.max_model_len();
  const eval::EvalSet set = read_set(options, model, max_model_len);
  if (reference) check_same_tokens(set, read_set(options, *reference, max_model_len));

  const Backend backend = open_backend(options.backend, model.engine.manifest().target);
  const compress::Machine machine{*backend.device, *backend.registry, *backend.pool};
  compress::MeasureOptions measure;
  if (options.max_num_seqs > 0) measure.max_num_seqs = options.max_num_seqs;
  if (options.kv_cache_memory_bytes > 0) measure.kv_cache_bytes = options.kv_cache_memory_bytes;
  compress::MeasuredModel measured(model.engine, *model.text.tokenizer, machine, measure);
  std::optional<compress::MeasuredModel> original;
  if (reference) original.emplace(reference->engine, *reference->text.tokenizer, machine, measure);
  return compress::run_gate(measured, original ? &*original : nullptr, set,
                            {.params = answer_params(options, original ? *original : measured),
                             .reference_answers = options.reference_answers,
                             .on_progress = options.on_progress,
                             .should_stop = options.should_stop});
}

}  // namespace veloz::api
