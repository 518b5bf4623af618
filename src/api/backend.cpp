// SPDX-License-Identifier: Apache-2.0
#include "api/backend.h"

#include <fmt/format.h>

#include "base/error.h"
#include "cpu/device.h"
#include "cpu/features.h"
#include "cpu/kernels.h"

namespace veloz::api {

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

ops::KernelRegistry target_registry(std::string_view target) {
  if (target == "cpu") return cpu::make_registry(cpu::Isa::avx512_bf16);
  if (target.starts_with("cpu:")) return cpu::make_registry(cpu::parse_isa(target.substr(4)));
  throw Error(
      ErrorKind::unsupported, fmt::format("there is no target \"{}\"", target),
      "targets are cpu, cpu:portable, cpu:avx2, cpu:avx512, cpu:avx512_vnni, cpu:avx512_bf16");
}

}  // namespace veloz::api
