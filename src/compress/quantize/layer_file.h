// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/quantization.h"
#include "checkpoint/safetensors.h"
#include "compress/quantize/quantize_layer.h"

namespace veloz::compress {

/// What calibration of one layer left, on disk until the checkpoint is written: a run that was
/// interrupted goes on behind the last finished layer.
struct LayerOutcome {
  LayerResult result;
  checkpoint::KvScales kv;  // of an fp8_e4m3 cache
};

/// Writes a safetensors file that is there whole or not at all.
void save_layer(const std::filesystem::path& path, const LayerOutcome& outcome);

/// A saved layer; tensors are read one at a time.
class LayerFile {
 public:
  /// Throws Error(corrupt_data) for a file that save_layer did not write.
  static LayerFile open(const std::filesystem::path& path);

  const checkpoint::KvScales& kv() const { return kv_; }
  /// By treatment, as in LayerResult::linears.
  const std::vector<std::vector<LinearReport>>& reports() const { return reports_; }
  QuantizedWeight read_linear(size_t treatment, std::string_view module,
                              const WeightFormat& format) const;
  /// Names of LayerResult::changed.
  std::vector<std::string> changed() const;
  Matrix read_changed(std::string_view name) const;

 private:
  explicit LayerFile(checkpoint::SafetensorsFile file) : file_(std::move(file)) {}
  std::vector<std::byte> read(const std::string& name, Shape& shape) const;

  checkpoint::SafetensorsFile file_;
  checkpoint::KvScales kv_;
  std::vector<std::vector<LinearReport>> reports_;
};

}  // namespace veloz::compress
