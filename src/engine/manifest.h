// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/dtype.h"
#include "engine/plan.h"

namespace veloz::engine {

/// Version of the directory's format. A reader accepts every minor version up to its own of the
/// same major.
inline constexpr int64_t kFormatMajor = 1;
inline constexpr int64_t kFormatMinor = 3;

/// Facts about the model that the runtime and its users need beside the plan.
struct ModelFacts {
  std::string architecture;   // "llama"
  std::string name;           // last component of the checkpoint's directory
  DType dtype = DType::bf16;  // of activations and weights
  DType kv_cache_dtype = DType::bf16;
  int64_t num_layers = 0;
  int64_t hidden_size = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t vocab_size = 0;
  int64_t num_parameters = 0;
  std::vector<int64_t> eos_token_ids;
  std::optional<int64_t> bos_token_id;
  std::optional<int64_t> pad_token_id;
  std::string generation_config;  // generation_config.json as it was, or ""
};

/// How the model's linears are quantized, for people; the graph says it exactly.
struct QuantizationFacts {
  std::string name;                                      // "int4", "fp8 (modelopt)"
  std::vector<std::pair<std::string, int64_t>> linears;  // a scheme in words, and how many have it
  bool operator==(const QuantizationFacts&) const = default;
};

/// One file of the engine with its XXH3-64 checksums: one per kChecksumChunk bytes (the last may be
/// shorter).
struct FileRecord {
  std::string name;  // relative to the directory: "plan.json", "tokenizer/tokenizer.json"
  uint64_t bytes = 0;
  std::vector<uint64_t> checksums;
};
inline constexpr uint64_t kChecksumChunk = uint64_t{16} << 20;

/// engine.json: says everything about the engine that can be known without reading the rest. It
/// holds no time, path or host, so the same input and flags give the same bytes anywhere.
struct Manifest {
  int64_t format_major = kFormatMajor;
  int64_t format_minor = kFormatMinor;
  std::string producer;     // "veloz 0.1.0"
  std::string source_hash;  // of the checkpoint
  std::string target;       // "cpu:avx512_bf16"
  std::string load_format;  // "safetensors", "dummy" or "dummy-at-load"
  /// Seed of the weights, where the engine holds none and they are made as it is loaded
  /// ("dummy-at-load"); since format 1.2.
  std::optional<uint64_t> dummy_seed;
  ModelFacts model;
  Limits limits;
  std::optional<QuantizationFacts> quantization;  // since format 1.1
  std::optional<std::string> verdict;             // base/verdict.h; since format 1.1
  std::vector<std::string> pass_reports;  // what each pass did, in pipeline order, with its remarks
  std::vector<FileRecord> files;
};

std::string print_manifest(const Manifest& manifest);
/// Throws Error(corrupt_data); Error(unsupported) for a newer format, naming both versions and what
/// to do.
Manifest parse_manifest(std::string_view json);

}  // namespace veloz::engine
