// SPDX-License-Identifier: Apache-2.0
#include "bench/cuda_gemm_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/fp8.h"
#include "base/median.h"
#include "bench/cuda_read.h"
#include "cuda/cublaslt/gemm.h"
#include "cuda/gpu.h"
#include "cuda/kernels.h"
#include "cuda/random_fill.h"

namespace veloz::bench {
namespace {

/// Weights are read in turn from this much memory, several times the L2 cache of 50 or 60 MB.
constexpr size_t kColdBytes = size_t{256} << 20;
constexpr int kNumCandidates = 8;
constexpr size_t kNumFinalists = 2;
constexpr double kGiveUpSeconds = 8;
constexpr auto kLostAfter = std::chrono::seconds(1);
/// The 2-norm of a rounding to bf16 alone is about 1.6e-3 of the values'.
constexpr double kErrorLimit = 2e-3;
constexpr double kFastErrorLimit = 1e-2;
constexpr float kCodeDeviation = 100;  // codes of a row whose largest is 448
constexpr size_t kCheckedElements = 384;
constexpr int64_t kComparedRows[] = {0, 1, 5, 31, 100, 999, 4095};
/// A kernel that is meant for small sizes is not timed at large ones.
constexpr int64_t kMaxSimpleTokens = 64;

cuda::CudaStream& cuda_stream(Stream& stream) { return static_cast<cuda::CudaStream&>(stream); }

double element(const std::byte* data, DType dtype, int64_t i) {
  if (dtype == DType::fp8_e4m3) {
    Fp8E4M3 code;
    std::memcpy(&code.bits, data + i, 1);
    return static_cast<float>(code);
  }
  if (dtype == DType::bf16) {
    BFloat16 value;
    std::memcpy(&value.bits, data + 2 * i, 2);
    return static_cast<float>(value);
  }
  float value = 0;
  std::memcpy(&value, data + 4 * i, 4);
  return value;
}

std::vector<double> elements(const std::vector<std::byte>& bytes, DType dtype) {
  std::vector<double> values(bytes.size() / dtype_bytes(dtype));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = element(bytes.data(), dtype, static_cast<int64_t>(i));
  return values;
}

size_t matrix_bytes(int64_t rows, int64_t columns, DType dtype) {
  return static_cast<size_t>(rows * columns) * dtype_bytes(dtype);
}

bool is_quantized(const GemmShape& shape) { return shape.operands == DType::fp8_e4m3; }

ops::Attrs attrs_of(const GemmShape& shape) {
  if (!is_quantized(shape) && shape.out == DType::bf16) return {};
  return {{"out", std::string(to_string(shape.out))}};
}

void keep_failure(GemmResult& result, const Error& error) { result.failure = error.message(); }

}  // namespace

GemmMachine::~GemmMachine() = default;

GemmMachine::GemmMachine(Device& device, const cuda::CublasLtOptions& options,
                         std::span<const GemmShape> shapes, int64_t max_tokens,
                         bool fast_accumulation, std::string kernel)
    : device_(device),
      stream_(device.create_stream()),
      registry_(cuda::make_registry()),
      fast_accumulation_(fast_accumulation),
      kernel_(std::move(kernel)) {
  cuda::CudaStream& stream = cuda_stream(*stream_);
  try {
    library_ = std::make_unique<cuda::CublasLtGemms>(stream, options);
  } catch (const Error& error) {
    why_no_library_ = error.message();
  }
  size_t w_bytes[2] = {kColdBytes, kColdBytes}, x_bytes[2] = {1, 1}, y_bytes = kColdBytes;
  int64_t max_n = 1;
  for (const GemmShape& shape : shapes) {
    const size_t at = is_quantized(shape) ? 0 : 1;
    w_bytes[at] = std::max(w_bytes[at], matrix_bytes(shape.n, shape.k, shape.operands));
    x_bytes[at] = std::max(x_bytes[at], matrix_bytes(max_tokens, shape.k, shape.operands));
    y_bytes = std::max(y_bytes, matrix_bytes(max_tokens, shape.n, shape.out));
    max_n = std::max(max_n, shape.n);
  }
  fp8_ = {device.allocate(w_bytes[0]), device.allocate(x_bytes[0])};
  bf16_ = {device.allocate(w_bytes[1]), device.allocate(x_bytes[1])};
  y_ = device.allocate(y_bytes);
  x_scales_ = device.allocate(static_cast<size_t>(max_tokens) * sizeof(float));
  w_scales_ = device.allocate(static_cast<size_t>(max_n) * sizeof(float));
  const auto fill = [&](const Buffer& buffer, DType dtype, uint64_t seed, float deviation) {
    cuda::fill_normal(stream, buffer.data(), dtype,
                      static_cast<int64_t>(buffer.bytes() / dtype_bytes(dtype)), seed, deviation);
  };
  fill(fp8_.weights, DType::fp8_e4m3, 1, kCodeDeviation);
  fill(fp8_.x, DType::fp8_e4m3, 2, kCodeDeviation);
  fill(bf16_.weights, DType::bf16, 3, 0.02f);
  fill(bf16_.x, DType::bf16, 4, 1.0f);
  cuda::fill_uniform(stream, static_cast<float*>(x_scales_.data()), max_tokens, 5, 0.005f, 0.01f);
  cuda::fill_uniform(stream, static_cast<float*>(w_scales_.data()), max_n, 6, 1e-4f, 3e-4f);
  cuda::synchronize_within(stream, kGiveUpSeconds);
}

std::string GemmMachine::library_version() const {
  return library_ == nullptr ? "none" : library_->identity().library;
}

bool GemmMachine::is_lost() {
  cudaGetLastError();
  // Not the runtime's own wait, which a kernel that hangs would never end.
  const auto start = std::chrono::steady_clock::now();
  cudaError_t state = cudaErrorNotReady;
  while (state == cudaErrorNotReady && std::chrono::steady_clock::now() - start < kLostAfter)
    state = cudaStreamQuery(cuda_stream(*stream_).handle());
  return state != cudaSuccess;
}

cuda::Gemm GemmMachine::gemm(const GemmCase& c) const {
  return {.tokens = c.tokens,
          .n = c.shape.n,
          .k = c.shape.k,
          .operands = c.shape.operands,
          .out = c.shape.out,
          .scaling = is_quantized(c.shape) ? cuda::GemmScaling::rows : cuda::GemmScaling::none,
          .fast_accumulation = is_quantized(c.shape) && fast_accumulation_};
}

int64_t GemmMachine::num_weights(const GemmShape& shape) const {
  const size_t bytes = matrix_bytes(shape.n, shape.k, shape.operands);
  return static_cast<int64_t>(
      std::max<size_t>(1, std::min(memory(shape.operands).weights.bytes(), kColdBytes) / bytes));
}

cuda::GemmOperands GemmMachine::operands(const GemmCase& c, int64_t call) const {
  const Memory& own = memory(c.shape.operands);
  const size_t w_bytes = matrix_bytes(c.shape.n, c.shape.k, c.shape.operands);
  const auto copy = static_cast<size_t>(call % num_weights(c.shape));
  return {.x = own.x.data(),
          .x_stride = c.shape.k,
          .w = static_cast<const std::byte*>(own.weights.data()) + copy * w_bytes,
          .w_stride = c.shape.k,
          .x_scales = static_cast<const float*>(x_scales_.data()),
          .w_scales = static_cast<const float*>(w_scales_.data()),
          .y = y_.data(),
          .y_stride = c.shape.n};
}

const ops::Kernel& GemmMachine::choose(const GemmShape& shape) const {
  const ops::Attrs attrs = attrs_of(shape);
  const ops::Dim tokens(ops::Symbol::T);
  std::vector<ops::ValueType> inputs = {{shape.operands, {tokens, shape.k}}};
  if (is_quantized(shape)) inputs.push_back({DType::fp32, {tokens, 1}});
  inputs.push_back({shape.operands, {shape.n, shape.k}});
  if (is_quantized(shape)) inputs.push_back({DType::fp32, {shape.n, 1}});
  const std::vector<ops::ValueType> outputs = {{shape.out, {tokens, shape.n}}};
  const ops::KernelQuery query{is_quantized(shape) ? ops::Op::quantized_linear : ops::Op::linear,
                               inputs, outputs, attrs, "plain"};
  if (kernel_.empty()) return registry_.choose(query);
  for (const ops::Kernel& kernel : registry_.kernels())
    if (kernel.name == kernel_ && kernel.op == query.op && kernel.accepts(query)) return kernel;
  throw Error(ErrorKind::unsupported, fmt::format("there is no kernel \"{}\" for it", kernel_));
}

void GemmMachine::run_ours(const ops::Kernel& kernel, const GemmCase& c, int64_t call) {
  const cuda::GemmOperands o = operands(c, call);
  const auto view = [](const void* data, DType dtype, int64_t rows, int64_t columns) {
    return TensorView(const_cast<void*>(data), dtype, Shape{rows, columns});
  };
  std::vector<TensorView> inputs = {view(o.x, c.shape.operands, c.tokens, c.shape.k)};
  if (is_quantized(c.shape)) inputs.push_back(view(o.x_scales, DType::fp32, c.tokens, 1));
  inputs.push_back(view(o.w, c.shape.operands, c.shape.n, c.shape.k));
  if (is_quantized(c.shape)) inputs.push_back(view(o.w_scales, DType::fp32, c.shape.n, 1));
  const std::vector<TensorView> outputs = {view(o.y, c.shape.out, c.tokens, c.shape.n)};
  const ops::Attrs attrs = attrs_of(c.shape);
  const ops::OpCall op_call{.inputs = inputs, .outputs = outputs, .attrs = attrs};
  const size_t bytes = kernel.workspace_bytes == nullptr ? 0 : kernel.workspace_bytes(op_call, 1);
  if (workspace_.bytes() < bytes) workspace_ = device_.allocate(bytes);
  ops::OpContext context{.stream = stream_.get(),
                         .workspace = {static_cast<std::byte*>(workspace_.data()), bytes}};
  kernel.run(context, op_call);
}

std::vector<std::byte> GemmMachine::download(const void* data, size_t bytes) {
  std::vector<std::byte> host(bytes);
  device_.copy_out(*stream_, host.data(), data, bytes);
  cuda::synchronize_within(cuda_stream(*stream_), kGiveUpSeconds);
  return host;
}

void GemmMachine::poison_output(const GemmCase& c) {
  cuda::check(cudaMemsetAsync(y_.data(), 0xff, matrix_bytes(c.tokens, c.shape.n, c.shape.out),
                              cuda_stream(*stream_).handle()),
              "writing NaN");
}

void GemmMachine::check_output(const GemmCase& c, GemmResult& result, double limit) {
  const cuda::GemmOperands o = operands(c, 0);
  const int64_t n = c.shape.n, k = c.shape.k;
  const auto row_of = [](const void* data, int64_t row, int64_t columns, DType dtype) {
    return static_cast<const std::byte*>(data) + matrix_bytes(row, columns, dtype);
  };
  const auto scales = [&](const float* data, int64_t count) {
    return elements(download(data, static_cast<size_t>(count) * sizeof(float)), DType::fp32);
  };
  const std::vector<double> x_scales = scales(o.x_scales, c.tokens);
  const std::vector<double> w_scales = scales(o.w_scales, n);
  std::vector<int64_t> rows = {0, c.tokens / 3, c.tokens / 2, c.tokens - 1};
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  // Of few elements, roundings alone can pass the limit.
  const auto num_columns = static_cast<int64_t>(kCheckedElements / rows.size());
  std::vector<int64_t> columns;
  std::vector<std::vector<double>> weights;
  for (int64_t i = 0; i < num_columns; ++i) {
    columns.push_back(i * (n - 1) / (num_columns - 1));
    weights.push_back(elements(download(row_of(o.w, columns.back(), k, c.shape.operands),
                                        matrix_bytes(1, k, c.shape.operands)),
                               c.shape.operands));
  }
  double difference = 0, magnitude = 0;
  for (const int64_t t : rows) {
    const std::vector<double> x = elements(
        download(row_of(o.x, t, k, c.shape.operands), matrix_bytes(1, k, c.shape.operands)),
        c.shape.operands);
    const std::vector<std::byte> y =
        download(row_of(o.y, t, n, c.shape.out), matrix_bytes(1, n, c.shape.out));
    for (size_t i = 0; i < columns.size(); ++i) {
      double want = 0;
      for (size_t j = 0; j < x.size(); ++j) want += x[j] * weights[i][j];
      if (is_quantized(c.shape))
        want *= x_scales[static_cast<size_t>(t)] * w_scales[static_cast<size_t>(columns[i])];
      const double off = element(y.data(), c.shape.out, columns[i]) - want;
      difference += off * off;
      magnitude += want * want;
    }
  }
  result.error = std::sqrt(difference / magnitude);
  result.is_right = result.error <= limit;  // false for NaN
  if (!result.is_right)
    result.failure =
        fmt::format("its relative error is {:.2e}, allowed are {:.0e}", result.error, limit);
}

void GemmMachine::check_invariance(const GemmCase& c, GemmResult& result) {
  const size_t row_bytes = matrix_bytes(1, c.shape.n, c.shape.out);
  const std::string shape = fmt::format("{} {} {}", c.shape.model, c.shape.name, result.kernel);
  for (const int64_t row : kComparedRows) {
    if (row >= c.tokens) break;
    std::vector<std::byte> bits = download(
        static_cast<const std::byte*>(y_.data()) + static_cast<size_t>(row) * row_bytes, row_bytes);
    const auto [first, is_new] = rows_.try_emplace({shape, row}, std::move(bits));
    if (is_new) continue;
    const bool is_same = first->second == bits;
    result.is_invariant = result.is_invariant.value_or(true) && is_same;
    if (!is_same && result.failure.empty())
      result.failure = fmt::format("row {} has other bits than with other numbers of tokens", row);
  }
}

void GemmMachine::time(const GemmCase& c, GemmResult& result,
                       const std::function<void(int64_t)>& enqueue) {
  const cuda::Timing timing = cuda::time_calls(cuda_stream(*stream_),
                                               {.sample_seconds = 0.6e-3,
                                                .num_samples = 5,
                                                .budget_seconds = 5e-3,
                                                .round = num_weights(c.shape),
                                                .give_up_seconds = kGiveUpSeconds},
                                               enqueue);
  result.seconds.insert(result.seconds.end(), timing.seconds.begin(), timing.seconds.end());
  result.is_graph = timing.is_graph;
}

std::unique_ptr<cuda::CublasLtProduct> GemmMachine::choose_algorithm(GemmCase& c) {
  const cuda::Gemm product = gemm(c);
  const cuda::GemmOperands first = operands(c, 0);
  struct Candidate {
    double seconds;
    std::unique_ptr<cuda::CublasLtProduct> product;
  };
  std::vector<Candidate> candidates;
  const auto seconds_of = [&](cuda::CublasLtProduct& candidate, int num_samples) {
    bool is_refused = false;
    const cuda::Timing timing =
        cuda::time_calls(cuda_stream(*stream_),
                         {.sample_seconds = 0.3e-3,
                          .num_samples = num_samples,
                          .budget_seconds = 4e-3,
                          .round = num_weights(c.shape),
                          .give_up_seconds = kGiveUpSeconds},
                         [&](int64_t call) {
                           is_refused = !library_->run(candidate, operands(c, call)) || is_refused;
                         });
    return is_refused ? std::numeric_limits<double>::infinity() : median(timing.seconds);
  };
  for (const cuda::GemmAlgorithm& algorithm :
       library_->candidates(product, first, kNumCandidates)) {
    try {
      auto candidate = library_->prepare(product, first, algorithm);
      const double seconds = seconds_of(*candidate, 1);
      if (std::isfinite(seconds)) candidates.push_back({seconds, std::move(candidate)});
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::unsupported) throw;
    }
  }
  c.library.num_candidates = static_cast<int>(candidates.size());
  if (candidates.empty())
    throw Error(ErrorKind::unsupported,
                fmt::format("the library has no way to compute {}", cuda::to_string(product)));
  std::ranges::stable_sort(candidates, {}, &Candidate::seconds);
  candidates.resize(std::min(candidates.size(), kNumFinalists));
  if (candidates.size() > 1)
    for (Candidate& candidate : candidates) candidate.seconds = seconds_of(*candidate.product, 5);
  return std::move(std::ranges::min_element(candidates, {}, &Candidate::seconds)->product);
}

