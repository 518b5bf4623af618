// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/format_reader.h"

#include <fmt/format.h>

#include "base/error.h"
#include "checkpoint/json_text.h"

namespace veloz::checkpoint {

std::vector<std::string> modules_with(const Checkpoint& files, std::string_view part) {
  const std::string suffix = "." + std::string(part);
  std::vector<std::string> modules;
  for (const std::string_view name : files.names())
    if (name.ends_with(suffix)) modules.emplace_back(name.substr(0, name.size() - suffix.size()));
  return modules;
}

std::vector<std::string> modules_with(const Checkpoint& files, std::string_view part, DType dtype) {
  std::vector<std::string> modules = modules_with(files, part);
  std::erase_if(modules, [&](const std::string& module) {
    const std::optional<TensorInfo> info = ModuleTensors(files, module).find(part);
    return !info || info->dtype != dtype || info->shape.rank() != 2;
  });
  return modules;
}

void refuse_value(std::string_view key, const nlohmann::json& value, std::string_view supported) {
  throw Error(
      ErrorKind::unsupported,
      fmt::format("the quantization's \"{}\" is {}, which is not supported", key, shown(value)),
      fmt::format("supported: {}", supported));
}

void require_modules(const FormatContent& content, std::string_view method,
                     std::string_view wanted) {
  if (!content.linears.empty()) return;
  throw Error(ErrorKind::invalid_input,
              fmt::format("the quantization config says {}, but no module has {}", method, wanted),
              "config.json and the weights disagree; check that both come from the same revision");
}

int64_t rows_per_scale(const ModuleTensors& tensors, std::string_view part, int64_t rows) {
  const Shape shape = tensors.require(part, {DType::fp32, DType::bf16, DType::fp16}).shape;
  if (shape.num_elements() == 1) return rows;
  if (shape == Shape{rows} || shape == Shape{rows, 1}) return 1;
  tensors.refuse_shape(part, shape, fmt::format("a single number, [{}] or [{}, 1]", rows, rows));
}

std::vector<std::string> get_strings(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return {};
  std::vector<std::string> strings;
  bool is_fine = found->is_array();
  if (is_fine) {
    for (const nlohmann::json& item : *found) {
      is_fine = is_fine && item.is_string();
      if (is_fine) strings.push_back(item.get<std::string>());
    }
  }
  if (!is_fine)
    throw Error(ErrorKind::invalid_input,
                fmt::format("\"{}\" is {}, it must be a list of strings", key, shown(*found)),
                "check that the file is the one the model was published with");
  return strings;
}

}  // namespace veloz::checkpoint
