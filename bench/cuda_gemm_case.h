// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/device.h"
#include "base/dtype.h"
#include "cuda/call_timer.h"
#include "cuda/cublaslt/library.h"
#include "cuda/stream.h"
#include "ops/kernel.h"

namespace veloz::bench {

/// A weight of a model.
struct GemmShape {
  std::string_view model;
  std::string_view name;
  int64_t n;
  int64_t k;
  DType operands;  // fp8_e4m3 with a scale per row, or bf16
  DType out;
};

/// One kernel at one size.
struct GemmResult {
  std::string kernel;             // "quantized_linear/…", or what the library chose
  std::vector<double> seconds{};  // of one product, one per sample
  double error = 0;               // of sampled elements, relative, in the 2-norm; against fp64
  bool is_right = false;          // error within the limit
  /// Ours: rows that other numbers of tokens gave too have the same bits.
  std::optional<bool> is_invariant{};
  bool is_graph = false;
  int num_candidates = 0;  // the library's
  std::string failure{};
};

struct GemmCase {
  GemmShape shape;
  int64_t tokens;
  GemmResult ours, library;
  /// What serves it where only our bits will do: of our kernel and the library's algorithms that
  /// have them, the fastest. Nothing where there is no library.
  std::optional<cuda::TunedGemm> served{};
};

/// Operands on the device for all cases, and what runs on them. Weights lie in a memory larger than
/// the caches and are read in turn.
class GemmMachine {
 public:
  GemmMachine(Device& device, const cuda::CublasLtOptions& options,
              std::span<const GemmShape> shapes, int64_t max_tokens, bool fast_accumulation,
              std::string kernel);
  ~GemmMachine();

  /// Checks and times our kernel and the library, in turns. A failure is told in the case; throws
  /// only what leaves the device unusable, with what was measured before in `c`.
  void run(GemmCase& c);
  /// Seconds of a product of cubes of this extent by the library's best algorithm.
  double library_cube(int64_t extent, DType operands, cuda::GemmScaling scaling,
                      bool fast_accumulation);
  /// Bytes a second of a large copy (read and written), and of reading alone.
  double copy_bandwidth();
  double read_bandwidth();
  /// Why there is no library, or nothing.
  const std::string& why_no_library() const { return why_no_library_; }
  std::string library_version() const;
  /// Whether nothing can run on the device any more in this process.
  bool is_lost();

 private:
  struct Memory {
    Buffer weights, x;
  };

  const Memory& memory(DType operands) const { return operands == DType::bf16 ? bf16_ : fp8_; }
  cuda::Gemm gemm(const GemmCase& c) const;
  cuda::GemmOperands operands(const GemmCase& c, int64_t call) const;
  int64_t num_weights(const GemmShape& shape) const;
  void run_ours(const ops::Kernel& kernel, const GemmCase& c, int64_t call);
  const ops::Kernel& choose(const GemmShape& shape) const;
  void poison_output(const GemmCase& c);
  void check_output(const GemmCase& c, GemmResult& result, double limit);
  void check_invariance(const GemmCase& c, GemmResult& result);
  std::vector<std::byte> download(const void* data, size_t bytes);
  void time(const GemmCase& c, GemmResult& result, const std::function<void(int64_t)>& enqueue);
  std::unique_ptr<cuda::CublasLtProduct> choose_algorithm(GemmCase& c);
  std::optional<cuda::TunedGemm> choose_of_our_bits(const GemmCase& c);

  Device& device_;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<cuda::CublasLtGemms> library_;
  std::string why_no_library_;
  ops::KernelRegistry registry_;
  bool fast_accumulation_;
  std::string kernel_;  // the one asked for, or ""
  Memory fp8_, bf16_;
  Buffer x_scales_, w_scales_, y_, workspace_;
  /// First seen bits of rows of y, by shape, kernel and row.
  std::map<std::pair<std::string, int64_t>, std::vector<std::byte>> rows_;
};

}  // namespace veloz::bench
