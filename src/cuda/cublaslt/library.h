// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "cuda/cublaslt/api.h"
#include "cuda/cublaslt/attach.h"
#include "cuda/cublaslt/library_gemms.h"
#include "cuda/cublaslt/product.h"
#include "cuda/stream.h"

namespace veloz::cuda {

/// Memory of the device, for who has a stream and no Device.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  explicit DeviceMemory(size_t bytes);
  /// Whether it had to be replaced by new memory to have `bytes`: what it held is gone then.
  bool grow(size_t bytes);
  void* data() const { return data_.get(); }
  size_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(void* data) const;
  };
  std::unique_ptr<void, Free> data_;
  size_t bytes_ = 0;
};

/// cuBLASLt on one stream: its handle, its scratch memory, the algorithms tuned for this device,
/// and the description of every product that was asked for. Used from the stream's thread.
class CublasLtGemms final : public LibraryGemms, public GemmTimer {
 public:
  /// `stream` must outlive it. Throws Error(unsupported) where the library is missing.
  CublasLtGemms(CudaStream& stream, const CublasLtOptions& options);
  ~CublasLtGemms() override;

  bool run(const Gemm& gemm, const GemmOperands& operands) noexcept override;
  TuneReport tune(std::span<const Gemm> gemms) override;
  std::vector<GemmAlgorithm> candidates(const Gemm& gemm, int at_most) override;
  double seconds(const Gemm& gemm, const GemmAlgorithm& algorithm, int num_samples) override;
  double our_seconds(const Gemm& gemm, int num_samples) override;
  bool has_our_bits(const Gemm& gemm, const GemmAlgorithm& algorithm) override;

  /// A product by an algorithm of the caller's choice, and whether it was enqueued.
  std::unique_ptr<CublasLtProduct> prepare(const Gemm& gemm, const GemmOperands& operands,
                                           const GemmAlgorithm& algorithm);
  bool run(CublasLtProduct& product, const GemmOperands& operands) noexcept;
  /// Algorithms for operands where they lie.
  std::vector<GemmAlgorithm> candidates(const Gemm& gemm, const GemmOperands& operands,
                                        int at_most);
  const TuningIdentity& identity() const { return identity_; }
  CudaStream& stream() { return stream_; }

 private:
  /// What a product's description depends on, besides the product.
  struct CallKey {
    int64_t tokens, n, k;
    DType operands, out;
    GemmScaling scaling;
    int64_t x_stride, w_stride, y_stride;
    size_t x_alignment, w_alignment, y_alignment;
    auto operator<=>(const CallKey&) const = default;  // NOLINT(modernize-use-nullptr)
  };
  struct Operands;

  /// Null where the library has no algorithm.
  CublasLtProduct* product_for(const Gemm& gemm, const GemmOperands& operands);
  /// `gemm` with what the options say of bits.
  Gemm as_wanted(Gemm gemm) const;
  GemmOperands random_operands(const Gemm& gemm, int64_t call);
  double seconds_of(const Gemm& gemm, int num_samples, const std::function<void(int64_t)>& enqueue);

  CudaStream& stream_;
  CublasLtOptions options_;
  CublasLtApi api_;
  TuningIdentity identity_;
  std::filesystem::path tuning_file_;  // empty: none is kept
  TuningCache tuned_;
  DeviceMemory workspace_;
  cublasLtHandle_t handle_ = nullptr;
  std::map<CallKey, std::unique_ptr<CublasLtProduct>> products_;
  std::unique_ptr<Operands> operands_;  // while it tunes
};

}  // namespace veloz::cuda
