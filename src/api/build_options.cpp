// SPDX-License-Identifier: Apache-2.0
#include "api/build_options.h"

#include <fmt/format.h>

#include <optional>

#include "base/error.h"

namespace veloz::api {
namespace {

[[noreturn]] void refuse(const char* flag, const std::string& value, const char* known) {
  throw Error(ErrorKind::invalid_input, fmt::format("{} \"{}\" is not known", flag, value), known);
}

compiler::DTypeChoice parse_dtype(const std::string& text) {
  if (text == "auto") return compiler::DTypeChoice::automatic;
  if (text == "bf16" || text == "bfloat16") return compiler::DTypeChoice::bf16;
  if (text == "fp32" || text == "float32") return compiler::DTypeChoice::fp32;
  refuse("--dtype", text, "it is auto, bf16 or fp32");
}

std::optional<DType> parse_kv_cache_dtype(const std::string& text) {
  if (text == "auto") return std::nullopt;
  if (text == "bf16" || text == "bfloat16") return DType::bf16;
  if (text == "fp8" || text == "fp8_e4m3") return DType::fp8_e4m3;
  if (text == "int8") return DType::int8;
  refuse("--kv-cache-dtype", text, "it is auto, bf16, fp8 or int8");
}

bool parse_quant_activations(const std::string& text) {
  if (text == "auto" || text == "int8") return text == "int8";
  refuse("--quant-activations", text, "it is auto or int8");
}

compiler::LoadFormat parse_load_format(const std::string& text) {
  if (text == "safetensors") return compiler::LoadFormat::safetensors;
  if (text == "dummy") return compiler::LoadFormat::dummy;
  if (text == "dummy-at-load") return compiler::LoadFormat::dummy_at_load;
  refuse("--load-format", text, "it is safetensors, dummy or dummy-at-load");
}

}  // namespace

compiler::CompileOptions to_compile_options(const BuildOptions& options) {
  compiler::CompileOptions result;
  result.model = options.model;
  result.output = options.output;
  result.target = options.target;
  result.dtype = parse_dtype(options.dtype);
  result.kv_cache_dtype = parse_kv_cache_dtype(options.kv_cache_dtype);
  result.load_format = parse_load_format(options.load_format);
  result.seed = options.seed;
  result.quantization.scheme = options.quant;
  result.quantization.lm_head = options.quant_lm_head;
  for (const std::string& layer : options.quant_layers)
    result.quantization.layers.push_back(compiler::parse_quant_layer(layer));
  result.quantization.check();
  result.quantizes_activations = parse_quant_activations(options.quant_activations);
  if (options.max_model_len < 0)
    throw Error(
        ErrorKind::invalid_input,
        fmt::format("--max-model-len is {}, it must be at least 1, or 0 for the model's own",
                    options.max_model_len),
        "leave it out, or give the longest prompt and output together");
  result.limits.max_model_len = options.max_model_len;
  result.limits.max_num_batched_tokens = options.max_num_batched_tokens;
  result.limits.max_num_seqs = options.max_num_seqs;
  result.limits.max_beam_width = options.max_beam_width;
  result.limits.block_size = options.block_size;
  result.disabled_passes = options.disabled_passes;
  result.existing = options.replace_existing ? engine::EngineWriter::Existing::replace
                                             : engine::EngineWriter::Existing::refuse;
  return result;
}

}  // namespace veloz::api
