// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "base/dtype.h"
#include "base/fp8.h"
#include "cuda/ptx/wgmma.h"
#include "cuda/sim/tensor_copy.h"
#include "cuda/sim/threads.h"
#include "cuda/sim/warp.h"

/// Simulated products of a warpgroup. They run when they are waited for, on what shared memory then
/// holds; until then their sums are NaN, so that a missing wait, or a tile refilled too early,
/// shows. Descriptors are read as the PTX ISA lays them out.
namespace veloz::cuda::sim {

constexpr int kGroupThreads = 128;
constexpr int kProductRows = 64;
constexpr int kStepBytes = 32;  // of K

/// One wgmma.mma_async.
struct PendingProduct {
  void (*execute)(PendingProduct&);
  uint64_t a;
  uint64_t b;
  bool accumulate;
  bool is_first;  // on these registers: `before` holds what was in them
  std::array<void*, kGroupThreads> d;
  std::vector<uint32_t> before;  // [thread][register]
};

struct Warpgroup {
  std::vector<std::vector<PendingProduct>> groups;  // committed, oldest first
  std::vector<PendingProduct> open;
  bool is_fenced = false;
};
inline Warpgroup& warpgroup() {
  static std::array<Warpgroup, kMaxThreads / kGroupThreads> all;
  return all[static_cast<size_t>(thread_index() / kGroupThreads)];
}

/// A K-major matrix in shared memory.
class MatrixReader {
 public:
  explicit MatrixReader(uint64_t descriptor)
      : start_(static_cast<uint32_t>(descriptor & 0x3fffu) << 4),
        block_stride_(static_cast<uint32_t>(descriptor >> 32 & 0x3fffu) << 4) {
    require(descriptor >> 62 == 1, "a descriptor without 128-byte swizzle");
    require((descriptor >> 49 & 7u) == 0, "a descriptor with a base offset");
    require(start_ % 1024 < kTileRowBytes, "a matrix that does not begin at 1024 bytes");
    require(block_stride_ % 1024 == 0 && block_stride_ > 0, "the stride of 8-row blocks");
  }
  template <typename T>
  T element(int row, int k) const {
    const auto offset =
        static_cast<uint32_t>(row / 8) * block_stride_ +
        static_cast<uint32_t>(row % 8 * kTileRowBytes + k * static_cast<int>(sizeof(T)));
    T value;
    std::memcpy(&value, shared_pointer(swizzle_128(start_ + offset)), sizeof(T));
    return value;
  }

