// SPDX-License-Identifier: Apache-2.0
#include "api/backend.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "base/error.h"
#include "cpu/device.h"
#include "cpu/features.h"
#include "cpu/kernels.h"
#include "cpu/layouts.h"
#include "cuda/device.h"
#include "cuda/kernels.h"

namespace veloz::api {
namespace {

constexpr std::string_view kCuda = "cuda";

/// N of "cuda:N", 0 of "cuda"; nothing of "auto" and "cpu".
std::optional<int> parse_gpu(std::string_view device) {
  if (device == "auto" || device == "cpu") return std::nullopt;
  if (device == kCuda) return 0;
  int index = 0;
  if (device.starts_with("cuda:")) {
    const std::string_view digits = device.substr(5);
    const char* const end = digits.data() + digits.size();
    const auto [rest, error] = std::from_chars(digits.data(), end, index);
    if (error == std::errc{} && rest == end && index >= 0) return index;
  }
  throw Error(ErrorKind::invalid_input, fmt::format("--device \"{}\" is not known", device),
              "it is auto, cpu, cuda or cuda:N");
}

/// Engines for the CPU run there too: their weights are unpacked as they are loaded.
Backend open_gpu(int index, const BackendRequest& request) {
  const int threads = resolve_num_threads(request.num_threads);
  cuda::DeviceOptions options{.library = request.allow_nondeterminism ? cuda::LibraryUse::fastest
                                                                      : cuda::LibraryUse::same_bits,
                              .cublaslt_directory = request.cublaslt_directory,
                              .tuning_directory = request.tuning_directory};
  std::unique_ptr<Device> device = cuda::open_device(index, options);
  std::string warning;
  // Where it changes no bit, cuBLASLt is a matter of speed: the program runs without, and says so.
  if (const auto error =
          request.allow_nondeterminism ? std::nullopt : cuda::library_error(options)) {
    warning =
        fmt::format("large batches are slower than they could be (the tokens are the same): {}; {}",
                    error->message(), error->hint());
    options.library = cuda::LibraryUse::none;
    device = cuda::open_device(index, options);
  }
  std::string description = device->description();
  if (options.library == cuda::LibraryUse::same_bits)
    description += ", cuBLASLt where it is the same";
  if (options.library == cuda::LibraryUse::fastest) description += ", cuBLASLt";
  return {.pool = std::make_unique<ThreadPool>(threads),
          .device = std::move(device),
          .registry = std::make_unique<ops::KernelRegistry>(
              cuda::make_registry({.library = options.library})
                  .with_foreign_layouts(cpu::weight_layouts())),
          .description = std::move(description),
          .warning = std::move(warning),
          .uses_library = options.library != cuda::LibraryUse::none};
}

}  // namespace

BackendRequest backend_request(const LLMOptions& options) {
  return {.device = options.device,
          .isa = options.isa,
          .num_threads = options.num_threads,
          .allow_nondeterminism = options.allow_nondeterminism,
          .cublaslt_directory = options.cublaslt_directory,
          .tuning_directory = options.tuning_directory};
}

int resolve_num_threads(int num_threads) {
  if (num_threads < 0 || num_threads > 1024)
    throw Error(ErrorKind::invalid_input,
                fmt::format("{} threads were asked for, 1 to 1024 can be", num_threads),
                "leave --threads out to use what this process may use");
  return num_threads == 0 ? default_num_threads() : num_threads;
}

Backend open_cpu(std::string_view isa_name, int num_threads) {
  const int threads = resolve_num_threads(num_threads);
  const cpu::CpuFeatures features = cpu::detect_features();
  const cpu::Isa isa = isa_name.empty() ? cpu::best_isa(features) : cpu::parse_isa(isa_name);
  cpu::require_isa(isa, features);
  return {std::make_unique<ThreadPool>(threads), std::make_unique<cpu::CpuDevice>(),
          std::make_unique<ops::KernelRegistry>(cpu::make_registry(isa)),
          fmt::format("{} threads, {}", threads, cpu::to_string(isa))};
}

Backend open_backend(const BackendRequest& request, std::string_view target) {
  if (const std::optional<int> gpu = parse_gpu(request.device)) return open_gpu(*gpu, request);
  std::string warning;
  if (request.device == "auto" && target == kCuda) {
    try {
      return open_gpu(0, request);
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::unsupported) throw;
      warning = fmt::format("the engine was built for a GPU and runs on the CPU: {}", e.message());
    }
  }
  Backend backend = open_cpu(request.isa, request.num_threads);
  backend.warning = std::move(warning);
  return backend;
}

void require_device(std::string_view device) {
  if (const std::optional<int> gpu = parse_gpu(device)) static_cast<void>(cuda::open_device(*gpu));
}

std::string_view target_of_device(std::string_view device) {
  return parse_gpu(device) ? kCuda : "cpu";
}

ops::KernelRegistry target_registry(std::string_view target) {
  if (target == "cpu") return cpu::make_registry(cpu::kIsas.back());
  if (target.starts_with("cpu:")) return cpu::make_registry(cpu::parse_isa(target.substr(4)));
  if (target == kCuda) return cuda::make_registry();
  throw Error(ErrorKind::unsupported, fmt::format("there is no target \"{}\"", target),
              "targets are cpu, cpu:portable, cpu:avx2, cpu:avx2_vnni, cpu:avx512, "
              "cpu:avx512_vnni, cpu:avx512_bf16, cpu:avx512_bf16_dot, cuda");
}

ops::KernelRegistry local_registry(std::string_view target) {
  if (target == kCuda) return cuda::make_registry();
  return cpu::make_registry(cpu::best_isa(cpu::detect_features()));
}

}  // namespace veloz::api
