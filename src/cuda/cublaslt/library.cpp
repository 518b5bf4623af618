// SPDX-License-Identifier: Apache-2.0
#include "cuda/cublaslt/library.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/median.h"
#include "cuda/call_timer.h"
#include "cuda/find_difference.h"
#include "cuda/linear.h"
#include "cuda/random_fill.h"

namespace veloz::cuda {
namespace {

/// Beyond what the L2 cache (50 or 60 MB) can hold of weights that are read in turn.
constexpr size_t kColdBytes = size_t{192} << 20;
/// Prompts come in thousands of lengths; the descriptions of the oldest are not worth keeping.
constexpr size_t kMaxProducts = 4096;
/// Tuned algorithms were timed on memory aligned far better than this; less needs another.
constexpr size_t kTunedAlignment = 16;
/// Results of our kernel that are compared at a time.
constexpr size_t kComparedBytes = size_t{32} << 20;
constexpr float kCodeDeviation = 100;  // fp8 codes of a row whose largest is 448

TuningIdentity identity_of(const CublasLtApi& api, int device) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), "asking the device's name");
  return {properties.name, api.version()};
}

/// Our own kernel's product of rows [from, from + count) of x, into rows of `y` from 0 on.
void run_ours(CudaStream& stream, const Gemm& gemm, const GemmOperands& o, int64_t from,
              int64_t count, void* y) noexcept {
  const auto view = [](const void* data, DType dtype, int64_t rows, int64_t columns) {
    return TensorView(const_cast<void*>(data), dtype, Shape{rows, columns});
  };
  const TensorView x = view(static_cast<const std::byte*>(o.x) +
                                static_cast<size_t>(from * gemm.k) * dtype_bytes(gemm.operands),
                            gemm.operands, count, gemm.k);
  const TensorView w = view(o.w, gemm.operands, gemm.n, gemm.k);
  const TensorView results = view(y, gemm.out, count, gemm.n);
  ops::OpContext context{.stream = &stream, .workspace = {}};
  if (gemm.scaling == GemmScaling::rows)
    gemm_quantized_linear(context, {.x = x,
                                    .x_scales = view(o.x_scales + from, DType::fp32, count, 1),
                                    .w = w,
                                    .w_scales = view(o.w_scales, DType::fp32, gemm.n, 1),
                                    .w_zeros = {},
                                    .bias = {},
                                    .y = results});
  else
    gemm_linear(context, {.x = x, .w = w, .bias = {}, .y = results});
}

}  // namespace

DeviceMemory::DeviceMemory(size_t bytes) : bytes_(bytes) {
  void* data = nullptr;
  const cudaError_t error = cudaMalloc(&data, std::max<size_t>(bytes, 1));
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw Error(ErrorKind::out_of_memory,
                fmt::format("{} bytes of GPU memory were asked for by cuBLASLt", bytes),
                "lower --gpu-memory-utilization, or free the GPU");
  }
  check(error, "allocating memory");
  data_.reset(data);
}

bool DeviceMemory::grow(size_t bytes) {
  if (data_ != nullptr && bytes_ >= bytes) return false;
  *this = DeviceMemory();  // freed before the larger one is taken
  *this = DeviceMemory(bytes);
  return true;
}

void DeviceMemory::Free::operator()(void* data) const { cudaFree(data); }

/// Random operands of the products that are timed, as large as the largest so far.
struct CublasLtGemms::Operands {
  DeviceMemory x, w, x_scales, w_scales, y;
  DeviceMemory ours, is_different;  // results of our kernel; a word
  DType dtype = DType::bf16;        // of what x and w were filled with
};

CublasLtGemms::CublasLtGemms(CudaStream& stream, const CublasLtOptions& options)
    : stream_(stream),
      options_(options),
      api_(CublasLtApi::open(options.directories)),
      identity_(identity_of(api_, stream.device())),
      tuning_file_(options.tuning_directory.empty()
                       ? std::filesystem::path()
                       : tuning_file(options.tuning_directory, identity_)),
      tuned_(tuning_file_.empty() ? TuningCache(identity_)
                                  : TuningCache::load(tuning_file_, identity_)) {
  check(cudaSetDevice(stream.device()), "choosing the device");
  workspace_ = DeviceMemory(options.workspace_bytes);
  api_.check(api_.create(&handle_), "starting");
}

CublasLtGemms::~CublasLtGemms() {
  products_.clear();
  if (handle_ != nullptr) api_.destroy(handle_);
}

bool CublasLtGemms::run(const Gemm& gemm, const GemmOperands& operands) noexcept {
  try {
    CublasLtProduct* const product = product_for(as_wanted(gemm), operands);
    return product != nullptr && run(*product, operands);
  } catch (...) {
    return false;
  }
}

