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
#include "checkpoint/model_files.h"
#include "checkpoint/rope_config.h"

namespace veloz::checkpoint {
namespace {

struct ArchitectureName {
  std::string_view name;
  std::string_view model_type;
  Architecture architecture;
};
constexpr std::array<ArchitectureName, 3> kArchitectures = {{
    {"GPTJForCausalLM", "gptj", Architecture::gptj},
    {"LlamaForCausalLM", "llama", Architecture::llama},
    {"Qwen2ForCausalLM", "qwen2", Architecture::qwen2},
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

/// By the first of "architectures"; a configuration saved without a model has only "model_type".
Architecture parse_architecture(const ConfigFields& fields) {
  std::string name;
  if (fields.has("architectures")) {
    const nlohmann::json& list = fields.at("architectures");
    if (list.is_array() && !list.empty() && list[0].is_string()) name = list[0].get<std::string>();
  }
  const std::string model_type = name.empty() ? fields.try_string("model_type").value_or("") : "";
  for (const ArchitectureName& entry : kArchitectures)
    if (entry.name == name || entry.model_type == model_type) return entry.architecture;
  std::vector<std::string_view> known;
  known.reserve(std::size(kArchitectures));
  for (const ArchitectureName& entry : kArchitectures) known.push_back(entry.name);
  if (name.empty()) name = model_type.empty() ? "none" : model_type;
  not_supported(fmt::format("architecture {} is not supported", shown(name)),
                fmt::format("supported are {}", fmt::join(known, ", ")));
}

Activation parse_activation(const ConfigFields& fields, const char* key,
                            std::string_view fallback) {
  const std::string name = fields.try_string(key).value_or(std::string(fallback));
  for (const auto& [known, activation] : kActivations)
    if (known == name) return activation;
  not_supported(fmt::format("\"{}\" is {}, which is not supported", key, shown(name)),
                "supported are silu, swish, gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, relu");
}

std::optional<DType> parse_dtype(const ConfigFields& fields) {
  std::optional<std::string> name = fields.try_string("dtype");
  if (!name) name = fields.try_string("torch_dtype");
  if (!name) return std::nullopt;
  if (name == "float32") return DType::fp32;
  if (name == "float16") return DType::fp16;
  if (name == "bfloat16") return DType::bf16;
  not_supported(fmt::format("dtype {} is not supported", shown(*name)),
                "supported are float32, float16, bfloat16");
}

std::optional<int64_t> parse_token_id(const ConfigFields& fields, const char* key,
                                      std::optional<int64_t> fallback) {
  if (!fields.contains(key)) return fallback;
  const std::optional<int64_t> id = fields.try_int(key, kTokenIds);
  return id == -1 ? std::nullopt : id;
}

/// `config` holds the defaults of its architecture, which stand for absent keys, not for null.
void parse_token_ids(const ConfigFields& fields, ModelConfig& config) {
  config.bos_token_id = parse_token_id(fields, "bos_token_id", config.bos_token_id);
  config.pad_token_id = parse_token_id(fields, "pad_token_id", config.pad_token_id);
  if (!fields.contains("eos_token_id")) return;
  config.eos_token_ids = fields.get_ints("eos_token_id", kTokenIds);
  std::erase(config.eos_token_ids, -1);
}

/// Qwen2's window is off unless use_sliding_window, then it bounds the layers from
/// max_window_layers on, or those that layer_types names.
void refuse_sliding_window(const ConfigFields& fields, const ModelConfig& config) {
  if (!fields.get_bool("use_sliding_window", false)) return;
  // A null window is none; an absent one has its default.
  if (fields.contains("sliding_window") && !fields.has("sliding_window")) return;
  const int64_t window = fields.get_int("sliding_window", kPositions, 4096);
  bool has_window_layers =
      fields.get_int("max_window_layers", {0, kPositions.high}, 28) < config.num_layers;
  if (fields.has("layer_types")) {
    const nlohmann::json& types = fields.at("layer_types");
    has_window_layers = !types.is_array() || std::ranges::any_of(types, [](const auto& type) {
      return type != "full_attention";
    });
  }
  if (has_window_layers && window < config.max_position_embeddings)
    not_supported(
        fmt::format("sliding-window attention (\"sliding_window\" {}) is not supported", window),
        "supported is full attention (\"use_sliding_window\" false)");
}

/// GPT-J's own names of sizes, or the general ones that transformers takes as well.
int64_t get_size(const ConfigFields& fields, const char* own_key, const char* general_key,
                 Range<int64_t> range, int64_t fallback) {
  return fields.get_int(own_key, range, fields.get_int(general_key, range, fallback));
}

ModelConfig parse_gptj(const ConfigFields& fields) {
  ModelConfig config;
  config.hidden_size = get_size(fields, "n_embd", "hidden_size", kHiddenSizes, 4096);
  config.num_layers = get_size(fields, "n_layer", "num_hidden_layers", kLayerCounts, 28);
  config.num_heads = get_size(fields, "n_head", "num_attention_heads", kHeadCounts, 16);
  config.num_kv_heads = config.num_heads;
  config.intermediate_size = fields.get_int("n_inner", kIntermediateSizes, 4 * config.hidden_size);
  config.vocab_size = fields.get_int("vocab_size", kVocabSizes, 50400);
  config.max_position_embeddings =
      get_size(fields, "n_positions", "max_position_embeddings", kPositions, 2048);
  config.norm_eps = fields.get_float("layer_norm_epsilon", kNormEpsilons, 1e-5);
  config.activation = parse_activation(fields, "activation_function", "gelu_new");
  config.tie_word_embeddings = fields.get_bool("tie_word_embeddings", false);
  if (config.hidden_size % config.num_heads != 0)
    refuse(fmt::format("\"n_embd\" {} is not a multiple of \"n_head\" {}", config.hidden_size,
                       config.num_heads),
           "check config.json");
  config.head_dim = config.hidden_size / config.num_heads;
  config.rope.style = RopeStyle::interleaved;
  if (fields.contains("rotary_dim") && !fields.has("rotary_dim"))
    refuse("\"rotary_dim\" is null, it must be a number", "check config.json");
  config.rope.rotary_dim = fields.get_int("rotary_dim", kHeadDims, 64);
  config.eos_token_ids = {50256};
  config.bos_token_id = 50256;
  return config;
}

/// Llama and Qwen2 differ in defaults and in where biases are.
ModelConfig parse_llama(const ConfigFields& fields, bool is_qwen) {
  ModelConfig config;
  config.hidden_size = fields.get_int("hidden_size", kHiddenSizes, 4096);
  config.num_layers = fields.get_int("num_hidden_layers", kLayerCounts, 32);
  config.num_heads = fields.get_int("num_attention_heads", kHeadCounts, 32);
  const bool has_default_kv_heads = is_qwen && !fields.contains("num_key_value_heads");
  config.num_kv_heads = fields.get_int("num_key_value_heads", kHeadCounts,
                                       has_default_kv_heads ? 32 : config.num_heads);
  config.intermediate_size =
      fields.get_int("intermediate_size", kIntermediateSizes, is_qwen ? 22016 : 11008);
  config.vocab_size = fields.get_int("vocab_size", kVocabSizes, is_qwen ? 151936 : 32000);
  config.max_position_embeddings =
      fields.get_int("max_position_embeddings", kPositions, is_qwen ? 32768 : 2048);
  config.norm_eps = fields.get_float("rms_norm_eps", kNormEpsilons, 1e-6);
  config.activation = parse_activation(fields, "hidden_act", "silu");
  config.tie_word_embeddings = fields.get_bool("tie_word_embeddings", false);
  if (!fields.has("head_dim") && config.hidden_size % config.num_heads != 0)
    refuse(fmt::format("\"hidden_size\" {} is not a multiple of \"num_attention_heads\" {}",
                       config.hidden_size, config.num_heads),
           "check config.json, or give \"head_dim\"");
  config.head_dim = fields.get_int("head_dim", kHeadDims, config.hidden_size / config.num_heads);
  config.qkv_bias = is_qwen || fields.get_bool("attention_bias", false);
  config.o_bias = !is_qwen && config.qkv_bias;
  config.mlp_bias = !is_qwen && fields.get_bool("mlp_bias", false);
  parse_rope(fields, config);
  if (is_qwen) {
    refuse_sliding_window(fields, config);
  } else {
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
  if (config.head_dim < kHeadDims.low || config.head_dim > kHeadDims.high ||
      config.head_dim % 2 != 0)
    refuse(fmt::format("a head has {} channels, it must have an even number from {} to {}",
                       config.head_dim, kHeadDims.low, kHeadDims.high),
           "check \"head_dim\" in config.json, or hidden size and number of heads");
  if (config.num_heads * config.head_dim > kHiddenSizes.high)
    refuse(fmt::format("{} heads of {} channels are {}, at most {} are read", config.num_heads,
                       config.head_dim, config.num_heads * config.head_dim, kHiddenSizes.high),
           "check config.json");
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
  if (!object.is_object())
    throw Error(ErrorKind::corrupt_data, "it is no JSON object", "download it again");
  const ConfigFields fields(object);
  const Architecture architecture = parse_architecture(fields);
  ModelConfig config = architecture == Architecture::gptj
                           ? parse_gptj(fields)
                           : parse_llama(fields, architecture == Architecture::qwen2);
  config.architecture = architecture;
  config.dtype = parse_dtype(fields);
  parse_token_ids(fields, config);
  check_heads(config);
  return config;
}

ModelConfig load_model_config(const std::filesystem::path& model_dir) {
  require_directory(model_dir);
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