void GemmMachine::run(GemmCase& c) {
  const auto attempt = [&](GemmResult& result, const std::function<void()>& work) {
    try {
      work();
    } catch (const Error& error) {
      keep_failure(result, error);
      if (is_lost()) throw;
      return false;
    }
    return true;
  };
  std::unique_ptr<cuda::CublasLtProduct> product;
  const auto enqueue_library = [&](int64_t call) { library_->run(*product, operands(c, call)); };
  c.library.kernel = library_version();
  const bool has_library = attempt(c.library, [&] {
    if (library_ == nullptr) throw Error(ErrorKind::unsupported, why_no_library_);
    product = choose_algorithm(c);
    poison_output(c);
    enqueue_library(0);
    check_output(c, c.library, gemm(c).fast_accumulation ? kFastErrorLimit : kErrorLimit);
    time(c, c.library, enqueue_library);
  });
  const ops::Kernel* kernel = nullptr;
  const auto enqueue_ours = [&](int64_t call) { run_ours(*kernel, c, call); };
  const bool has_ours = attempt(c.ours, [&] {
    kernel = &choose(c.shape);
    c.ours.kernel = kernel->name;
    if (kernel->name.ends_with("/simple") && c.tokens > kMaxSimpleTokens)
      throw Error(ErrorKind::unsupported,
                  fmt::format("{} is not timed beyond {} tokens", kernel->name, kMaxSimpleTokens));
    poison_output(c);
    enqueue_ours(0);
    check_output(c, c.ours, kErrorLimit);
    check_invariance(c, c.ours);
    time(c, c.ours, enqueue_ours);
  });
  if (!has_library || !has_ours) return;
  attempt(c.library, [&] { time(c, c.library, enqueue_library); });
  attempt(c.ours, [&] { time(c, c.ours, enqueue_ours); });
  attempt(c.library, [&] { c.served = choose_of_our_bits(c); });
}

