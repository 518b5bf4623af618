// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/layer_file.h"

#include <fmt/format.h>

#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/safetensors_writer.h"

namespace veloz::compress {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kMetadata = "layer";
constexpr std::string_view kFloatPrefix = "float/";

std::string codes_name(size_t treatment, std::string_view module) {
  return fmt::format("{}/{}.codes", treatment, module);
}
std::string grids_name(size_t treatment, std::string_view module) {
  return fmt::format("{}/{}.grids", treatment, module);
}

Json to_json(const LinearReport& report) {
  return {{"module", report.module},
          {"treatment", report.treatment},
          {"num_weights", report.num_weights},
          {"stored_bytes", report.stored_bytes},
          {"weight_snr_db", report.weight_snr_db},  // null where infinite
          {"output_error", report.output_error},
          {"alpha", report.alpha ? Json(*report.alpha) : Json()},
          {"input_scale", report.input_scale ? Json(*report.input_scale) : Json()}};
}

LinearReport report_from(const Json& object) {
  LinearReport report;
  report.module = object.at("module");
  report.treatment = object.at("treatment");
  report.num_weights = object.at("num_weights");
  report.stored_bytes = object.at("stored_bytes");
  report.weight_snr_db = object.at("weight_snr_db").is_null()
                             ? std::numeric_limits<double>::infinity()
                             : object.at("weight_snr_db").get<double>();
  report.output_error = object.at("output_error");
  if (!object.at("alpha").is_null()) report.alpha = object.at("alpha").get<double>();
  if (!object.at("input_scale").is_null())
    report.input_scale = object.at("input_scale").get<float>();
  return report;
}

/// A tensor whose rows lie in `bytes` one after the other.
checkpoint::TensorToWrite to_write(std::string name, DType dtype, const Shape& shape,
                                   std::span<const std::byte> bytes) {
  const size_t row_bytes = bytes.size() / static_cast<size_t>(shape[0]);
  return {.name = std::move(name),
          .dtype = std::string(safetensors_dtype(dtype)),
          .shape = shape,
          .bytes = bytes.size(),
          .read_rows = [bytes, row_bytes](int64_t begin, int64_t, std::span<std::byte> to) {
            std::memcpy(to.data(), bytes.data() + static_cast<size_t>(begin) * row_bytes,
                        to.size());
          }};
}

}  // namespace

void save_layer(const fs::path& path, const LayerOutcome& outcome) {
  static_assert(sizeof(Grid) == 2 * sizeof(float), "grids are stored as pairs of floats");
  std::vector<checkpoint::TensorToWrite> tensors;
  Json reports = Json::array();
  for (size_t i = 0; i < outcome.result.linears.size(); ++i) {
    Json& of_treatment = reports.emplace_back(Json::array());
    for (const TreatedLinear& linear : outcome.result.linears[i]) {
      const QuantizedWeight& w = linear.weight;
      of_treatment.push_back(to_json(linear.report));
      tensors.push_back(to_write(codes_name(i, linear.report.module), DType::uint8,
                                 {w.rows, static_cast<int64_t>(w.codes.size()) / w.rows},
                                 std::as_bytes(std::span(w.codes))));
      tensors.push_back(to_write(grids_name(i, linear.report.module), DType::fp32,
                                 {w.rows, w.grids.groups, 2},
                                 std::as_bytes(std::span(w.grids.grids))));
    }
  }
  for (const auto& [name, matrix] : outcome.result.changed)
    tensors.push_back(to_write(fmt::format("{}{}", kFloatPrefix, name), DType::fp32,
                               {matrix.rows, matrix.columns},
                               std::as_bytes(std::span(matrix.values))));
  const Json metadata = {
      {"linears", std::move(reports)}, {"k_scale", outcome.kv.k}, {"v_scale", outcome.kv.v}};
  fs::path unfinished = path;
  unfinished += ".part";
  checkpoint::write_safetensors(unfinished, tensors, {{kMetadata, metadata.dump()}},
                                [](uint64_t) {});
  fs::rename(unfinished, path);
  sync_directory(path.parent_path());
}

LayerFile LayerFile::open(const fs::path& path) {
  LayerFile layer(checkpoint::SafetensorsFile::open(path));
  try {
    const Json metadata = Json::parse(layer.file_.metadata().at(kMetadata));
    layer.kv_ = {metadata.at("k_scale"), metadata.at("v_scale")};
    for (const Json& of_treatment : metadata.at("linears")) {
      std::vector<LinearReport>& reports = layer.reports_.emplace_back();
      for (const Json& report : of_treatment) reports.push_back(report_from(report));
    }
  } catch (const std::exception& e) {
    throw Error(ErrorKind::corrupt_data,
                fmt::format("\"{}\" is not what this program wrote: {}", path.string(), e.what()),
                "begin anew with --restart");
  }
  return layer;
}

std::vector<std::byte> LayerFile::read(const std::string& name, Shape& shape) const {
  const auto found = file_.tensors().find(name);
  if (found == file_.tensors().end())
    throw Error(ErrorKind::corrupt_data,
                fmt::format("\"{}\" has no \"{}\"", file_.path().string(), name),
                "begin anew with --restart");
  std::vector<std::byte> bytes(found->second.bytes);
  file_.read(found->second, 0, bytes);
  shape = found->second.shape;
  return bytes;
}

QuantizedWeight LayerFile::read_linear(size_t treatment, std::string_view module,
                                       const WeightFormat& format) const {
  Shape shape;
  const std::vector<std::byte> codes = read(codes_name(treatment, module), shape);
  QuantizedWeight weight;
  weight.format = format;
  weight.rows = shape[0];
  weight.columns = format.dtype == DType::uint4x2 ? 2 * shape[1] : shape[1];
  weight.codes.resize(codes.size());
  std::memcpy(weight.codes.data(), codes.data(), codes.size());
  const std::vector<std::byte> grids = read(grids_name(treatment, module), shape);
  weight.grids.groups = shape[1];
  weight.grids.grids.resize(grids.size() / sizeof(Grid));
  std::memcpy(weight.grids.grids.data(), grids.data(), grids.size());
  return weight;
}

std::vector<std::string> LayerFile::changed() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : file_.tensors())
    if (name.starts_with(kFloatPrefix)) names.push_back(name.substr(kFloatPrefix.size()));
  return names;
}

Matrix LayerFile::read_changed(std::string_view name) const {
  Shape shape;
  const std::vector<std::byte> bytes = read(fmt::format("{}{}", kFloatPrefix, name), shape);
  Matrix matrix(shape[0], shape[1]);
  std::memcpy(matrix.values.data(), bytes.data(), bytes.size());
  return matrix;
}

}  // namespace veloz::compress
