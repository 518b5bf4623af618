// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>

#include "veloz/build.h"
#include "veloz/llm.h"

/// Checkpoints that tests build engines of: the tiny random ones of tests/golden/models and the
/// bundled ones of models/.
namespace veloz::test {

inline std::filesystem::path golden_model(std::string_view name) {
  return std::filesystem::path(VELOZ_TEST_DATA_DIR) / "golden" / "models" / name;
}

inline std::filesystem::path bundled_model(std::string_view name) {
  return std::filesystem::path(VELOZ_MODELS_DIR) / name;
}

/// Limits in which every test's requests fit, small enough to load in no time.
inline BuildOptions small_build(const std::filesystem::path& model,
                                const std::filesystem::path& engine, const char* dtype = "auto") {
  BuildOptions options;
  options.model = model;
  options.output = engine;
  options.dtype = dtype;
  options.max_model_len = 512;
  options.max_num_seqs = 16;
  options.num_threads = 2;
  return options;
}

/// Bytes of a KV cache that holds one sequence of full length, and not two.
inline size_t bytes_of_a_small_cache(const std::filesystem::path& engine) {
  for (size_t bytes = size_t{1} << 12;; bytes *= 2) {
    try {
      LLM::load(engine, {.num_threads = 1, .kv_cache_memory_bytes = bytes});
      return bytes;
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::out_of_memory) throw;
    }
  }
}

}  // namespace veloz::test