Gemm CublasLtGemms::as_wanted(Gemm gemm) const {
  const bool is_fastest = options_.use == LibraryUse::fastest;
  gemm.fast_accumulation = is_fastest && gemm.operands == DType::fp8_e4m3;
  gemm.same_bits = !is_fastest;
  return gemm;
}

bool CublasLtGemms::run(CublasLtProduct& product, const GemmOperands& operands) noexcept {
  return product.run(handle_, operands, workspace_.data(), workspace_.bytes(), stream_.handle());
}

CublasLtProduct* CublasLtGemms::product_for(const Gemm& gemm, const GemmOperands& operands) {
  const CallKey key{.tokens = gemm.tokens,
                    .n = gemm.n,
                    .k = gemm.k,
                    .operands = gemm.operands,
                    .out = gemm.out,
                    .scaling = gemm.scaling,
                    .x_stride = operands.x_stride,
                    .w_stride = operands.w_stride,
                    .y_stride = operands.y_stride,
                    .x_alignment = alignment_of(operands.x),
                    .w_alignment = alignment_of(operands.w),
                    .y_alignment = alignment_of(operands.y)};
  if (const auto known = products_.find(key); known != products_.end()) return known->second.get();
  if (products_.size() >= kMaxProducts) products_.clear();
  auto product = std::make_unique<CublasLtProduct>(api_, gemm, operands);
  const bool is_aligned =
      std::min({key.x_alignment, key.w_alignment, key.y_alignment}) >= kTunedAlignment;
  const TunedGemm* const tuned = is_aligned ? tuned_.find(gemm) : nullptr;
  // An algorithm of the bucket need not suit the exact number of tokens.
  if (tuned == nullptr || !product->use(handle_, tuned->algorithm, workspace_.bytes())) {
    std::vector<GemmAlgorithm> guess;  // nobody looked at the bits of one
    if (!gemm.same_bits) guess = product->candidates(handle_, workspace_.bytes(), 1);
    if (guess.empty() || !product->use(handle_, guess.front(), workspace_.bytes()))
      product = nullptr;  // remembered too
  }
  return products_.emplace(key, std::move(product)).first->second.get();
}

TuneReport CublasLtGemms::tune(std::span<const Gemm> gemms) {
  std::vector<Gemm> wanted(gemms.begin(), gemms.end());
  for (Gemm& gemm : wanted) gemm = as_wanted(gemm);
  TuneReport report = tune_missing(wanted, tuned_, *this);
  operands_.reset();
  products_.clear();  // they were made before their algorithms were known
  if (std::string notice = tuned_.take_notice(); !notice.empty())
    report.notices.insert(report.notices.begin(), std::move(notice));
  if (report.num_tuned > 0 && !tuning_file_.empty()) {
    try {
      tuned_.save(tuning_file_);
    } catch (const Error& error) {  // they serve this run all the same
      report.notices.push_back("tuned products are not kept: " + error.message());
    }
  }
  return report;
}

std::vector<GemmAlgorithm> CublasLtGemms::candidates(const Gemm& gemm, int at_most) {
  return candidates(gemm, random_operands(gemm, 0), at_most);
}

std::vector<GemmAlgorithm> CublasLtGemms::candidates(const Gemm& gemm, const GemmOperands& operands,
                                                     int at_most) {
  return CublasLtProduct(api_, gemm, operands).candidates(handle_, workspace_.bytes(), at_most);
}

std::unique_ptr<CublasLtProduct> CublasLtGemms::prepare(const Gemm& gemm,
                                                        const GemmOperands& operands,
                                                        const GemmAlgorithm& algorithm) {
  auto product = std::make_unique<CublasLtProduct>(api_, gemm, operands);
  if (!product->use(handle_, algorithm, workspace_.bytes()))
    throw Error(ErrorKind::unsupported,
                fmt::format("the algorithm does not fit {}", to_string(gemm)));
  return product;
}

double CublasLtGemms::seconds(const Gemm& gemm, const GemmAlgorithm& algorithm, int num_samples) {
  const auto product = prepare(gemm, random_operands(gemm, 0), algorithm);
  bool is_refused = false;
  const double seconds = seconds_of(gemm, num_samples, [&](int64_t call) {
    is_refused = !run(*product, random_operands(gemm, call)) || is_refused;
  });
  if (is_refused) throw Error(ErrorKind::unsupported, fmt::format("refused: {}", to_string(gemm)));
  return seconds;
}

double CublasLtGemms::our_seconds(const Gemm& gemm, int num_samples) {
  return seconds_of(gemm, num_samples, [&](int64_t call) {
    const GemmOperands operands = random_operands(gemm, call);
    run_ours(stream_, gemm, operands, 0, gemm.tokens, operands.y);
  });
}

