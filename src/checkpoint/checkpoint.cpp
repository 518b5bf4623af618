// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <mutex>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "checkpoint/json_text.h"
#include "checkpoint/model_files.h"

namespace veloz::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";
constexpr const char* kDisagreeHint =
    "index and shards disagree; check that all come from the same revision";

SafetensorsFile open_weights(const fs::path& path) {
  try {
    return SafetensorsFile::open(path);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::not_found) throw;
    std::error_code ignored;
    const fs::path target = fs::read_symlink(path, ignored);
    throw Error(ErrorKind::not_found,
                target.empty() ? fmt::format("\"{}\" is missing", path.string())
                               : fmt::format("\"{}\" is a link to \"{}\", which does not exist",
                                             path.string(), target.string()),
                "the download is incomplete; fetch the model again");
  }
}

std::string describe(std::string_view name, const TensorEntry& entry) {
  return fmt::format("{} {} {};", name, entry.dtype_name, to_string(entry.shape));
}

}  // namespace

Checkpoint Checkpoint::open(const fs::path& model_dir) {
  require_directory(model_dir);
  Checkpoint checkpoint;
  if (has_file(model_dir / kSingleFile)) {
    checkpoint.add_file(open_weights(model_dir / kSingleFile));
  } else if (has_file(model_dir / kIndexFile)) {
    const std::map<std::string, std::string> file_of = read_weight_index(model_dir / kIndexFile);
    std::set<std::string> names;
    for (const auto& [tensor, file] : file_of) names.insert(file);
    for (const std::string& name : names) checkpoint.add_file(open_weights(model_dir / name));
    checkpoint.check_against_index(file_of, model_dir / kIndexFile);
  } else {
    throw_no_weights(model_dir);
  }
  return checkpoint;
}

void Checkpoint::add_file(SafetensorsFile file) {
  for (const auto& [name, entry] : file.tensors()) {
    const auto [place, is_new] = tensors_.try_emplace(name, Location{files_.size(), entry});
    if (!is_new)
      throw Error(ErrorKind::corrupt_data,
                  fmt::format("tensor {} is in \"{}\" and in \"{}\"", shown(name),
                              files_[place->second.file].path().string(), file.path().string()),
                  "the shards overlap; check that all come from the same revision");
  }
  files_.push_back(std::move(file));
}

void Checkpoint::check_against_index(const std::map<std::string, std::string>& file_of,
                                     const fs::path& index) const {
  for (const auto& [tensor, file] : file_of) {
    const auto found = tensors_.find(tensor);
    if (found == tensors_.end() || files_[found->second.file].path().filename() != file)
      throw Error(ErrorKind::corrupt_data,
                  fmt::format("\"{}\" says that tensor {} is in {}, where it is not",
                              index.string(), shown(tensor), shown(file)),
                  kDisagreeHint);
  }
  for (const auto& [tensor, location] : tensors_)
    if (!file_of.contains(tensor))
      throw Error(ErrorKind::corrupt_data,
                  fmt::format("tensor {} is in \"{}\", but not in the index \"{}\"", shown(tensor),
                              files_[location.file].path().string(), index.string()),
                  kDisagreeHint);
}

std::vector<std::string_view> Checkpoint::names() const {
  std::vector<std::string_view> names;
  for (const auto& [name, location] : tensors_) names.push_back(name);
  return names;
}

std::optional<TensorInfo> Checkpoint::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return std::nullopt;
  const TensorEntry& entry = found->second.entry;
  if (!entry.dtype)
    throw Error(ErrorKind::unsupported,
                fmt::format("tensor {} has dtype {}, weights are F32, F16 or BF16",
                            shown(found->first), entry.dtype_name),
                "convert the checkpoint to one of these");
  return TensorInfo{*entry.dtype, entry.shape};
}

const TensorEntry& Checkpoint::entry(std::string_view name) const {
  const auto found = tensors_.find(name);
  VELOZ_CHECK(found != tensors_.end(), "tensor {} is not in the checkpoint", name);
  return found->second.entry;
}

