// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/quantize_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "base/fp8.h"
#include "base/hash.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/convert.h"
#include "checkpoint/formats/name_pattern.h"
#include "checkpoint/model_config.h"
#include "compiler/pack_weights.h"
#include "compress/quantize/layer_file.h"
#include "compress/quantize/work_directory.h"
#include "models/model.h"

namespace veloz::compress {
namespace {

namespace fs = std::filesystem;

/// Keys and values as the cache gets them: largest magnitudes of each of their channels.
struct CacheRange {
  std::vector<float> k, v;
  std::string v_module;  // the linear that makes v
};

void add_amax(const TensorView& x, std::vector<float>& amax) {
  amax.resize(static_cast<size_t>(x.shape[1]));
  for (int64_t t = 0; t < x.shape[0]; ++t)
    for (int64_t k = 0; k < x.shape[1]; ++k)
      amax[static_cast<size_t>(k)] =
          std::max(amax[static_cast<size_t>(k)], std::abs(x.row<const float>(t)[k]));
}

double cache_scale(const std::vector<float>& amax, std::span<const float> factors) {
  float largest = 0;
  for (size_t k = 0; k < amax.size(); ++k)
    largest = std::max(largest, factors.empty() ? amax[k] : amax[k] / factors[k]);
  return largest > 0 ? static_cast<double>(largest / Fp8E4M3::kMax) : 1.0;
}

checkpoint::KvScales cache_scales(const CacheRange& range, const LayerResult& result) {
  const auto factors = result.row_factors.find(range.v_module);
  return {cache_scale(range.k, {}),
          cache_scale(range.v, factors == result.row_factors.end()
                                   ? std::span<const float>()
                                   : std::span<const float>(factors->second))};
}

}  // namespace

struct QuantizeJob::State {
  State(const QuantizeOptions& options_in, const Machine& machine_in);

  // The parts of `calibrate`.
  void embed();
  void process(size_t slice, const ProgressSink& progress,
               const std::function<bool()>& should_stop);
  void run_slice(size_t slice, SliceRunner& runner, const SliceRunner::Observer& observer,
                 const ProgressSink& progress, const std::function<bool()>& should_stop);
  void find_choices();

  bool is_quantized(std::string_view module) const;
  /// "" where it is no linear.
  std::string module_that_makes(size_t slice, graph::ValueId value) const;
  checkpoint::CheckpointWriter::Existing existing() const {
    return options.replaces_existing ? checkpoint::CheckpointWriter::Existing::replace
                                     : checkpoint::CheckpointWriter::Existing::refuse;
  }
  void check_linears() const;
  void check_treatment(const LinearModule& linear, const Treatment& treatment) const;
  std::string key() const;
  fs::path file_of(size_t slice) const {
    return work.path() / fmt::format("layer-{:05}.safetensors", slice);
  }
  std::string stage(size_t slice, std::string_view what) const {
    return slice < slices.layers.size()
               ? fmt::format("layer {} of {}, {}", slice + 1, slices.layers.size(), what)
               : fmt::format("lm_head, {}", what);
  }

