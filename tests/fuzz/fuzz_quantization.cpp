// SPDX-License-Identifier: Apache-2.0
// Hostile quantization configs over tensors that are whole: whatever the config says,
// open_quantized throws Error or gives linears whose every row can be read or is refused. The first
// byte chooses the format, the rest are edits to a good config, so that deep fields are reached.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/quantized_model.h"
#include "fuzz/edits.h"
#include "support/checkpoint_files.h"
#include "support/temp_directory.h"

namespace veloz {
namespace {

constexpr std::string_view kModel =
    R"({"architectures":["LlamaForCausalLM"],"hidden_size":64,"num_hidden_layers":2,)"
    R"("num_attention_heads":4,"quantization_config":)";
constexpr std::array<std::string_view, 5> kConfigs = {
    R"({"quant_method":"modelopt","quant_algo":"FP8","ignore":["lm_head*"],)"
    R"("kv_cache_scheme":{"dynamic":false,"num_bits":8,"type":"float"}})",
    R"({"quant_method":"compressed-tensors","format":"mixed-precision","ignore":["lm_head"],)"
    R"("config_groups":{"a":{"targets":["re:0.*q$"],"weights":{"num_bits":8,"type":"float",)"
    R"("strategy":"tensor"},"input_activations":{"num_bits":8,"type":"float","strategy":"token",)"
    R"("dynamic":true}},"b":{"targets":["Linear"],"weights":{"num_bits":4,"type":"int",)"
    R"("strategy":"group","group_size":32}}}})",
    R"({"quant_method":"fp8","activation_scheme":"dynamic","weight_block_size":[8,32]})",
    R"({"quant_method":"awq","bits":4,"group_size":32,"zero_point":true,"version":"gemm"})",
    R"({"quant_method":"gptq","bits":4,"group_size":32,"desc_act":true,"sym":false})"};

std::string filled(size_t bytes, char value) { return std::string(bytes, value); }
std::string floats(size_t count) {
  std::string data;
  const float one = 1;
  for (size_t i = 0; i < count; ++i) data.append(reinterpret_cast<const char*>(&one), sizeof(one));
  return data;
}

/// Modules of every layout side by side: each format finds its own.
std::vector<test::FileTensor> tensors() {
  const std::array<int64_t, 2> shape = {16, 64};
  return {{"0.q.weight", "F8_E4M3", {16, 64}, filled(1024, '\x38')},
          {"0.q.weight_scale", "F32", {1}, floats(1)},
          {"0.q.weight_scale_inv", "F32", {2, 2}, floats(4)},
          {"0.q.input_scale", "F32", {1}, floats(1)},
          {"1.k.weight_packed", "I32", {16, 8}, filled(512, '\x5a')},
          {"1.k.weight_shape", "I64", {2}, test::bytes_of<int64_t>(shape)},
          {"1.k.weight_scale", "F32", {16, 2}, floats(32)},
          {"1.k.weight_zero_point", "I32", {2, 2}, filled(16, '\x77')},
          {"1.v.qweight", "I32", {8, 64}, filled(2048, '\x21')},
          {"1.v.qzeros", "I32", {2, 8}, filled(64, '\x77')},
          {"1.v.scales", "F32", {2, 64}, floats(128)}};
}

void read_all(const checkpoint::QuantizedModel& model) {
  for (const auto& [module, scheme] : model.plan.linears) {
    for (const char* part : {".weight", ".weight_scale", ".weight_zero", ".permutation"}) {
      const auto info = model.tensors->find(module + part);
      if (!info) continue;
      std::vector<std::byte> data(static_cast<size_t>(info->shape.num_elements()) *
                                  dtype_bytes(info->dtype));
      model.tensors->read_rows(module + part, 0, info->shape[0], data);
    }
  }
}

void read_config(std::string_view data) {
  static const test::TempDirectory dir;
  static const bool is_written = [] {
    test::write_bytes(dir.path() / "model.safetensors", test::safetensors_bytes(tensors()));
    return true;
  }();
  VELOZ_CHECK(is_written, "no tensors");
  const std::string_view good = kConfigs[static_cast<unsigned char>(data[0]) % std::size(kConfigs)];
  const std::string config = test::edited(std::string(good), data.substr(1));
  test::write_bytes(dir.path() / "config.json", std::string(kModel) + config + "}");
  if (const auto model = checkpoint::open_quantized(dir.path())) read_all(*model);
}

}  // namespace
}  // namespace veloz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  try {
    veloz::read_config({reinterpret_cast<const char*>(data), size});
  } catch (const veloz::Error& e) {
    // Anything else, a failed check included, is a bug.
    if (e.kind() == veloz::ErrorKind::internal) std::abort();
  }
  return 0;
}