void Checkpoint::read_rows(std::string_view name, int64_t row_begin, int64_t row_end,
                           std::span<std::byte> to) const {
  const auto found = tensors_.find(name);
  VELOZ_CHECK(found != tensors_.end(), "tensor {} is not in the checkpoint", name);
  const TensorEntry& entry = found->second.entry;
  const int64_t num_rows = entry.shape.rank() == 0 ? 1 : entry.shape[0];
  const uint64_t row_bytes = entry.bytes / static_cast<uint64_t>(num_rows);
  VELOZ_CHECK(0 <= row_begin && row_begin <= row_end && row_end <= num_rows &&
                  to.size() == static_cast<uint64_t>(row_end - row_begin) * row_bytes,
              "rows [{}, {}) of {} into {} bytes", row_begin, row_end, name, to.size());
  files_[found->second.file].read(entry, static_cast<uint64_t>(row_begin) * row_bytes, to);
}

std::string Checkpoint::fingerprint() const {
  constexpr uint64_t kSampleBytes = 4096;
  constexpr uint64_t kNumSamples = 16;
  StreamHasher hasher;
  std::vector<std::byte> sample;
  for (const auto& [name, location] : tensors_) {
    const TensorEntry& entry = location.entry;
    const SafetensorsFile& file = files_[location.file];
    hasher.update(describe(name, entry));
    const auto add_bytes = [&](uint64_t begin, uint64_t bytes) {
      sample.resize(bytes);
      file.read(entry, begin, sample);
      hasher.update(sample);
    };
    if (entry.bytes <= kNumSamples * kSampleBytes) {
      add_bytes(0, entry.bytes);
      continue;
    }
    // Evenly spread, the first at the begin, the last at the end.
    const uint64_t last = entry.bytes - kSampleBytes;
    for (uint64_t i = 0; i < kNumSamples; ++i)
      add_bytes(last / (kNumSamples - 1) * i, kSampleBytes);
    add_bytes(last, kSampleBytes);
  }
  return hasher.hex_digest();
}

std::string Checkpoint::content_hash(ThreadPool& pool, const ProgressSink& progress) const {
  constexpr uint64_t kChunkBytes = uint64_t{16} << 20;
  struct Chunk {
    const Location* location;
    uint64_t begin;
    uint64_t hash;
  };
  std::vector<Chunk> chunks;
  uint64_t total_bytes = 0;
  for (const auto& [name, location] : tensors_) {
    for (uint64_t begin = 0; begin < location.entry.bytes; begin += kChunkBytes)
      chunks.push_back({&location, begin, 0});
    total_bytes += location.entry.bytes;
  }

  std::atomic<size_t> next_chunk{0};
  std::atomic<uint64_t> done_bytes{0};
  std::mutex failure_mutex;
  std::exception_ptr failure;
  pool.run([&](int thread_idx) {
    try {
      std::vector<std::byte> bytes;
      for (size_t i = next_chunk++; i < chunks.size(); i = next_chunk++) {
        const auto& [location, begin, hash] = chunks[i];
        bytes.resize(std::min(kChunkBytes, location->entry.bytes - begin));
        files_[location->file].read(location->entry, begin, bytes);
        chunks[i].hash = xxh3_64(bytes);
        done_bytes += bytes.size();
        if (thread_idx == 0 && progress)
          progress({.stage = "hashing weights", .done = done_bytes, .total = total_bytes});
      }
    } catch (...) {
      next_chunk = chunks.size();
      const std::scoped_lock lock(failure_mutex);
      if (!failure) failure = std::current_exception();
    }
  });
  if (failure) std::rethrow_exception(failure);

  StreamHasher hasher;
  for (const auto& [name, location] : tensors_) hasher.update(describe(name, location.entry));
  for (const Chunk& chunk : chunks) hasher.update(fmt::format("{:016x}", chunk.hash));
  return hasher.hex_digest();
}

}  // namespace veloz::checkpoint
