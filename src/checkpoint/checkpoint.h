// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "base/thread_pool.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/tensor_source.h"

namespace veloz::checkpoint {

/// The weights of a model directory in Hugging Face layout: model.safetensors, or else shards
/// listed by model.safetensors.index.json. Symbolic links are followed: the Hugging Face cache is
/// made of them.
class Checkpoint final : public TensorSource {
 public:
  /// Throws Error(not_found) where there are no weights; Error(unsupported) for pytorch_model*.bin,
  /// which is not read, with the command that converts it; Error(corrupt_data) for an index that
  /// names anything but plain files, or disagrees with them.
  static Checkpoint open(const std::filesystem::path& model_dir);

  /// In order.
  std::vector<std::string_view> names() const;
  std::optional<TensorInfo> find(std::string_view name) const override;
  /// A tensor of `names`, of whatever dtype; its rows are read in that.
  const TensorEntry& entry(std::string_view name) const;
  void read_rows(std::string_view name, int64_t row_begin, int64_t row_end,
                 std::span<std::byte> to) const override;

  /// Hash of names, dtypes, shapes and of samples spread over the data (all of it for small
  /// tensors): tells checkpoints apart quickly. Depends on the tensors alone, not on where they lie
  /// or how they are sharded. 32 hexadecimal digits.
  std::string fingerprint() const;
  /// The same over every byte: as slow as the disk.
  std::string content_hash(ThreadPool& pool, const ProgressSink& progress) const;

 private:
  struct Location {
    size_t file = 0;
    TensorEntry entry;
  };
  void add_file(SafetensorsFile file);
  void check_against_index(const std::map<std::string, std::string>& file_of,
                           const std::filesystem::path& index) const;

  std::vector<SafetensorsFile> files_;
  std::map<std::string, Location, std::less<>> tensors_;
};

}  // namespace veloz::checkpoint
