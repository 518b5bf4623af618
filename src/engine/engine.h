// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/thread_pool.h"
#include "engine/manifest.h"
#include "engine/plan.h"
#include "engine/weights_file.h"

namespace veloz::engine {

/// An engine directory opened for reading: manifest and plan verified, weights not yet touched. One
/// whose manifest has a dummy_seed holds no weights.
class Engine {
 public:
  /// Throws Error(not_found) where there is no engine, Error(corrupt_data) for a damaged one (names
  /// file and byte range), Error(unsupported) for a newer format.
  static Engine open(const std::filesystem::path& directory);

  const std::filesystem::path& directory() const { return directory_; }
  const Manifest& manifest() const { return manifest_; }
  const Plan& plan() const { return plan_; }
  /// graph.txt as stored.
  std::string graph_text() const;
  std::filesystem::path tokenizer_directory() const { return directory_ / "tokenizer"; }

  /// Stored (packed) bytes of weight i of the plan; plain ones of an engine that holds none.
  size_t weight_bytes(size_t weight) const;
  /// Copies the weights to `to[i]` (host addresses of weight_bytes(i) bytes; null: not this one) on
  /// the pool's threads, verifying the checksum of every chunk that is read on the way; throws
  /// Error(corrupt_data) naming the chunk's byte range and the weights in it. Not of an engine
  /// without weights.
  void read_weights(std::span<std::byte* const> to, ThreadPool& pool) const;
  /// Verifies the checksum of every file; throws as above.
  void verify_checksums(ThreadPool& pool) const;

  /// True where `directory` looks like an engine (has engine.json).
  static bool is_engine(const std::filesystem::path& directory);

 private:
  Engine(std::filesystem::path directory, Manifest manifest, Plan plan,
         std::optional<File> weights_file);
  const FileRecord& record(std::string_view name) const;
  std::vector<size_t>::const_iterator first_weight_behind(uint64_t at) const;
  bool is_wanted(size_t chunk, std::span<std::byte* const> to) const;
  void read_chunk(size_t chunk, std::span<std::byte* const> to) const;
  std::string weights_of_chunk(size_t chunk) const;

  std::filesystem::path directory_;
  Manifest manifest_;
  Plan plan_;
  std::optional<File> weights_file_;
  std::vector<WeightRange> weight_ranges_;  // one per weight of the plan
  std::vector<size_t> by_offset_;           // weights in the order of the file
};

/// Writes an engine directory atomically: everything goes to a hidden sibling directory that is
/// renamed when complete, so a kill at any moment leaves either no engine or a whole one. An
/// abandoned writer removes it; a killed one leaves a `.veloz-partial-*` sibling that the next
/// writer to the same path removes.
class EngineWriter {
 public:
  enum class Existing { refuse, replace };  // what to do where `directory` exists already

  /// `plan.weights` fixes the weights file's layout: packed sizes are given by `weight_bytes[i]`.
  /// Without any the engine holds no weights, and its manifest has a dummy_seed.
  /// Throws Error(invalid_input) where the directory exists and is not ours to replace.
  static EngineWriter create(const std::filesystem::path& directory, const Plan& plan,
                             std::span<const size_t> weight_bytes, Existing existing);
  ~EngineWriter();
  EngineWriter(EngineWriter&&) noexcept;
  EngineWriter& operator=(EngineWriter&&) noexcept;

  /// Bytes [offset, offset + bytes.size()) of weight i; any thread, any order, each byte once.
  /// Throws Error(io), a full disk included.
  void write_weight(size_t weight, uint64_t offset, std::span<const std::byte> bytes);
  /// "graph.txt" (must be there), "report.md", "tokenizer/tokenizer.json"; by one thread at a time.
  void write_file(std::string_view name, std::string_view text);
  /// Computes the checksums, writes plan.json and engine.json last, syncs and renames. Sets the
  /// manifest's `limits` and `files`.
  void commit(Manifest manifest, ThreadPool& pool);

 private:
  struct State;
  explicit EngineWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace veloz::engine
