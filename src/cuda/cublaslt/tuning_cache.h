// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cuda/cublaslt/gemm.h"

namespace veloz::cuda {

/// One of a library's ways to compute a product, as the library itself writes it down. With no
/// bytes: our own kernel.
struct GemmAlgorithm {
  std::vector<std::byte> blob;
  size_t workspace_bytes = 0;

  bool is_ours() const { return blob.empty(); }
  bool operator==(const GemmAlgorithm&) const = default;
};

/// The fastest way that was found, and how long it took then.
struct TunedGemm {
  GemmAlgorithm algorithm;
  double microseconds = 0;

  bool operator==(const TunedGemm&) const = default;
};

/// For whom tuned algorithms are good: another device or version of the library is tuned anew.
struct TuningIdentity {
  std::string device;   // "NVIDIA H200"
  std::string library;  // "cublasLt 13.1.0"

  bool operator==(const TuningIdentity&) const = default;
};

/// Where tuned algorithms of `identity` are kept: directory/NVIDIA-H200-cublasLt-13.1.0.json.
std::filesystem::path tuning_file(const std::filesystem::path& directory,
                                  const TuningIdentity& identity);

/// Tuned algorithms of one device and version, kept in a JSON file between runs. Many processes may
/// use one file: `save` merges under a lock and replaces the file whole.
class TuningCache {
 public:
  explicit TuningCache(TuningIdentity identity) : identity_(std::move(identity)) {}

  /// What `path` holds for `identity`. Never fails: a file that is missing is empty, and one that
  /// cannot be read, is damaged or is another's is left aside, with a sentence in notice().
  static TuningCache load(const std::filesystem::path& path, TuningIdentity identity);

  /// By the product's bucket of tokens; null where it was not tuned.
  const TunedGemm* find(const Gemm& gemm) const;
  void put(const Gemm& gemm, TunedGemm tuned);
  size_t size() const { return entries_.size(); }
  const std::string& notice() const { return notice_; }
  /// The sentence, once.
  std::string take_notice() { return std::exchange(notice_, {}); }

  /// Takes in what others have saved since, own entries first, and writes all of it. Throws
  /// Error(io).
  void save(const std::filesystem::path& path);

 private:
  TuningIdentity identity_;
  std::map<std::string, TunedGemm> entries_;  // by to_string of the product at its bucket
  std::string notice_;
};

}  // namespace veloz::cuda