 private:
  uint32_t start_;
  uint32_t block_stride_;
};

inline double number(Bf16Product*, const MatrixReader& m, int row, int k) {
  BFloat16 value;
  value.bits = m.element<uint16_t>(row, k);
  return static_cast<float>(value);
}
inline double number(E4M3Product*, const MatrixReader& m, int row, int k) {
  Fp8E4M3 value;
  value.bits = m.element<uint8_t>(row, k);
  return static_cast<float>(value);
}
inline double number(Int8Product*, const MatrixReader& m, int row, int k) {
  return m.element<int8_t>(row, k);
}

template <typename Product, int n>
void execute_product(PendingProduct& product) {
  using Sum = typename Product::Sum;
  constexpr int kRegisters = n / 2;
  constexpr int kDepth =
      std::is_same_v<Product, Bf16Product> ? kStepBytes / 2 : kStepBytes;  // elements
  if (product.is_first)
    for (size_t t = 0; t < kGroupThreads; ++t)
      std::memcpy(product.d[t], &product.before[t * kRegisters], kRegisters * sizeof(Sum));
  const MatrixReader a(product.a), b(product.b);
  Product* const kind = nullptr;
  std::vector<double> a_rows(kProductRows * kDepth), b_rows(size_t{n} * kDepth);
  for (int k = 0; k < kDepth; ++k) {
    for (int row = 0; row < kProductRows; ++row)
      a_rows[static_cast<size_t>(row * kDepth + k)] = number(kind, a, row, k);
    for (int row = 0; row < n; ++row)
      b_rows[static_cast<size_t>(row * kDepth + k)] = number(kind, b, row, k);
  }
  for (int t = 0; t < kGroupThreads; ++t)
    for (int i = 0; i < kRegisters; ++i) {
      const int row = t / 32 * 16 + t % 32 / 4 + i % 4 / 2 * 8;
      const int column = i / 4 * 8 + t % 4 * 2 + i % 2;
      const double* const x = &a_rows[static_cast<size_t>(row * kDepth)];
      const double* const y = &b_rows[static_cast<size_t>(column * kDepth)];
      double sum = 0;
      for (int k = 0; k < kDepth; ++k) sum += x[k] * y[k];
      Sum& d = static_cast<Sum*>(product.d[static_cast<size_t>(t)])[i];
      d = static_cast<Sum>((product.accumulate ? static_cast<double>(d) : 0.0) + sum);
    }
}

/// What a thread brings to a product.
struct ProductOperands {
  void* d;
  uint64_t a;
  uint64_t b;
  bool accumulate;
};

template <typename Product, int n>
void issue_product(ProductOperands** all, int count) {
  using Sum = typename Product::Sum;
  require(count == kGroupThreads, "wgmma without all of a warpgroup");
  Warpgroup& group = warpgroup();
  PendingProduct product{
      execute_product<Product, n>, all[0]->a, all[0]->b, all[0]->accumulate, true, {}, {}};
  for (size_t t = 0; t < kGroupThreads; ++t) {
    require(all[t] != nullptr && all[t]->a == product.a && all[t]->b == product.b &&
                all[t]->accumulate == product.accumulate,
            "threads of a warpgroup disagree on wgmma's operands");
    product.d[t] = all[t]->d;
  }
  const auto uses_registers = [&](const PendingProduct& other) {
    return other.d[0] == product.d[0];
  };
  for (const auto& committed : group.groups)
    for (const PendingProduct& other : committed) product.is_first &= !uses_registers(other);
  for (const PendingProduct& other : group.open) product.is_first &= !uses_registers(other);
  if (product.is_first) {
    require(group.is_fenced, "wgmma on registers that may have been touched, without wgmma.fence");
    constexpr size_t kRegisters = n / 2;
    product.before.resize(kGroupThreads * kRegisters);
    for (size_t t = 0; t < kGroupThreads; ++t) {
      std::memcpy(&product.before[t * kRegisters], product.d[t], kRegisters * sizeof(Sum));
      for (size_t i = 0; i < kRegisters; ++i)
        static_cast<Sum*>(product.d[t])[i] = std::numeric_limits<Sum>::has_quiet_NaN
                                                 ? std::numeric_limits<Sum>::quiet_NaN()
                                                 : std::numeric_limits<Sum>::max();
    }
  }
  group.open.push_back(std::move(product));
}

inline void fence_group(int**, int) { warpgroup().is_fenced = true; }
inline void commit_group(int**, int) {
  Warpgroup& group = warpgroup();
  group.groups.push_back(std::move(group.open));
  group.open.clear();
}
inline void wait_group(int** all, int) {
  Warpgroup& group = warpgroup();
  const auto pending = static_cast<size_t>(*all[0]);
  while (group.groups.size() > pending) {
    for (PendingProduct& product : group.groups.front()) product.execute(product);
    group.groups.erase(group.groups.begin());
  }
  group.is_fenced = false;
}

}  // namespace veloz::cuda::sim

namespace veloz::cuda {

inline void begin_products(VELOZ_SIM_SITE) {
  int mine = 0;
  sim::rendezvous<int, sim::fence_group>(sim::Scope::warpgroup, "wgmma.fence", mine, site);
}
inline void commit_products(VELOZ_SIM_SITE) {
  int mine = 0;
  sim::rendezvous<int, sim::commit_group>(sim::Scope::warpgroup, "wgmma.commit_group", mine, site);
}
template <int kPending>
void wait_for_products(VELOZ_SIM_SITE) {
  int mine = kPending;
  sim::rendezvous<int, sim::wait_group>(sim::Scope::warpgroup, "wgmma.wait_group", mine, site);
}
template <typename Sum, int n>
void settle(Sum (&)[n]) {}

template <typename Product, int n>
void multiply(typename Product::Sum (&d)[n / 2], uint64_t a, uint64_t b, bool accumulate,
              VELOZ_SIM_SITE) {
  sim::ProductOperands mine{d, a, b, accumulate};
  sim::rendezvous<sim::ProductOperands, sim::issue_product<Product, n>>(
      sim::Scope::warpgroup, "wgmma.mma_async", mine, site);
}

}  // namespace veloz::cuda
