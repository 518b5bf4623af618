// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/model_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/config_fields.h"
#include "checkpoint/json_text.h"

namespace veloz::checkpoint {
namespace {

constexpr uint64_t kMaxConfigBytes = uint64_t{16} << 20;

// Far beyond any model there is, and small enough that products of two fit 64 bits easily.
constexpr int64_t kMaxHidden = 1 << 20;
constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxHeads = 1 << 14;
constexpr int64_t kMaxHeadDim = 1 << 12;
constexpr int64_t kMaxVocab = 1 << 24;
constexpr int64_t kMaxPositions = int64_t{1} << 28;

struct ArchitectureName {
  std::string_view name;
  Architecture architecture;
};
constexpr std::array<ArchitectureName, 3> kArchitectures = {{
    {"GPTJForCausalLM", Architecture::gptj},
    {"LlamaForCausalLM", Architecture::llama},
    {"Qwen2ForCausalLM", Architecture::qwen2},
}};

constexpr std::array<std::pair<std::string_view, Activation>, 7> kActivations = {{
    {"silu", Activation::silu},
    {"swish", Activation::silu},
    {"gelu", Activation::gelu},
    {"gelu_new", Activation::gelu_tanh},
    {"gelu_pytorch_tanh", Activation::gelu_tanh},
    {"gelu_fast", Activation::gelu_tanh},
    {"relu", Activation::relu},
}};

[[noreturn]] void refuse(const std::string& message, const std::string& hint) {
  throw Error(ErrorKind::invalid_input, message, hint);
}
[[noreturn]] void not_supported(const std::string& message, const std::string& hint) {
  throw Error(ErrorKind::unsupported, message, hint);
}

Architecture parse_architecture(const ConfigFields& fields) {
  std::string name = "none";
  if (fields.has("architectures")) {
    const nlohmann::json& list = fields.at("architectures");
    if (list.is_array() && !list.empty() && list[0].is_string()) name = list[0].get<std::string>();
  }
  for (const ArchitectureName& entry : kArchitectures)
    if (entry.name == name) return entry.architecture;
  std::vector<std::string_view> known;
  for (const ArchitectureName& entry : kArchitectures) known.push_back(entry.name);
  not_supported(fmt::format("architecture \"{}\" is not supported", name),
                fmt::format("supported are {}", fmt::join(known, ", ")));
}

Activation parse_activation(const ConfigFields& fields, const char* key,
                            std::string_view fallback) {
  const std::string name = fields.try_string(key).value_or(std::string(fallback));
  for (const auto& [known, activation] : kActivations)
    if (known == name) return activation;
  not_supported(fmt::format("\"{}\" is \"{}\", which is not supported", key, name),
                "supported are silu, swish, gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, relu");
}

std::optional<DType> parse_dtype(const ConfigFields& fields) {
  std::optional<std::string> name = fields.try_string("dtype");
  if (!name) name = fields.try_string("torch_dtype");
  if (!name) return std::nullopt;
  if (name == "float32") return DType::fp32;
  if (name == "float16") return DType::fp16;
  if (name == "bfloat16") return DType::bf16;
  not_supported(fmt::format("dtype \"{}\" is not supported", *name),
                "supported are float32, float16, bfloat16");
}

void parse_token_ids(const ConfigFields& fields, ModelConfig& config) {
  config.eos_token_ids = fields.get_ints("eos_token_id", -1, kMaxVocab);
  std::erase(config.eos_token_ids, -1);  // some configurations write "none" so
  config.bos_token_id = fields.try_int("bos_token_id", -1, kMaxVocab);
  config.pad_token_id = fields.try_int("pad_token_id", -1, kMaxVocab);
  if (config.bos_token_id == -1) config.bos_token_id.reset();
  if (config.pad_token_id == -1) config.pad_token_id.reset();
}

void refuse_quantized(const ConfigFields& fields) {
  if (!fields.has("quantization_config")) return;
  const nlohmann::json& quantization = fields.at("quantization_config");
  const std::string method =
      quantization.is_object()
          ? quantization.value("quant_method", nlohmann::json("unnamed")).dump()
          : quantization.dump();
  not_supported(fmt::format("the checkpoint is quantized ({})", method),
                "this version reads checkpoints with F32, F16 or BF16 weights");
}

/// rope_scaling (transformers 4) or rope_parameters (5): the same keys, the second with theta among
/// them.
void parse_rope_scaling(const nlohmann::json& object, const char* key, ModelConfig& config) {
  if (!object.is_object()) refuse(fmt::format("\"{}\" is no object", key), "check config.json");
  const ConfigFields fields(object);
  RopeConfig& rope = config.rope;
  rope.theta = fields.get_float("rope_theta", 1e-3, 1e12, rope.theta);
  std::optional<std::string> type = fields.try_string("rope_type");
  if (!type) type = fields.try_string("type");
  const std::string name = type.value_or("default");
  constexpr double kMaxFactor = 1e6;
  if (name == "default") return;
  if (name == "linear") {
    rope.scaling = RopeScaling::linear;
    rope.factor = fields.get_float("factor", 1e-6, kMaxFactor, 1.0);
  } else if (name == "llama3") {
    rope.scaling = RopeScaling::llama3;
    for (const char* needed :
         {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"})
      if (!fields.has(needed))
        refuse(fmt::format("\"{}\" of type llama3 lacks \"{}\"", key, needed), "check config.json");
    rope.factor = fields.get_float("factor", 1e-6, kMaxFactor, 1.0);
    rope.low_freq_factor = fields.get_float("low_freq_factor", 1e-6, kMaxFactor, 1.0);
    rope.high_freq_factor = fields.get_float("high_freq_factor", 1e-6, kMaxFactor, 1.0);
    rope.original_max_position_embeddings =
        fields.get_int("original_max_position_embeddings", 1, kMaxPositions, 1);
    if (rope.high_freq_factor <= rope.low_freq_factor)
      refuse(fmt::format("\"high_freq_factor\" is {}, it must exceed \"low_freq_factor\", {}",
                         rope.high_freq_factor, rope.low_freq_factor),
             "check config.json");
  } else if (name == "dynamic") {
    not_supported(
        "rope scaling \"dynamic\" is not supported: its angles depend on how far a sequence has "
        "grown, so "
        "results would depend on how a prompt is cut into chunks",
        "supported are default, linear, llama3; remove the entry to run within the trained length");
  } else {
    not_supported(fmt::format("rope scaling \"{}\" is not supported", name),
                  "supported are default, linear, llama3");
  }
}

ModelConfig parse_gptj(const ConfigFields& fields) {
  ModelConfig config;
  config.hidden_size = fields.get_int("n_embd", 1, kMaxHidden, 4096);
  config.num_layers = fields.get_int("n_layer", 1, kMaxLayers, 28);
  config.num_heads = fields.get_int("n_head", 1, kMaxHeads, 16);
  config.num_kv_heads = config.num_heads;
  config.intermediate_size = fields.get_int("n_inner", 1, kMaxHidden * 8, 4 * config.hidden_size);
  config.vocab_size = fields.get_int("vocab_size", 1, kMaxVocab, 50400);
  config.max_position_embeddings = fields.get_int("n_positions", 1, kMaxPositions, 2048);
  config.norm_eps = fields.get_float("layer_norm_epsilon", 0, 1, 1e-5);
  config.activation = parse_activation(fields, "activation_function", "gelu_new");
  config.tie_word_embeddings = fields.get_bool("tie_word_embeddings", false);
  if (config.hidden_size % config.num_heads != 0)
    refuse(fmt::format("\"n_embd\" {} is not a multiple of \"n_head\" {}", config.hidden_size,
                       config.num_heads),
           "check config.json");
  config.head_dim = config.hidden_size / config.num_heads;
  config.rope.style = RopeStyle::interleaved;
  config.rope.rotary_dim =
      fields.get_int("rotary_dim", 2, kMaxHeadDim, std::min<int64_t>(64, config.head_dim));
  config.eos_token_ids = {50256};
  config.bos_token_id = 50256;
  return config;
}

ModelConfig parse_llama(const ConfigFields& fields, bool is_qwen) {
  ModelConfig config;
  config.hidden_size = fields.get_int("hidden_size", 1, kMaxHidden, 4096);
  config.num_layers = fields.get_int("num_hidden_layers", 1, kMaxLayers, 32);
  config.num_heads = fields.get_int("num_attention_heads", 1, kMaxHeads, 32);
  config.num_kv_heads = fields.get_int("num_key_value_heads", 1, kMaxHeads, config.num_heads);
  config.intermediate_size =
      fields.get_int("intermediate_size", 1, kMaxHidden * 8, is_qwen ? 22016 : 11008);
  config.vocab_size = fields.get_int("vocab_size", 1, kMaxVocab, is_qwen ? 151936 : 32000);
  config.max_position_embeddings =
      fields.get_int("max_position_embeddings", 1, kMaxPositions, is_qwen ? 32768 : 2048);
  config.norm_eps = fields.get_float("rms_norm_eps", 0, 1, 1e-6);
  config.activation = parse_activation(fields, "hidden_act", "silu");
  config.tie_word_embeddings = fields.get_bool("tie_word_embeddings", false);
  if (!fields.has("head_dim") && config.hidden_size % config.num_heads != 0)
    refuse(fmt::format("\"hidden_size\" {} is not a multiple of \"num_attention_heads\" {}",
                       config.hidden_size, config.num_heads),
           "check config.json, or give \"head_dim\"");
  config.head_dim =
      fields.get_int("head_dim", 2, kMaxHeadDim, config.hidden_size / config.num_heads);
  config.qkv_bias = is_qwen || fields.get_bool("attention_bias", false);
  config.o_bias = !is_qwen && config.qkv_bias;
  config.mlp_bias = !is_qwen && fields.get_bool("mlp_bias", false);
  if (is_qwen && fields.get_bool("use_sliding_window", false))
    not_supported("sliding-window attention is not supported",
                  "supported is full attention (use_sliding_window false)");

  config.rope.theta = fields.get_float("rope_theta", 1e-3, 1e12, 10000.0);
  for (const char* key : {"rope_scaling", "rope_parameters"})
    if (fields.has(key)) parse_rope_scaling(fields.at(key), key, config);
  config.rope.rotary_dim = config.head_dim;
  if (!is_qwen) {
    config.eos_token_ids = {2};
    config.bos_token_id = 1;
  }
  return config;
}

void check_heads(const ModelConfig& config) {
  if (config.num_heads % config.num_kv_heads != 0)
    refuse(fmt::format("{} attention heads cannot share {} key-value heads evenly",
                       config.num_heads, config.num_kv_heads),
           "check num_attention_heads and num_key_value_heads in config.json");
  if (config.head_dim % 2 != 0)
    refuse(fmt::format("a head has {} channels; rotary embedding needs an even number",
                       config.head_dim),
           "check head_dim in config.json");
  if (config.rope.rotary_dim % 2 != 0 || config.rope.rotary_dim > config.head_dim)
    refuse(fmt::format("\"rotary_dim\" is {}, it must be even and at most the head's {} channels",
                       config.rope.rotary_dim, config.head_dim),
           "check config.json");
}

}  // namespace

std::string_view to_string(Architecture architecture) {
  switch (architecture) {
    case Architecture::gptj:
      return "gptj";
    case Architecture::llama:
      return "llama";
    case Architecture::qwen2:
      return "qwen2";
  }
  return "unknown";
}

ModelConfig parse_model_config(std::string_view json) {
  const nlohmann::json object = parse_json(json);
  if (!object.is_object()) throw Error(ErrorKind::corrupt_data, "it is no JSON object");
  const ConfigFields fields(object);
  const Architecture architecture = parse_architecture(fields);
  refuse_quantized(fields);
  ModelConfig config = architecture == Architecture::gptj
                           ? parse_gptj(fields)
                           : parse_llama(fields, architecture == Architecture::qwen2);
  config.architecture = architecture;
  config.dtype = parse_dtype(fields);
  if (fields.has("eos_token_id") || fields.has("bos_token_id")) parse_token_ids(fields, config);
  check_heads(config);
  return config;
}

ModelConfig load_model_config(const std::filesystem::path& model_dir) {
  const std::filesystem::path path = model_dir / "config.json";
  try {
    return parse_model_config(read_text_file(path, kMaxConfigBytes));
  } catch (Error& e) {
    if (e.kind() == ErrorKind::not_found)
      throw Error(
          ErrorKind::not_found,
          fmt::format("\"{}\" is no model directory: it has no config.json", model_dir.string()),
          "give a directory in Hugging Face layout (config.json, *.safetensors, tokenizer)");
    e.add_context(fmt::format("\"{}\"", path.string()));
    throw;
  }
}

}  // namespace veloz::checkpoint
