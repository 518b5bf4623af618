// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include "base/error.h"
#include "base/median.h"
#include "bench/cuda_machine.h"
#include "cuda/gemm.h"

/// Times every tile of the wgmma kernels on every shape: what choose_gemm_tile is fitted to. One
/// JSON object a line; `chosen` marks the tile that a product of this shape gets.
namespace veloz::bench {
namespace {

struct Options {
  int64_t tokens_from = 1;
  double budget_s = 60;
  bool bf16 = false;
};

struct Weight {
  const char* name;
  int64_t rows;
  int64_t columns;
};
constexpr Weight kWeights[] = {{"70b qkv", 10240, 8192},     {"70b o", 8192, 8192},
                               {"70b gate_up", 57344, 8192}, {"70b down", 8192, 28672},
                               {"8b qkv", 6144, 4096},       {"8b o", 4096, 4096},
                               {"8b gate_up", 28672, 4096},  {"8b down", 4096, 14336}};
constexpr int64_t kTokens[] = {1, 8, 32, 64, 128, 256, 512, 1024, 2048, 4096};

void time_shape(CudaMachine& machine, const Weight& weight, int64_t num_tokens, DType dtype) {
  constexpr size_t kCold = size_t{200} << 20;  // several times the second-level cache
  const auto row_bytes = static_cast<size_t>(weight.columns) * dtype_bytes(dtype);
  const size_t weight_bytes = static_cast<size_t>(weight.rows) * row_bytes;
  const size_t num_sets = std::max<size_t>(1, kCold / weight_bytes);
  machine.release();
  std::vector<cuda::GemmCall> calls;
  const auto scales = [&](int64_t rows) {
    return TensorView(machine.random(DType::fp32, static_cast<size_t>(rows) * sizeof(float)),
                      DType::fp32, {rows, 1});
  };
  const TensorView x(machine.random(dtype, static_cast<size_t>(num_tokens) * row_bytes), dtype,
                     {num_tokens, weight.columns});
  const TensorView y(machine.take(static_cast<size_t>(num_tokens * weight.rows) * 2), DType::bf16,
                     {num_tokens, weight.rows});
  const bool is_scaled = dtype != DType::bf16;
  for (size_t i = 0; i < num_sets; ++i)
    calls.push_back(
        {.x = x,
         .x_scales = is_scaled ? scales(num_tokens) : TensorView(),
         .w = TensorView(machine.random(dtype, weight_bytes), dtype, {weight.rows, weight.columns}),
         .w_scales = is_scaled ? scales(weight.rows) : TensorView(),
         .bias = {},
         .y = y});
  const cuda::GemmTile chosen = cuda::choose_gemm_tile(
      num_tokens, weight.rows, weight.columns, dtype, false, machine.facts().num_multiprocessors);
  const auto launch = is_scaled ? cuda::launch_fp8_gemm : cuda::launch_bf16_gemm;
  for (const cuda::GemmTile& tile : cuda::kGemmTiles) {
    // Far from useful, and slow to time.
    if (tile.tokens > std::max<int64_t>(2 * num_tokens, 8) || tile.tokens * 32 < num_tokens)
      continue;
    bool is_launched = true;
    std::vector<double> seconds = machine.time(
        [&](int64_t i) {
          is_launched &= launch(machine.stream(), tile, calls[static_cast<size_t>(i) % num_sets]);
        },
        3, 0.002);
    if (!is_launched) continue;
    const double s = median(seconds);
    const double flops = 2.0 * static_cast<double>(num_tokens) * static_cast<double>(weight.rows) *
                         static_cast<double>(weight.columns);
    fmt::print(
        "{{\"bench\":\"cuda_gemm_tile\",\"weight\":\"{}\",\"dtype\":\"{}\",\"num_tokens\":{},"
        "\"tile\":\"{}x{}\","
        "\"median_us\":{:.2f},\"gb_per_s\":{:.0f},\"tflops\":{:.1f},\"chosen\":{}}}\n",
        weight.name, to_string(dtype), num_tokens, tile.rows, tile.tokens, s * 1e6,
        static_cast<double>(weight_bytes) / s / 1e9, flops / s / 1e12, tile == chosen);
    std::fflush(stdout);
  }
}

int run(const Options& options) {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  CudaMachine machine(0, size_t{8} << 30);
  for (const int64_t num_tokens : kTokens) {
    if (num_tokens < options.tokens_from) continue;
    for (const Weight& weight : kWeights) {
      if (std::chrono::duration<double>(Clock::now() - begin).count() > options.budget_s) return 0;
      time_shape(machine, weight, num_tokens, options.bf16 ? DType::bf16 : DType::fp8_e4m3);
    }
  }
  return 0;
}

}  // namespace
}  // namespace veloz::bench

int main(int argc, char** argv) {
  veloz::bench::Options options;
  CLI::App app("Speeds of the tiles of the CUDA products, one JSON object a line");
  app.add_option("--tokens-from", options.tokens_from, "Leave out fewer tokens than these");
  app.add_option("--budget-seconds", options.budget_s, "Begin no shape after these");
  app.add_flag("--bf16", options.bf16, "Products of bf16 instead of fp8");
  CLI11_PARSE(app, argc, argv);
  try {
    return veloz::bench::run(options);
  } catch (const veloz::Error& e) {
    fmt::print(stderr, "error: {}\n", e.message());
    return 1;
  }
}
