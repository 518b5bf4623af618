// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"
#include "checkpoint/tensor_source.h"

namespace veloz::checkpoint {

/// The weights of a model directory in Hugging Face layout: model.safetensors, or shards listed by
/// model.safetensors.index.json.
class Checkpoint final : public TensorSource {
 public:
  /// Throws Error(not_found) where there are no weights; Error(unsupported) for pytorch_model*.bin,
  /// which is not read, with the command that converts it; Error(corrupt_data) for an index that
  /// names anything but plain files, or disagrees with them.
  static Checkpoint open(const std::filesystem::path& model_dir);

  std::optional<TensorInfo> find(std::string_view name) const override;
  void read_rows(std::string_view name, int64_t row_begin, int64_t row_end,
                 std::span<std::byte> to) const override;

  /// Hash of the headers and of samples spread over the data: tells checkpoints apart quickly; same
  /// content, same hash, wherever it lies. 32 hexadecimal digits.
  std::string fingerprint() const;

 private:
  struct Location {
    size_t file = 0;
    TensorEntry entry;
  };
  void add_file(SafetensorsFile file);

  std::vector<SafetensorsFile> files_;
  std::map<std::string, Location, std::less<>> tensors_;
};

}  // namespace veloz::checkpoint