std::optional<cuda::TunedGemm> GemmMachine::choose_of_our_bits(const GemmCase& c) {
  cuda::Gemm product = gemm(c);
  product.fast_accumulation = false;
  product.same_bits = true;
  return cuda::autotune(product, *library_);
}

double GemmMachine::library_cube(int64_t extent, DType operands, cuda::GemmScaling scaling,
                                 bool fast_accumulation) {
  if (library_ == nullptr) throw Error(ErrorKind::unsupported, why_no_library_);
  const cuda::Gemm product{.tokens = extent,
                           .n = extent,
                           .k = extent,
                           .operands = operands,
                           .out = DType::bf16,
                           .scaling = scaling,
                           .fast_accumulation = fast_accumulation};
  const std::optional<cuda::TunedGemm> tuned = cuda::autotune(product, *library_);
  if (!tuned)
    throw Error(ErrorKind::unsupported,
                fmt::format("the library has no way to compute {}", cuda::to_string(product)));
  return tuned->microseconds * 1e-6;
}

double GemmMachine::copy_bandwidth() {
  const size_t bytes = std::min(fp8_.weights.bytes(), y_.bytes());
  const cuda::Timing timing = cuda::time_calls(
      cuda_stream(*stream_), {.num_samples = 15, .budget_seconds = 30e-3},
      [&](int64_t) { device_.copy(*stream_, y_.data(), fp8_.weights.data(), bytes); });
  return 2 * static_cast<double>(bytes) / median(timing.seconds);
}

double GemmMachine::read_bandwidth() {
  const Buffer& memory = bf16_.weights;
  const cuda::Timing timing = cuda::time_calls(
      cuda_stream(*stream_), {.num_samples = 15, .budget_seconds = 30e-3}, [&](int64_t) {
        read_all(cuda_stream(*stream_),
                 {static_cast<const std::byte*>(memory.data()), memory.bytes()},
                 static_cast<uint32_t*>(y_.data()));
      });
  return static_cast<double>(memory.bytes()) / median(timing.seconds);
}

}  // namespace veloz::bench
