// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "checkpoint/json_text.h"

namespace veloz::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxIndexBytes = uint64_t{64} << 20;
constexpr size_t kMaxShards = 10'000;
constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

/// "model-00001-of-00002.safetensors", nothing that leads elsewhere.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\\') == std::string::npos && name.find('\0') == std::string::npos;
}

/// Tensor -> file name, as the index says.
std::map<std::string, std::string> read_index(const fs::path& path) {
  std::map<std::string, std::string> file_of;
  try {
    const nlohmann::json index = parse_json(read_text_file(path, kMaxIndexBytes));
    if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object())
      throw Error(ErrorKind::corrupt_data, "it has no \"weight_map\"");
    for (const auto& [tensor, file] : index["weight_map"].items()) {
      if (!file.is_string() || !is_plain_name(file.get<std::string>()))
        throw Error(ErrorKind::corrupt_data,
                    fmt::format("tensor \"{}\" is said to be in {}, which is no plain file name",
                                tensor, file.dump()),
                    "an index names files of its own directory");
      file_of[tensor] = file.get<std::string>();
    }
  } catch (Error& e) {
    e.add_context(fmt::format("\"{}\"", path.string()));
    throw;
  }
  return file_of;
}

[[noreturn]] void throw_no_weights(const fs::path& model_dir) {
  std::error_code ignored;
  for (const auto& item : fs::directory_iterator(model_dir, ignored)) {
    const std::string name = item.path().filename().string();
    if (name.starts_with("pytorch_model") && name.ends_with(".bin"))
      throw Error(
          ErrorKind::unsupported,
          fmt::format(
              "\"{}\" is a PyTorch pickle, which can run code when it is opened; it was not read",
              item.path().string()),
          fmt::format("convert it: python3 scripts/convert_bin_to_safetensors.py {}",
                      model_dir.string()));
  }
  throw Error(ErrorKind::not_found,
              fmt::format("\"{}\" has no weights: neither {} nor {}", model_dir.string(),
                          kSingleFile, kIndexFile),
              "give a model directory in Hugging Face layout, or build with --load-format dummy");
}

}  // namespace

Checkpoint Checkpoint::open(const fs::path& model_dir) {
  Checkpoint checkpoint;
  if (fs::exists(model_dir / kIndexFile)) {
    const std::map<std::string, std::string> file_of = read_index(model_dir / kIndexFile);
    std::set<std::string> names;
    for (const auto& [tensor, file] : file_of) names.insert(file);
    if (names.size() > kMaxShards)
      throw Error(ErrorKind::corrupt_data,
                  fmt::format("\"{}\" names {} files, at most {} are opened",
                              (model_dir / kIndexFile).string(), names.size(), kMaxShards));
    for (const std::string& name : names)
      checkpoint.add_file(SafetensorsFile::open(model_dir / name));
    for (const auto& [tensor, file] : file_of) {
      const auto found = checkpoint.tensors_.find(tensor);
      if (found == checkpoint.tensors_.end() ||
          checkpoint.files_[found->second.file].path() != model_dir / file)
        throw Error(ErrorKind::corrupt_data,
                    fmt::format("\"{}\" says that tensor \"{}\" is in {}, where it is not",
                                (model_dir / kIndexFile).string(), tensor, file),
                    "index and shards disagree; check that all come from the same revision");
    }
  } else if (fs::exists(model_dir / kSingleFile)) {
    checkpoint.add_file(SafetensorsFile::open(model_dir / kSingleFile));
  } else {
    throw_no_weights(model_dir);
  }
  return checkpoint;
}

void Checkpoint::add_file(SafetensorsFile file) {
  for (const auto& [name, entry] : file.tensors()) {
    if (!tensors_.try_emplace(name, Location{files_.size(), entry}).second)
      throw Error(ErrorKind::corrupt_data,
                  fmt::format("tensor \"{}\" is in \"{}\" and in another shard", name,
                              file.path().string()),
                  "the shards overlap; check that all come from the same revision");
  }
  files_.push_back(std::move(file));
}

std::optional<TensorInfo> Checkpoint::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return std::nullopt;
  return TensorInfo{found->second.entry.dtype, found->second.entry.shape};
}

void Checkpoint::read_rows(std::string_view name, int64_t row_begin, int64_t row_end,
                           std::span<std::byte> to) const {
  const auto found = tensors_.find(name);
  VELOZ_CHECK(found != tensors_.end(), "tensor {} is not in the checkpoint", name);
  const TensorEntry& entry = found->second.entry;
  const uint64_t row_bytes = entry.bytes / static_cast<uint64_t>(entry.shape[0]);
  VELOZ_CHECK(0 <= row_begin && row_begin <= row_end && row_end <= entry.shape[0] &&
                  to.size() == static_cast<uint64_t>(row_end - row_begin) * row_bytes,
              "rows [{}, {}) of {} into {} bytes", row_begin, row_end, name, to.size());
  files_[found->second.file].read(entry, static_cast<uint64_t>(row_begin) * row_bytes, to);
}

std::string Checkpoint::fingerprint() const {
  constexpr uint64_t kSampleBytes = 4096;
  constexpr uint64_t kSamplesPerTensor = 16;
  StreamHasher hasher;
  std::vector<std::byte> sample(kSampleBytes);
  for (const auto& [name, location] : tensors_) {
    const TensorEntry& entry = location.entry;
    hasher.update(fmt::format("{} {} {};", name, to_string(entry.dtype), to_string(entry.shape)));
    for (uint64_t i = 0; i < kSamplesPerTensor; ++i) {
      const uint64_t begin = entry.bytes / kSamplesPerTensor * i;
      const auto bytes =
          std::min({kSampleBytes, entry.bytes - begin, entry.bytes / kSamplesPerTensor + 1});
      const std::span<std::byte> to(sample.data(), bytes);
      files_[location.file].read(entry, begin, to);
      hasher.update(to);
    }
  }
  return hasher.hex_digest();
}

}  // namespace veloz::checkpoint