double CublasLtGemms::seconds_of(const Gemm& gemm, int num_samples,
                                 const std::function<void(int64_t)>& enqueue) {
  const size_t w_bytes = static_cast<size_t>(gemm.n * gemm.k) * dtype_bytes(gemm.operands);
  const auto copies = static_cast<int64_t>(std::max<size_t>(1, kColdBytes / w_bytes));
  return median(time_calls(stream_,
                           {.sample_seconds = 0.5e-3,
                            .num_samples = num_samples,
                            .round = std::min<int64_t>(copies, 64)},
                           enqueue)
                    .seconds);
}

bool CublasLtGemms::has_our_bits(const Gemm& gemm, const GemmAlgorithm& algorithm) {
  const GemmOperands operands = random_operands(gemm, 0);
  const auto product = prepare(gemm, operands, algorithm);
  const auto row_bytes = static_cast<size_t>(gemm.n) * dtype_bytes(gemm.out);
  const int64_t rows = std::max<int64_t>(1, static_cast<int64_t>(kComparedBytes / row_bytes));
  DeviceMemory& ours = operands_->ours;
  DeviceMemory& is_different = operands_->is_different;
  ours.grow(static_cast<size_t>(rows) * row_bytes);
  is_different.grow(sizeof(uint32_t));
  const cudaStream_t stream = stream_.handle();
  check(cudaMemsetAsync(is_different.data(), 0, sizeof(uint32_t), stream), "clearing a word");
  // What it leaves unwritten is a difference, too.
  check(cudaMemsetAsync(operands.y, 0xff, static_cast<size_t>(gemm.tokens) * row_bytes, stream),
        "writing NaN");
  if (!run(*product, operands)) return false;
  for (int64_t row = 0; row < gemm.tokens; row += rows) {
    const int64_t count = std::min(rows, gemm.tokens - row);
    run_ours(stream_, gemm, operands, row, count, ours.data());
    find_difference(stream_, static_cast<const uint32_t*>(ours.data()),
                    static_cast<const uint32_t*>(operands.y) +
                        static_cast<size_t>(row) * row_bytes / sizeof(uint32_t),
                    count * static_cast<int64_t>(row_bytes / sizeof(uint32_t)),
                    static_cast<uint32_t*>(is_different.data()));
  }
  uint32_t found = 1;
  check(cudaMemcpyAsync(&found, is_different.data(), sizeof(found), cudaMemcpyDeviceToHost, stream),
        "reading a word");
  stream_.synchronize();
  return found == 0;
}

GemmOperands CublasLtGemms::random_operands(const Gemm& gemm, int64_t call) {
  const size_t element = dtype_bytes(gemm.operands);
  const size_t w_bytes = static_cast<size_t>(gemm.n * gemm.k) * element;
  const size_t x_bytes = static_cast<size_t>(gemm.tokens * gemm.k) * element;
  const size_t y_bytes = static_cast<size_t>(gemm.tokens * gemm.n) * dtype_bytes(gemm.out);
  if (operands_ == nullptr) operands_ = std::make_unique<Operands>();
  Operands& own = *operands_;
  const bool has_new_x = own.x.grow(x_bytes);
  const bool has_new_w = own.w.grow(std::max(w_bytes, kColdBytes));
  own.y.grow(y_bytes);
  const bool is_other_dtype = std::exchange(own.dtype, gemm.operands) != gemm.operands;
  const float deviation = gemm.operands == DType::fp8_e4m3 ? kCodeDeviation : 1.0f;
  const auto fill = [&](const DeviceMemory& memory, uint64_t seed) {
    fill_normal(stream_, memory.data(), gemm.operands,
                static_cast<int64_t>(memory.bytes() / element), seed, deviation);
  };
  if (has_new_x || is_other_dtype) fill(own.x, 1);
  if (has_new_w || is_other_dtype) fill(own.w, 2);
  const auto fill_scales = [&](DeviceMemory& memory, int64_t rows, uint64_t seed) {
    if (memory.grow(static_cast<size_t>(rows) * sizeof(float)))
      fill_uniform(stream_, static_cast<float*>(memory.data()), rows, seed, 0.001f, 0.01f);
  };
  fill_scales(own.x_scales, gemm.tokens, 3);
  fill_scales(own.w_scales, gemm.n, 4);
  const size_t copies = own.w.bytes() / w_bytes;
  return {.x = own.x.data(),
          .x_stride = gemm.k,
          .w = static_cast<const std::byte*>(own.w.data()) +
               static_cast<size_t>(call) % copies * w_bytes,
          .w_stride = gemm.k,
          .x_scales = static_cast<const float*>(own.x_scales.data()),
          .w_scales = static_cast<const float*>(own.w_scales.data()),
          .y = own.y.data(),
          .y_stride = gemm.n};
}

void require_cublaslt(const CublasLtOptions& options) {
  static_cast<void>(CublasLtApi::open(options.directories));
}

void attach_cublaslt(Stream& stream, const CublasLtOptions& options) {
  auto& cuda = static_cast<CudaStream&>(stream);
  cuda.set_library(std::make_shared<CublasLtGemms>(cuda, options));
}

}  // namespace veloz::cuda
