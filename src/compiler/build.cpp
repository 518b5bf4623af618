// SPDX-License-Identifier: Apache-2.0
#include "compiler/build.h"

#include <fmt/format.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string_view>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/verdict.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/dummy_weights.h"
#include "checkpoint/gate.h"
#include "checkpoint/generation_config.h"
#include "checkpoint/model_config.h"
#include "checkpoint/quantized_model.h"
#include "compiler/lower.h"
#include "compiler/pack_weights.h"
#include "compiler/pipeline.h"
#include "compiler/quant_plan_text.h"
#include "compiler/quantize_activations.h"
#include "compiler/quantized_tensors.h"
#include "compiler/rtn_source.h"
#include "models/model.h"

namespace veloz::compiler {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxTokenizerBytes = uint64_t{256} << 20;
constexpr int64_t kDefaultMaxModelLen = 8192;  // where the model would take more, the user says so

// What text/ reads, as it was.
constexpr const char* kTokenizerFiles[] = {
    "tokenizer.json",    "tokenizer.model",     "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "chat_template.jinja", "chat_template.json"};
constexpr const char* kGenerationConfig = "generation_config.json";

std::string_view to_string(LoadFormat format) {
  switch (format) {
    case LoadFormat::safetensors:
      break;
    case LoadFormat::dummy:
      return "dummy";
    case LoadFormat::dummy_at_load:
      return "dummy-at-load";
  }
  return "safetensors";
}

DType choose_dtype(DTypeChoice choice, const checkpoint::ModelConfig& config) {
  switch (choice) {
    case DTypeChoice::bf16:
      return DType::bf16;
    case DTypeChoice::fp32:
      return DType::fp32;
    case DTypeChoice::automatic:
      break;
  }
  return config.dtype == DType::fp32 ? DType::fp32 : DType::bf16;
}

/// generation_config.json as it stands, "" where there is none, and what it says.
struct GenerationDefaults {
  std::string text;
  checkpoint::GenerationConfig config;
};

GenerationDefaults read_generation_config(const fs::path& model_dir) {
  const fs::path path = model_dir / kGenerationConfig;
  if (!fs::exists(path)) return {};
  std::string text = read_text_file(path, uint64_t{1} << 20);
  try {
    checkpoint::GenerationConfig config = checkpoint::parse_generation_config(text);
    return {std::move(text), std::move(config)};
  } catch (Error& e) {
    e.add_context(fmt::format("\"{}\"", path.string()));
    throw;
  }
}

engine::Limits resolve_limits(const CompileOptions& options,
                              const checkpoint::ModelConfig& config) {
  engine::Limits limits = options.limits;
  if (limits.max_model_len == 0)
    limits.max_model_len = std::min(config.max_position_embeddings, kDefaultMaxModelLen);
  if (limits.max_model_len > config.max_position_embeddings)
    throw Error(ErrorKind::invalid_input,
                fmt::format("--max-model-len {} exceeds the {} positions the model was trained for",
                            limits.max_model_len, config.max_position_embeddings),
                fmt::format("use at most {}{}", config.max_position_embeddings,
                            config.rope.dynamic_beyond
                                ? "; rope scaling \"dynamic\" would begin there, which is not "
                                  "supported: results would depend on how a prompt is cut"
                                : ""));
  const auto require = [](bool is_fine, const char* flag, int64_t value, const char* limit) {
    if (!is_fine)
      throw Error(ErrorKind::invalid_input,
                  fmt::format("{} is {}, it must be {}", flag, value, limit),
                  "give a value in that range, or leave it out");
  };
  constexpr int64_t kMaxTokens = 1 << 20;
  constexpr int64_t kMaxSeqs = 1 << 16;
  require(limits.max_num_seqs >= 1 && limits.max_num_seqs <= kMaxSeqs, "--max-num-seqs",
          limits.max_num_seqs, "from 1 to 65536");
  require(limits.max_num_batched_tokens >= limits.max_num_seqs &&
              limits.max_num_batched_tokens <= kMaxTokens,
          "--max-num-batched-tokens", limits.max_num_batched_tokens,
          "from --max-num-seqs to 1048576");
  require(limits.max_beam_width >= 1 && limits.max_beam_width <= limits.max_num_seqs,
          "--max-beam-width", limits.max_beam_width, "from 1 to --max-num-seqs");
  require(limits.block_size >= 16 && limits.block_size % 16 == 0 && limits.block_size <= 1024,
          "--block-size", limits.block_size, "a multiple of 16 from 16 to 1024");
  limits.max_logit_rows = limits.max_num_seqs;
  return limits;
}

struct Source {
  std::unique_ptr<checkpoint::TensorSource> tensors;
  std::string hash;
};

/// A checkpoint that is quantized already. Dummy weights are those of its unquantized model.
std::optional<checkpoint::QuantizedModel> open_quantized(const CompileOptions& options) {
  std::optional<checkpoint::QuantizedModel> model;
  if (options.load_format == LoadFormat::safetensors)
    model = checkpoint::open_quantized(options.model);
  if (model && !options.quantization.is_empty())
    throw Error(
        ErrorKind::invalid_input,
        fmt::format("\"{}\" is quantized already: {}", options.model.string(), model->plan.name),
        "leave out --quant, or give the checkpoint it was made of");
  if (options.quantizes_activations && !model)
    throw Error(ErrorKind::invalid_input,
                fmt::format("--quant-activations int8 is for quantized checkpoints, \"{}\" is none",
                            options.model.string()),
                "leave it out, or quantize weights and activations with --quant int4 or int8");
  if (options.quantizes_activations) quantize_activations(model->plan);
  return model;
}

/// The KV cache is as asked for, or else as the checkpoint was quantized for (`plan`, or null), or
/// else as the activations.
models::GraphOptions graph_options_for(const CompileOptions& options, DType dtype,
                                       const engine::Limits& limits,
                                       const checkpoint::QuantPlan* plan) {
  const std::optional<DType> quantized_for = plan == nullptr ? std::nullopt : plan->kv_cache;
  models::GraphOptions graph{
      .dtype = dtype,
      .kv_cache_dtype = options.kv_cache_dtype.value_or(quantized_for.value_or(dtype)),
      .block_size = limits.block_size};
  if (plan != nullptr && graph.kv_cache_dtype == DType::fp8_e4m3) graph.kv_scales = plan->kv_scales;
  return graph;
}

/// `quantized` are the tensors of a quantized checkpoint, or null.
Source open_source(const CompileOptions& options, const std::string& config_text,
                   const graph::Graph& graph, std::unique_ptr<checkpoint::TensorSource> quantized) {
  StreamHasher hasher;
  hasher.update(config_text);
  if (options.load_format == LoadFormat::safetensors) {
    auto files =
        std::make_unique<checkpoint::Checkpoint>(checkpoint::Checkpoint::open(options.model));
    hasher.update(files->fingerprint());
    for (const auto& [name, method] : checkpoint::kQuantConfigFiles)
      if (const fs::path path = options.model / name; fs::exists(path))
        hasher.update(read_text_file(path, kMaxTokenizerBytes));
    if (quantized) return {std::move(quantized), hasher.hex_digest()};
    return {std::move(files), hasher.hex_digest()};
  }
  auto dummy = std::make_unique<checkpoint::DummyWeights>(options.seed);
  for (const graph::ValueId id : graph.values_of_kind(graph::ValueKind::weight)) {
    for (const graph::WeightSegment& segment : graph.value(id).segments) {
      Shape shape = graph.value(id).type.bind({});
      shape[0] = segment.rows;
      dummy->declare(segment.tensor, shape);
    }
  }
  hasher.update(fmt::format("dummy {}", options.seed));
  return {std::move(dummy), hasher.hex_digest()};
}

engine::ModelFacts facts_of(const checkpoint::ModelConfig& config, const graph::Graph& graph,
                            const models::GraphOptions& options, const fs::path& model_dir,
                            const GenerationDefaults& generation) {
  engine::ModelFacts facts;
  facts.architecture = checkpoint::to_string(config.architecture);
  facts.name = fs::weakly_canonical(model_dir).filename().string();
  facts.dtype = options.dtype;
  facts.kv_cache_dtype = options.kv_cache_dtype;
  facts.num_layers = config.num_layers;
  facts.hidden_size = config.hidden_size;
  facts.num_heads = config.num_heads;
  facts.num_kv_heads = config.num_kv_heads;
  facts.head_dim = config.head_dim;
  facts.vocab_size = config.vocab_size;
  for (const graph::ValueId id : graph.values_of_kind(graph::ValueKind::weight))
    facts.num_parameters += graph.value(id).type.bind({}).num_elements();
  facts.eos_token_ids = config.eos_token_ids;
  facts.bos_token_id = config.bos_token_id;
  facts.pad_token_id = config.pad_token_id;
  facts.generation_config = generation.text;
  // It is the newer file of the two, and chat models list all their ends only here.
  if (!generation.config.eos_token_ids.empty())
    facts.eos_token_ids = generation.config.eos_token_ids;
  return facts;
}

std::vector<std::string> describe(const std::vector<PassRecord>& records) {
  std::vector<std::string> lines;
  for (const PassRecord& record : records) {
    lines.push_back(record.is_disabled
                        ? fmt::format("{}: disabled", record.pass)
                        : fmt::format("{}: {} rewrites", record.pass, record.report.num_rewrites));
    for (const std::string& remark : record.report.remarks) lines.push_back("  " + remark);
  }
  return lines;
}

/// Of the linears asked for, those that the graph runs quantized.
std::map<std::string, RtnLinear> quantized_linears(const graph::Graph& graph,
                                                   const RequestedQuantization& requested) {
  std::map<std::string, RtnLinear> linears = requested.linears;
  const std::set<std::string> modules = quantized_modules(graph);
  std::erase_if(linears, [&](const auto& entry) { return !modules.contains(entry.first); });
  return linears;
}

/// What the build was asked to quantize and the graph does not.
std::vector<std::string> left_as_they_are(const graph::Graph& graph,
                                          const RequestedQuantization& requested) {
  const std::set<std::string> modules = quantized_modules(graph);
  std::vector<std::string> left;
  for (const auto& entry : requested.linears)
    if (!modules.contains(entry.first)) left.push_back(entry.first);
  if (left.empty()) return {};
  return {fmt::format("{} linears are not quantized, \"{}\" is one; `veloz inspect` says why",
                      left.size(), left.front())};
}

/// What is stored as codes must be run as codes.
void require_all_quantized(const graph::Graph& graph, const checkpoint::QuantPlan& plan) {
  const graph::UseMap uses(graph);
  for (const graph::Node& node : graph.nodes()) {
    if (node.op != ops::Op::linear) continue;
    const std::optional<std::string> module = module_of(graph, uses, node);
    const auto scheme = module ? plan.linears.find(*module) : plan.linears.end();
    if (scheme == plan.linears.end()) continue;
    throw Error(ErrorKind::unsupported,
                fmt::format("no op runs \"{}\" as it is quantized ({}): {}", *module,
                            describe_scheme(scheme->second),
                            why_not_quantizable(scheme->second, graph, node)
                                .value_or("the pass quantize is disabled")),
                "give the checkpoint it was made of, or quantize that in another way");
  }
}

std::optional<engine::QuantizationFacts> summary_of(const graph::Graph& graph,
                                                    const checkpoint::QuantPlan& plan) {
  if (plan.is_empty()) return std::nullopt;
  std::map<std::string, int64_t> counts;
  for (const std::string& module : quantized_modules(graph))
    ++counts[describe_scheme(plan.linears.at(module))];
  return engine::QuantizationFacts{plan.name, {counts.begin(), counts.end()}};
}

/// A checkpoint brings its verdict. Nobody has evaluated what a build quantizes beyond it, weights,
/// activations or cache, but that mends no FAIL.
void set_verdict(const CompileOptions& options, bool is_as_measured, engine::Manifest& manifest,
                 engine::EngineWriter& writer) {
  const std::optional<checkpoint::Gate> gate = checkpoint::load_gate(options.model);
  if (gate && (is_as_measured || gate->verdict == kVerdictFail)) {
    writer.write_file(kEngineGateFile, gate->text);
    manifest.verdict = gate->verdict;
  } else if (gate || manifest.quantization) {
    manifest.verdict = kVerdictUngated;
  }
}

void copy_tokenizer(const fs::path& model_dir, engine::EngineWriter& writer) {
  for (const char* name : kTokenizerFiles) {
    const fs::path path = model_dir / name;
    if (fs::exists(path))
      writer.write_file(fmt::format("tokenizer/{}", name),
                        read_text_file(path, kMaxTokenizerBytes));
  }
}

/// A model as its files and the options describe it, before the passes.
struct ImportedModel {
  checkpoint::ModelConfig config;
  engine::Limits limits;
  GenerationDefaults generation;
  std::optional<checkpoint::QuantizedModel> quantized;  // where the checkpoint is
  models::GraphOptions graph_options;
  graph::Graph graph;
  engine::ModelFacts facts;
};

ImportedModel import_model(const CompileOptions& options) {
  ImportedModel model;
  model.config = checkpoint::load_model_config(options.model);
  const DType dtype = choose_dtype(options.dtype, model.config);
  model.limits = resolve_limits(options, model.config);
  model.generation = read_generation_config(options.model);
  model.quantized = open_quantized(options);
  model.graph_options = graph_options_for(options, dtype, model.limits,
                                          model.quantized ? &model.quantized->plan : nullptr);
  model.graph = models::build_graph(model.config, model.graph_options);
  model.facts =
      facts_of(model.config, model.graph, model.graph_options, options.model, model.generation);
  return model;
}

}  // namespace

CompileReport compile(const CompileOptions& options, const ops::KernelRegistry& target,
                      ThreadPool& pool, const ProgressSink& progress) {
  ImportedModel model = import_model(options);
  const checkpoint::ModelConfig& config = model.config;
  const DType dtype = model.graph_options.dtype;
  std::optional<checkpoint::QuantizedModel>& quantized = model.quantized;
  graph::Graph& graph = model.graph;
  const std::string config_text = read_text_file(options.model / "config.json", uint64_t{16} << 20);
  const Source source =
      open_source(options, config_text, graph, quantized ? std::move(quantized->tensors) : nullptr);
  if (!quantized) check_tensors(graph, *source.tensors);
  const std::string imported = graph::print(graph);

  const RequestedQuantization requested =
      quantized ? RequestedQuantization{std::move(quantized->plan), {}}
                : plan_quantization(graph, options.quantization);
  const std::vector<PassRecord> records = run_pipeline(
      graph,
      {.disabled_passes = options.disabled_passes, .quantization = &requested.plan, .on_pass = {}});
  if (quantized) require_all_quantized(graph, requested.plan);
  const RtnSource tensors(*source.tensors, quantized_linears(graph, requested));
  check_tensors(graph, tensors);
  const LoweredGraph lowered = lower(graph, model.limits, target);

  const std::vector<size_t> weight_bytes = packed_sizes(lowered.plan, target);
  const bool holds_weights = options.load_format != LoadFormat::dummy_at_load;
  engine::EngineWriter writer = engine::EngineWriter::create(
      options.output, lowered.plan,
      holds_weights ? std::span<const size_t>(weight_bytes) : std::span<const size_t>(),
      options.existing);
  writer.write_file("graph.txt", graph::print(graph));
  writer.write_file(kImportedGraphFile, imported);
  if (!requested.plan.is_empty())
    writer.write_file(kQuantizationFile, print_quant_plan(requested.plan));
  copy_tokenizer(options.model, writer);

  CompileReport report;
  if (holds_weights)
    report.warnings = pack_weights(graph, lowered.plan, tensors, target, pool, progress, writer);
  for (std::string& warning : left_as_they_are(graph, requested))
    report.warnings.push_back(std::move(warning));
  if (config.dtype == DType::fp16 && dtype == DType::bf16)
    report.warnings.push_back(
        "the checkpoint is fp16; bf16 keeps 8 of its 11 significant bits (--dtype fp32 keeps all)");
  if (model.graph_options.kv_cache_dtype == DType::fp8_e4m3 &&
      model.graph_options.kv_scales.empty())
    report.warnings.push_back(
        "the checkpoint has no scales for an fp8 KV cache, so they are 1: keys and values beyond "
        "448 are cut off (--kv-cache-dtype int8 needs none)");
  for (const std::string& key : model.generation.config.unsupported_keys)
    report.warnings.push_back(fmt::format(
        "generation_config.json asks for \"{}\", which is not supported and has no effect", key));
  for (const size_t bytes : weight_bytes) report.weight_bytes += bytes;

  engine::Manifest manifest;
  manifest.producer = "veloz " VELOZ_VERSION;
  manifest.source_hash = source.hash;
  manifest.target = options.target;
  manifest.load_format = to_string(options.load_format);
  if (!holds_weights) manifest.dummy_seed = options.seed;
  manifest.model = std::move(model.facts);
  manifest.limits = model.limits;
  manifest.quantization = summary_of(graph, requested.plan);
  const bool is_as_measured =
      options.quantization.is_empty() && !options.quantizes_activations &&
      model.graph_options.kv_cache_dtype == requested.plan.kv_cache.value_or(dtype);
  set_verdict(options, is_as_measured, manifest, writer);
  manifest.pass_reports = describe(records);
  report.num_parameters = manifest.model.num_parameters;
  writer.commit(std::move(manifest), pool);
  return report;
}

PlannedModel plan_model(const CompileOptions& options, const ops::KernelRegistry& target) {
  ImportedModel model = import_model(options);
  const checkpoint::QuantPlan plan =
      model.quantized ? std::move(model.quantized->plan)
                      : plan_quantization(model.graph, options.quantization).plan;
  run_pipeline(model.graph,
               {.disabled_passes = options.disabled_passes, .quantization = &plan, .on_pass = {}});
  return {std::move(lower(model.graph, model.limits, target).plan), std::move(model.facts)};
}

std::string cache_key(const CompileOptions& options) {
  StreamHasher hasher;
  const auto add_file = [&](const fs::path& path) {
    if (fs::exists(path)) hasher.update(read_text_file(path, kMaxTokenizerBytes));
    hasher.update(";");
  };
  checkpoint::load_model_config(options.model);  // a directory that is no model is refused as such
  add_file(options.model / "config.json");
  for (const auto& [name, method] : checkpoint::kQuantConfigFiles) add_file(options.model / name);
  add_file(options.model / kGenerationConfig);
  for (const char* name : kTokenizerFiles) add_file(options.model / name);
  if (options.load_format == LoadFormat::safetensors)
    hasher.update(checkpoint::Checkpoint::open(options.model).fingerprint());
  const engine::Limits& limits = options.limits;
  hasher.update(fmt::format(
      "{} {} {} {} {} {}; {} {} {} {} {}; {}; " VELOZ_VERSION " {}.{}", options.target,
      static_cast<int>(options.dtype),
      options.kv_cache_dtype ? to_string(*options.kv_cache_dtype) : "auto",
      static_cast<int>(options.load_format), options.seed,
      fs::weakly_canonical(options.model).filename().string(), limits.max_model_len,
      limits.max_num_batched_tokens, limits.max_num_seqs, limits.max_beam_width, limits.block_size,
      fmt::join(options.disabled_passes, ","), engine::kFormatMajor, engine::kFormatMinor));
  hasher.update(options.quantization.text());
  if (options.quantizes_activations) hasher.update("int8 activations");
  add_file(options.model / checkpoint::kGateFile);
  return hasher.hex_digest();
}

}  // namespace veloz::compiler