  QuantizeOptions options;
  Machine machine;
  checkpoint::ModelConfig config;
  checkpoint::Checkpoint source;
  graph::Graph graph;
  ModelSlices slices;
  std::vector<GraphSlice> parts;                // layers, and the head where it takes part
  std::vector<std::vector<InputGroup>> groups;  // by part
  std::vector<Treatment> treatments;
  std::vector<checkpoint::NamePattern> kept;
  CalibrationData data;
  std::vector<TextBatch> batches;
  WorkDirectory work;
  int64_t num_resumed = 0;
  Matrix hidden;  // [tokens, hidden_size], the next part's input
  std::vector<GroupChoice> choices;
};

QuantizeJob::State::State(const QuantizeOptions& options_in, const Machine& machine_in)
    : options(options_in),
      machine(machine_in),
      config(checkpoint::load_model_config(options.model)),
      source(checkpoint::Checkpoint::open(options.model)),
      graph(models::build_graph(config, {DType::fp32, DType::fp32, /*block_size=*/64})),
      slices(slice_model(graph)),
      treatments(treatments_of(options.recipe, config.dtype.value_or(DType::bf16))) {
  checkpoint::CheckpointWriter::check(options.model, options.output, existing());
  for (const std::string& pattern : options.kept)
    kept.push_back(checkpoint::NamePattern::wildcard(pattern));
  compiler::check_tensors(graph, source);
  parts = slices.layers;
  if (options.includes_lm_head) {
    if (config.tie_word_embeddings)
      throw Error(ErrorKind::unsupported, "lm_head is the embedding's matrix, which stays as it is",
                  "leave out --lm-head");
    parts.push_back(slices.head);
  }
  for (const GraphSlice& part : parts) groups.push_back(find_input_groups(graph, part));
  check_linears();
  data = load_calibration_data(options.calibration, text::load_text_files(options.model), config);
  batches = make_batches(data);
  work = WorkDirectory::open(options.output, key(), options.restarts);
}

bool QuantizeJob::State::is_quantized(std::string_view module) const {
  return checkpoint::find_match(kept, module) == nullptr;
}

std::string QuantizeJob::State::module_that_makes(size_t slice, graph::ValueId value) const {
  for (const InputGroup& group : groups[slice])
    for (const LinearModule& linear : group.linears)
      if (graph.nodes()[linear.node].outputs[0] == value) return linear.module;
  return "";
}

void QuantizeJob::State::check_treatment(const LinearModule& linear,
                                         const Treatment& treatment) const {
  const int64_t group = treatment.weight.group;
  if (group > 0 && linear.columns % group != 0)
    throw Error(ErrorKind::invalid_input,
                fmt::format("--group-size {} does not divide the {} columns of {}", group,
                            linear.columns, linear.module),
                "use a divisor of all widths, such as 32 or 64, or keep this linear as it "
                "is with --keep");
  if (treatment.weight.dtype == DType::uint4x2 && linear.columns % 2 != 0)
    throw Error(ErrorKind::invalid_input,
                fmt::format("{} has {} columns, 4-bit codes are stored in pairs", linear.module,
                            linear.columns),
                "keep this linear as it is with --keep, or choose a recipe of 8 bits");
  const std::optional<float> input_scale =
      treatment.has_fixed_activation_scale ? std::optional(1.0f) : std::nullopt;
  checkpoint::check_layout(options.format, linear.module, scheme_of(treatment, input_scale));
}

/// What would fail in the last layer is told before the first.
void QuantizeJob::State::check_linears() const {
  std::set<std::string> unused(options.kept.begin(), options.kept.end());
  int64_t num_quantized = 0;
  for (const std::vector<InputGroup>& of_part : groups)
    for (const InputGroup& group : of_part)
      for (const LinearModule& linear : group.linears) {
        std::erase_if(unused, [&](const std::string& pattern) {
          return checkpoint::NamePattern::wildcard(pattern).matches(linear.module);
        });
        if (!is_quantized(linear.module)) continue;
        ++num_quantized;
        for (const Treatment& treatment : treatments) check_treatment(linear, treatment);
      }
  if (!unused.empty())
    throw Error(ErrorKind::invalid_input,
                fmt::format("--keep \"{}\" matches no linear of the model", *unused.begin()),
                fmt::format("names are like \"{}\"", groups[0][0].linears[0].module));
  if (num_quantized == 0)
    throw Error(ErrorKind::invalid_input, "--keep matches every linear, nothing is quantized",
                "keep fewer");
}

/// Everything that the layers' results depend on.
std::string QuantizeJob::State::key() const {
  const RecipeOptions& r = options.recipe;
  StreamHasher hasher;
  hasher.update(read_text_file(options.model / "config.json", uint64_t{16} << 20));
  hasher.update(source.fingerprint());
  hasher.update(data.digest());
  hasher.update(fmt::format(
      "{} {} {} {} {} {} {} {} {} {} {} [{}] " VELOZ_VERSION, to_string(r.recipe), r.group_size,
      r.has_zeros, r.quantizes_activations, static_cast<int>(r.weight_range),
      static_cast<int>(r.activation_range), r.percentile, r.gptq.damping, r.gptq.act_order,
      options.includes_lm_head, options.quantizes_kv_cache, fmt::join(options.kept, " ")));
  return hasher.hex_digest();
}

/// The embedding's rows of all tokens, read one by one: the table stays on disk.
void QuantizeJob::State::embed() {
  const graph::Node& node = graph.nodes()[slices.embedding_node];
  const std::string& table = graph.value(node.inputs[1]).segments[0].tensor;
  const checkpoint::TensorInfo info = *source.find(table);
  hidden = Matrix(data.num_tokens(), info.shape[1]);
  std::vector<std::byte> raw(static_cast<size_t>(hidden.columns) * dtype_bytes(info.dtype));
  int64_t row = 0;
  for (const std::vector<int32_t>& text : data.texts)
    for (const int32_t token : text) {
      source.read_rows(table, token, token + 1, raw);
      const std::span<float> to(hidden.row(row++), static_cast<size_t>(hidden.columns));
      checkpoint::convert(info.dtype, raw, DType::fp32, std::as_writable_bytes(to));
    }
}

void QuantizeJob::State::run_slice(size_t slice, SliceRunner& runner,
                                   const SliceRunner::Observer& observer,
                                   const ProgressSink& progress,
                                   const std::function<bool()>& should_stop) {
  const std::string what = stage(slice, observer ? "observing" : "passing");
  int64_t row = 0;
  for (size_t i = 0; i < batches.size(); ++i) {
    if (should_stop && should_stop())
      throw Error(ErrorKind::cancelled, "quantizing was interrupted",
                  "the same command goes on behind the last finished layer");
    if (progress) progress({.stage = what, .done = i, .total = batches.size(), .unit = "batches"});
    const int64_t end = row + batches[i].num_tokens();
    runner.run(batches[i], hidden.view(row, end), observer);
    row = end;
  }
}

void QuantizeJob::State::process(size_t slice, const ProgressSink& progress,
                                 const std::function<bool()>& should_stop) {
  const GraphSlice& part = parts[slice];
  TensorSet tensors = read_tensors(source, graph, part.nodes, machine.pool);
  std::vector<InputStatistics> statistics;
  std::map<graph::ValueId, size_t> group_of;
  for (const InputGroup& group : groups[slice]) {
    group_of[group.input] = statistics.size();
    statistics.emplace_back(group.linears[0].columns, data.num_tokens(), statistics_of(treatments));
  }
  CacheRange cache;
  {
    SliceRunner runner(graph, part, tensors, machine);
    run_slice(
        slice, runner,
        [&](size_t index, const ops::OpCall& call) {
          const graph::Node& node = graph.nodes()[index];
          if (node.op == ops::Op::kv_append) {
            add_amax(call.inputs[1], cache.k);
            add_amax(call.inputs[2], cache.v);
            cache.v_module = module_that_makes(slice, node.inputs[2]);
          }
          if (node.op != ops::Op::linear) return;
          const size_t group = group_of.at(node.inputs[0]);
          // Once for all linears of the group.
          if (groups[slice][group].linears[0].node == index)
            statistics[group].add(call.inputs[0], machine);
        },
        progress, should_stop);
  }
  for (const InputStatistics& input : statistics)
    if (!input.is_finite())
      throw Error(ErrorKind::corrupt_data,
                  fmt::format("the model computes NaN or infinities in {}", part.name),
                  "check that the original answers sensibly; it cannot be quantized like this");
  if (progress)
    progress({.stage = stage(slice, "quantizing"), .done = 0, .total = 1, .unit = "layers"});
  const LayerTask task{
      .groups = &groups[slice],
      .treatments = &treatments,
      .is_quantized = [this](std::string_view module) { return is_quantized(module); },
      .dtype_of = [this](std::string_view tensor) { return source.find(tensor)->dtype; },
      .activation_range = options.recipe.activation_range,
      .percentile = options.recipe.percentile,
      .gptq = options.recipe.gptq};
  LayerOutcome outcome{quantize_layer(task, std::move(tensors), std::move(statistics), machine),
                       {}};
  outcome.kv = cache_scales(cache, outcome.result);
  save_layer(file_of(slice), outcome);
}

/// Sums the groups' reports up; skips groups of which nothing is quantized.
void QuantizeJob::State::find_choices() {
  choices.clear();
  for (size_t slice = 0; slice < parts.size(); ++slice) {
    const LayerFile file = LayerFile::open(file_of(slice));
    for (const InputGroup& group : groups[slice]) {
      GroupChoice choice;
      choice.stored_bytes.resize(treatments.size());
      choice.output_error.resize(treatments.size());
      for (const LinearModule& linear : group.linears) {
        if (!is_quantized(linear.module)) continue;
        choice.modules.push_back(linear.module);
        choice.original_bytes +=
            linear.rows * linear.columns *
            static_cast<int64_t>(dtype_bytes(source.find(linear.weight())->dtype));
        for (size_t i = 0; i < treatments.size(); ++i) {
          const auto report =
              std::ranges::find(file.reports().at(i), linear.module, &LinearReport::module);
          choice.stored_bytes[i] += report->stored_bytes;
          choice.output_error[i] = std::max(choice.output_error[i], report->output_error);
        }
      }
      if (!choice.modules.empty()) choices.push_back(std::move(choice));
    }
  }
}

QuantizeJob::QuantizeJob(const QuantizeOptions& options, const Machine& machine)
    : state_(std::make_unique<State>(options, machine)) {}
QuantizeJob::~QuantizeJob() = default;

void QuantizeJob::calibrate(const ProgressSink& progress,
                            const std::function<bool()>& should_stop) {
  State& state = *state_;
  size_t num_unfinished_end = 0;  // one past the last part that is not finished
  for (size_t i = 0; i < state.parts.size(); ++i) {
    if (fs::exists(state.file_of(i)))
      ++state.num_resumed;
    else
      num_unfinished_end = i + 1;
  }
  if (num_unfinished_end > 0) state.embed();
  for (size_t i = 0; i < num_unfinished_end; ++i) {
    if (!fs::exists(state.file_of(i))) {
      state.process(i, progress, should_stop);
      continue;
    }
    SliceRunner runner(
        state.graph, state.parts[i],
        read_tensors(state.source, state.graph, state.parts[i].nodes, state.machine.pool),
        state.machine);
    state.run_slice(i, runner, {}, progress, should_stop);
  }
  state.hidden = {};
  state.find_choices();
}

int64_t QuantizeJob::num_resumed_layers() const { return state_->num_resumed; }
const std::vector<Treatment>& QuantizeJob::treatments() const { return state_->treatments; }
const std::vector<GroupChoice>& QuantizeJob::groups() const { return state_->choices; }
int64_t QuantizeJob::num_calibration_texts() const {
  return static_cast<int64_t>(state_->data.texts.size());
}
int64_t QuantizeJob::num_calibration_tokens() const { return state_->data.num_tokens(); }
fs::path QuantizeJob::work_directory() const { return state_->work.path(); }
void QuantizeJob::clean_up() const { state_->work.remove(); }

Assignment QuantizeJob::smallest() const {
  return Assignment(state_->choices.size(), std::optional<size_t>(0));
}

namespace {

/// Treatment by module.
std::map<std::string, size_t, std::less<>> by_module(const std::vector<GroupChoice>& choices,
                                                     const Assignment& assignment) {
  VELOZ_CHECK(choices.size() == assignment.size(), "{} groups, {} assigned", choices.size(),
              assignment.size());
  std::map<std::string, size_t, std::less<>> treatments;
  for (size_t i = 0; i < choices.size(); ++i)
    if (assignment[i])
      for (const std::string& module : choices[i].modules) treatments[module] = *assignment[i];
  return treatments;
}

std::vector<std::byte> scale_bytes(const QuantizedWeight& weight) {
  const DType dtype = weight.format.scale_dtype;
  std::vector<std::byte> bytes(weight.grids.grids.size() * dtype_bytes(dtype));
  for (size_t i = 0; i < weight.grids.grids.size(); ++i) {
    const float scale = weight.grids.grids[i].scale;
    const BFloat16 as_bf16(scale);
    const uint16_t as_fp16 = fp32_to_fp16(scale);
    const void* const from = dtype == DType::fp32   ? static_cast<const void*>(&scale)
                             : dtype == DType::bf16 ? static_cast<const void*>(&as_bf16)
                                                    : static_cast<const void*>(&as_fp16);
    std::memcpy(bytes.data() + i * dtype_bytes(dtype), from, dtype_bytes(dtype));
  }
  return bytes;
}

std::vector<std::byte> zero_bytes(const QuantizedWeight& weight) {
  if (!weight.format.has_zeros) return {};
  std::vector<std::byte> bytes;
  for (const Grid& grid : weight.grids.grids)
    bytes.push_back(static_cast<std::byte>(static_cast<uint8_t>(grid.zero)));
  return bytes;
}

void add_linear(checkpoint::CheckpointWriter& writer, const Treatment& treatment,
                const LinearReport& report, const QuantizedWeight& weight) {
  const std::vector<std::byte> scales = scale_bytes(weight);
  const std::vector<std::byte> zeros = zero_bytes(weight);
  writer.add_linear(report.module, scheme_of(treatment, report.input_scale),
                    {.rows = weight.rows,
                     .columns = weight.columns,
                     .weight = std::as_bytes(std::span(weight.codes)),
                     .scales = scales,
                     .zeros = zeros,
                     .permutation = {}});
}

std::vector<std::byte> to_stored(const Matrix& matrix, DType dtype) {
  std::vector<std::byte> bytes(matrix.values.size() * dtype_bytes(dtype));
  const std::span<const float> values(matrix.values);
  if (dtype == DType::fp16) {
    for (size_t i = 0; i < values.size(); ++i) {
      const uint16_t bits = fp32_to_fp16(values[i]);
      std::memcpy(bytes.data() + i * sizeof(bits), &bits, sizeof(bits));
    }
  } else {
    checkpoint::convert(DType::fp32, std::as_bytes(values), dtype, bytes);
  }
  return bytes;
}

}  // namespace

std::vector<LinearReport> QuantizeJob::reports(const Assignment& assignment) const {
  const auto treatments = by_module(state_->choices, assignment);
  std::vector<LinearReport> reports;
  for (size_t slice = 0; slice < state_->parts.size(); ++slice) {
    const LayerFile file = LayerFile::open(state_->file_of(slice));
    for (const InputGroup& group : state_->groups[slice])
      for (const LinearModule& linear : group.linears) {
        const auto treatment = treatments.find(linear.module);
        if (treatment == treatments.end()) continue;
        reports.push_back(*std::ranges::find(file.reports().at(treatment->second), linear.module,
                                             &LinearReport::module));
      }
  }
  return reports;
}

std::vector<std::string> QuantizeJob::kept(const Assignment& assignment) const {
  const auto treatments = by_module(state_->choices, assignment);
  std::vector<std::string> kept;
  for (const std::vector<InputGroup>& of_part : state_->groups)
    for (const InputGroup& group : of_part)
      for (const LinearModule& linear : group.linears)
        if (!treatments.contains(linear.module)) kept.push_back(linear.module);
  return kept;
}

void QuantizeJob::write(const Assignment& assignment, const fs::path& directory,
                        const ProgressSink& progress) const {
  const State& state = *state_;
  const auto treatments = by_module(state.choices, assignment);
  checkpoint::CheckpointWriter writer = checkpoint::CheckpointWriter::create(
      {.source = state.options.model,
       .output = directory,
       .format = state.options.format,
       .existing = checkpoint::CheckpointWriter::Existing::replace,
       .resume_key = {}});
  checkpoint::CheckpointWriter::Finish finish;
  if (state.options.quantizes_kv_cache) finish.kv_cache = DType::fp8_e4m3;
  for (size_t slice = 0; slice < state.parts.size(); ++slice) {
    if (progress)
      progress({.stage = "writing the checkpoint",
                .done = slice,
                .total = state.parts.size(),
                .unit = "layers"});
    const LayerFile file = LayerFile::open(state.file_of(slice));
    if (state.options.quantizes_kv_cache && slice < state.slices.layers.size())
      finish.kv_scales.push_back(file.kv());
    for (size_t i = 0; i < state.treatments.size(); ++i)
      for (const LinearReport& report : file.reports().at(i)) {
        const auto found = treatments.find(report.module);
        if (found == treatments.end() || found->second != i) continue;
        const Treatment& treatment = state.treatments[i];
        add_linear(writer, treatment, report, file.read_linear(i, report.module, treatment.weight));
      }
    for (const std::string& name : file.changed()) {
      constexpr std::string_view kSuffix = ".weight";
      if (name.ends_with(kSuffix) &&
          treatments.contains(name.substr(0, name.size() - kSuffix.size())))
        continue;
      const checkpoint::TensorInfo info = *state.source.find(name);
      writer.add_tensor(name, info, to_stored(file.read_changed(name), info.dtype));
    }
  }
  writer.commit(finish, progress);
}

void QuantizeJob::publish(const fs::path& written) const {
  checkpoint::CheckpointWriter::publish(written, state_->options.model, state_->options.output,
                                        state_->existing());
}

}  // namespace veloz::compress
