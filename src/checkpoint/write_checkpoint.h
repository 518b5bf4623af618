// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "checkpoint/quantization.h"
#include "checkpoint/tensor_source.h"

namespace veloz::checkpoint {

/// Layouts of quantized checkpoints that others read.
enum class QuantFormat {
  compressed_tensors,  // int8, fp8 and 4-bit linears, mixed as they come
  modelopt,            // fp8 alone: one static scale a tensor, or per channel and token
};

/// Throws Error(unsupported) for a scheme of the module that the format has no layout for.
void check_layout(QuantFormat format, std::string_view module, const LinearScheme& scheme);

/// The canonical tensors of one linear (quantization.h), whole. Spans live during the call only.
struct CanonicalLinear {
  int64_t rows = 0;                      // N
  int64_t columns = 0;                   // K
  std::span<const std::byte> weight;     // [N, K] int8 or fp8_e4m3, or [N, K / 2] uint4x2
  std::span<const std::byte> scales;     // [N, G] scale_dtype
  std::span<const std::byte> zeros;      // [N, G], where has_zeros
  std::span<const int32_t> permutation;  // [K], where has_permutation
};

/// Writes a quantized copy of a model directory that others can load: tensors as they come, one
/// linear in memory at a time; what is not given is the source's. The directory appears complete
/// or not at all: everything lies in a hidden sibling until `commit`. `add_*` and `has_*` may come
/// from many threads; all else from one.
class CheckpointWriter {
 public:
  enum class Existing { refuse, replace };
  struct Options {
    std::filesystem::path source;  // whose other tensors, configuration and tokenizer are kept
    std::filesystem::path output;
    QuantFormat format = QuantFormat::compressed_tensors;
    Existing existing = Existing::refuse;
    /// Says what the tensors are made from: recipe, options, source's fingerprint. What an
    /// interrupted run has added under the same key is kept; "": begin anew.
    std::string resume_key;
    uint64_t max_shard_bytes = 5'000'000'000;
  };

  /// Throws Error(invalid_input) where the output exists, is the source or holds it, or where the
  /// source is quantized already; what Checkpoint::open throws.
  static CheckpointWriter create(Options options);
  /// Throws what `create` would, but for what Checkpoint::open finds: before long work.
  static void check(const std::filesystem::path& source, const std::filesystem::path& output,
                    Existing existing);
  /// Moves what was written to another directory of the same file system, and perhaps measured
  /// there, to its place. Throws as `check`.
  static void publish(const std::filesystem::path& written, const std::filesystem::path& source,
                      const std::filesystem::path& output, Existing existing);
  ~CheckpointWriter();
  CheckpointWriter(CheckpointWriter&& other) noexcept;
  CheckpointWriter& operator=(CheckpointWriter&& other) noexcept;

  /// What is there already, from this run or the one it resumes. `module` is
  /// "model.layers.0.self_attn.q_proj", `name` a tensor's.
  std::optional<LinearScheme> find_linear(std::string_view module) const;
  bool has_tensor(std::string_view name) const;

  /// One quantized linear. A scale of zero (all its codes are the zero) becomes 1. Throws
  /// Error(unsupported) for a scheme the format has no layout for, Error(invalid_input) for a scale
  /// that is negative or not finite.
  void add_linear(std::string_view module, const LinearScheme& scheme,
                  const CanonicalLinear& tensors);
  /// A tensor that stands for the source's of that name: a norm that took over a scale.
  void add_tensor(std::string_view name, const TensorInfo& info, std::span<const std::byte> data);

  struct Finish {
    std::optional<DType> kv_cache;    // nothing or fp8_e4m3; int8 has no layout in files
    std::vector<KvScales> kv_scales;  // per layer
    /// Further files, reports: name -> content.
    std::map<std::string, std::string> files;
    /// JSON put into config.json under "veloz" (a verdict); "": nothing.
    std::string veloz_json;
  };
  /// Writes the shards and the configuration and renames the directory into place; the linears
  /// added are the plan. May be called once.
  void commit(const Finish& finish, const ProgressSink& progress);

 private:
  struct State;
  explicit CheckpointWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace veloz::checkpoint
