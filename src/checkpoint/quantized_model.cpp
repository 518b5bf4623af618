// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/quantized_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/config_limits.h"
#include "checkpoint/formats/format_reader.h"
#include "checkpoint/formats/scheme_rules.h"
#include "checkpoint/json_text.h"
#include "checkpoint/model_config.h"
#include "checkpoint/model_files.h"

namespace veloz::checkpoint {
namespace {

namespace fs = std::filesystem;

using FormatReader = FormatContent (*)(const FormatInput&);
constexpr std::array<std::pair<std::string_view, FormatReader>, 5> kFormats = {{
    {"modelopt", read_modelopt},
    {"compressed-tensors", read_compressed_tensors},
    {"fp8", read_fp8},
    {"awq", read_awq},
    {"gptq", read_gptq},
}};

/// Quantized linears under their canonical names, everything else as the files have it.
class QuantizedSource final : public TensorSource {
 public:
  explicit QuantizedSource(Checkpoint files) : files_(std::move(files)) {}

  const Checkpoint& files() const { return files_; }
  void set_content(FormatContent content) { content_ = std::move(content); }

  std::optional<TensorInfo> find(std::string_view name) const override {
    const auto [linear, part] = split(name);
    if (linear == nullptr) return files_.find(name);
    const LinearScheme& scheme = linear->scheme();
    if (part == "weight") return linear->weight_info();
    if (part == "weight_scale") return linear->scales_info();
    if (part == "weight_zero" && scheme.has_zeros) return linear->zeros_info();
    if (part == "permutation" && scheme.has_permutation)
      return TensorInfo{DType::int32, {linear->columns()}};
    return part == "bias" ? files_.find(name) : std::nullopt;
  }

  void read_rows(std::string_view name, int64_t row_begin, int64_t row_end,
                 std::span<std::byte> to) const override {
    const auto [linear, part] = split(name);
    if (linear == nullptr || part == "bias") return files_.read_rows(name, row_begin, row_end, to);
    const std::optional<TensorInfo> info = find(name);
    VELOZ_CHECK(info.has_value(), "tensor {} is not in the checkpoint", name);
    const int64_t row_elements = info->shape.rank() == 1 ? 1 : info->shape[1];
    VELOZ_CHECK(0 <= row_begin && row_begin <= row_end && row_end <= info->shape[0] &&
                    to.size() == static_cast<size_t>((row_end - row_begin) * row_elements) *
                                     dtype_bytes(info->dtype),
                "rows [{}, {}) of {} into {} bytes", row_begin, row_end, name, to.size());
    if (part == "weight") return linear->read_weight(row_begin, row_end, to);
    if (part == "weight_scale") return linear->read_scales(row_begin, row_end, to);
    if (part == "weight_zero") return linear->read_zeros(row_begin, row_end, to);
    std::memcpy(to.data(), linear->permutation().data() + row_begin, to.size());
  }

 private:
  /// The linear a tensor belongs to, and which of its tensors; null for all others.
  std::pair<const StoredLinear*, std::string_view> split(std::string_view name) const {
    const size_t dot = name.rfind('.');
    if (dot == std::string_view::npos) return {nullptr, name};
    const auto found = content_.linears.find(name.substr(0, dot));
    if (found == content_.linears.end()) return {nullptr, name};
    return {found->second.get(), name.substr(dot + 1)};
  }

  Checkpoint files_;
  FormatContent content_;  // its linears read files_
};

/// What names the quantization of a model, and the file it stands in.
struct QuantizationConfig {
  std::string method;
  nlohmann::json config;
  fs::path path;
};

nlohmann::json read_object(const fs::path& path) {
  nlohmann::json object = parse_json(read_text_file(path, kMaxConfigBytes));
  if (!object.is_object())
    throw Error(ErrorKind::corrupt_data, fmt::format("\"{}\" is no JSON object", path.string()),
                "download it again");
  return object;
}

std::string lower_case(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

/// What a file of its own says.
std::optional<QuantizationConfig> find_quant_config_file(const fs::path& model_dir) {
  for (const auto& [name, method] : kQuantConfigFiles) {
    const fs::path path = model_dir / name;
    if (!has_file(path)) continue;
    QuantizationConfig result{method, read_object(path), path};
    const auto named = result.config.find("quant_method");
    if (named != result.config.end() && named->is_string())
      result.method = lower_case(named->get<std::string>());
    return result;
  }
  return std::nullopt;
}

/// ModelOpt's own file says more than what it writes into config.json.
std::optional<QuantizationConfig> find_quantization(const fs::path& model_dir) {
  const fs::path config_path = model_dir / "config.json";
  nlohmann::json model_config = read_object(config_path);
  const auto found = model_config.find("quantization_config");
  QuantizationConfig result{"", nlohmann::json::object(), config_path};
  if (found != model_config.end() && !found->is_null()) {
    if (!found->is_object())
      throw Error(ErrorKind::invalid_input,
                  fmt::format("\"quantization_config\" is {}, it must be an object", shown(*found)),
                  "check that the file is the one the model was published with");
    const auto method = found->find("quant_method");
    if (method != found->end() && method->is_string())
      result.method = lower_case(method->get<std::string>());
    else if (found->contains("quant_algo"))  // as the first exports were
      result.method = "modelopt";
    else
      result.method = "none";
    result.config = std::move(*found);
  }
  const bool is_said_better =
      result.method == "modelopt" && has_file(model_dir / kModelOptConfigFile);
  if (result.method.empty() || is_said_better) return find_quant_config_file(model_dir);
  return result;
}

FormatReader find_reader(const std::string& method) {
  std::vector<std::string_view> known;
  for (const auto& [name, reader] : kFormats) {
    if (name == method) return reader;
    known.push_back(name);
  }
  refuse_value("quant_method", method, fmt::format("{}", fmt::join(known, ", ")));
}

}  // namespace

std::optional<QuantizedModel> open_quantized(const fs::path& model_dir) {
  const ModelConfig model_config = load_model_config(model_dir);
  std::optional<QuantizationConfig> quantization = find_quantization(model_dir);
  if (!quantization) return std::nullopt;
  try {
    const FormatReader read = find_reader(quantization->method);
    auto source = std::make_unique<QuantizedSource>(Checkpoint::open(model_dir));
    FormatContent content = read({source->files(), quantization->config, model_config.num_layers});
    QuantizedModel model;
    for (const auto& [module, linear] : content.linears)
      model.plan.linears[module] = linear->scheme();
    model.plan.kv_cache = content.kv_cache;
    model.plan.kv_scales = std::move(content.kv_scales);
    model.plan.name = plan_name(model.plan, quantization->method);
    source->set_content(std::move(content));
    model.tensors = std::move(source);
    return model;
  } catch (Error& e) {
    e.add_context(fmt::format("\"{}\"", quantization->path.string()));
    throw;
  }
}

}  // namespace veloz::checkpoint
