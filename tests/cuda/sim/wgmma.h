// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "base/dtype.h"
#include "base/fp8.h"
#include "cuda/ptx/wgmma.h"
#include "cuda/sim/matrix.h"
#include "cuda/sim/tensor_copy.h"
#include "cuda/sim/threads.h"
#include "cuda/sim/warp.h"

/// Simulated products of a warpgroup. They run when they are waited for, on what shared memory then
/// holds; until then their sums are NaN, so that a missing wait, or a tile refilled too early,
/// shows. Descriptors are read as the PTX ISA lays them out.
namespace veloz::cuda::sim {

constexpr int kGroupThreads = 128;
constexpr int kStepBytes = 32;  // of K

using Fragment = std::array<uint32_t, 4>;  // of a, in a thread's registers

/// One wgmma.mma_async.
struct PendingProduct {
  void (*execute)(PendingProduct&);
  uint64_t a;
  std::vector<const uint32_t*> a_at;  // of each thread, where a lies in registers
  std::vector<Fragment> a_registers;  // as they were
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

/// A matrix in shared memory: K-major, or in panels of 64 rows (of n), K-major turned round.
class MatrixReader {
 public:
  explicit MatrixReader(uint64_t descriptor, bool is_turned = false)
      : start_(static_cast<uint32_t>(descriptor & 0x3fffu) << 4),
        panel_stride_(static_cast<uint32_t>(descriptor >> 16 & 0x3fffu) << 4),
        block_stride_(static_cast<uint32_t>(descriptor >> 32 & 0x3fffu) << 4),
        is_turned_(is_turned) {
    require(descriptor >> 62 == 1, "a descriptor without 128-byte swizzle");
    require((descriptor >> 49 & 7u) == 0, "a descriptor with a base offset");
    require(start_ % 1024 < kTileRowBytes, "a matrix that does not begin at 1024 bytes");
    require(block_stride_ % 1024 == 0 && block_stride_ > 0, "the stride of 8-row blocks");
  }
  template <typename T>
  T element(int row, int k) const {
    constexpr int kPanelRows = kTileRowBytes / static_cast<int>(sizeof(T));
    const int line = is_turned_ ? k : row;
    const int in_line = is_turned_ ? row % kPanelRows : k;
    const auto offset =
        (is_turned_ ? static_cast<uint32_t>(row / kPanelRows) * panel_stride_ : 0) +
        static_cast<uint32_t>(line / 8) * block_stride_ +
        static_cast<uint32_t>(line % 8 * kTileRowBytes + in_line * static_cast<int>(sizeof(T)));
    T value;
    std::memcpy(&value, shared_pointer(swizzle_128(start_ + offset)), sizeof(T));
    return value;
  }

 private:
  uint32_t start_;
  uint32_t panel_stride_;
  uint32_t block_stride_;
  bool is_turned_;
};

inline double number(Bf16Product*, const MatrixReader& m, int row, int k) {
  return bf16_value(m.element<uint16_t>(row, k));
}
inline double number(Fp16Product*, const MatrixReader& m, int row, int k) {
  return fp16_value(m.element<uint16_t>(row, k));
}
inline double number(E4M3Product*, const MatrixReader& m, int row, int k) {
  Fp8E4M3 value;
  value.bits = m.element<uint8_t>(row, k);
  return static_cast<float>(value);
}
inline double number(Int8Product*, const MatrixReader& m, int row, int k) {
  return m.element<int8_t>(row, k);
}

template <typename Product>
constexpr bool kIs16Bit =
    std::is_same_v<Product, Bf16Product> || std::is_same_v<Product, Fp16Product>;

/// A row's elements of a, from the registers of the four threads that hold them.
template <typename Product>
double number_in_registers(const PendingProduct& product, int row, int k) {
  const int thread = row / 16 * 32 + row % 8 * 4 + k % 8 / 2;
  const Fragment& a = product.a_registers[static_cast<size_t>(thread)];
  const uint32_t bits = a[static_cast<size_t>(row % 16 / 8 + k / 8 * 2)] >> (k % 2 * 16) & 0xffffu;
  return std::is_same_v<Product, Bf16Product> ? bf16_value(bits) : fp16_value(bits);
}

template <typename Product, int n, bool kIsTurned>
void execute_product(PendingProduct& product) {
  using Sum = typename Product::Sum;
  constexpr int kRegisters = n / 2;
  constexpr int kDepth = kIs16Bit<Product> ? kStepBytes / 2 : kStepBytes;  // elements
  if (product.is_first)
    for (size_t t = 0; t < kGroupThreads; ++t)
      std::memcpy(product.d[t], &product.before[t * kRegisters], kRegisters * sizeof(Sum));
  for (size_t t = 0; t < product.a_at.size(); ++t)
    require(std::memcmp(product.a_at[t], product.a_registers[t].data(), sizeof(Fragment)) == 0,
            "registers of wgmma's a that changed before the wait");
  Product* const kind = nullptr;
  std::vector<double> a_rows(kProductRows * kDepth), b_rows(size_t{n} * kDepth);
  const MatrixReader b(product.b, kIsTurned);
  std::optional<MatrixReader> a;
  if (product.a_at.empty()) a.emplace(product.a);
  for (int k = 0; k < kDepth; ++k) {
    for (int row = 0; row < kProductRows; ++row)
      a_rows[static_cast<size_t>(row * kDepth + k)] =
          a ? number(kind, *a, row, k) : number_in_registers<Product>(product, row, k);
    for (int row = 0; row < n; ++row)
      b_rows[static_cast<size_t>(row * kDepth + k)] = number(kind, b, row, k);
  }
  for (int t = 0; t < kGroupThreads; ++t)
    for (int i = 0; i < kRegisters; ++i) {
      const int row = t / 32 * 16 + t % 32 / 4 + i % 4 / 2 * 8;
      const int column = i / 4 * 8 + t % 4 * 2 + i % 2;
      const double* const x = &a_rows[static_cast<size_t>(row * kDepth)];
      const double* const y = &b_rows[static_cast<size_t>(column * kDepth)];
      Sum& d = static_cast<Sum*>(product.d[static_cast<size_t>(t)])[i];
      if (!product.accumulate) d = 0;
      if constexpr (kIs16Bit<Product>) {  // as mma.sync's: on Hopper both have the same bits
        for (int k = 0; k < kDepth; ++k) d += static_cast<float>(x[k]) * static_cast<float>(y[k]);
      } else {
        double sum = 0;
        for (int k = 0; k < kDepth; ++k) sum += x[k] * y[k];
        d = static_cast<Sum>(static_cast<double>(d) + sum);
      }
    }
}

/// What a thread brings to a product.
struct ProductOperands {
  void* d;
  uint64_t a;
  const uint32_t* a_registers;  // or null
  uint64_t b;
  bool accumulate;
};

template <typename Product, int n, bool kIsTurned>
void issue_product(ProductOperands** all, int count) {
  using Sum = typename Product::Sum;
  require(count == kGroupThreads, "wgmma without all of a warpgroup");
  Warpgroup& group = warpgroup();
  PendingProduct product{.execute = execute_product<Product, n, kIsTurned>,
                         .a = all[0]->a,
                         .a_at = {},
                         .a_registers = {},
                         .b = all[0]->b,
                         .accumulate = all[0]->accumulate,
                         .is_first = true,
                         .d = {},
                         .before = {}};
  for (size_t t = 0; t < kGroupThreads; ++t) {
    require(all[t] != nullptr && all[t]->a == product.a && all[t]->b == product.b &&
                all[t]->accumulate == product.accumulate,
            "threads of a warpgroup disagree on wgmma's operands");
    product.d[t] = all[t]->d;
    if (const uint32_t* const a = all[t]->a_registers) {
      product.a_at.push_back(a);
      product.a_registers.push_back({a[0], a[1], a[2], a[3]});
    }
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

inline void publish_operands() {}
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
  sim::ProductOperands mine{d, a, nullptr, b, accumulate};
  sim::rendezvous<sim::ProductOperands, sim::issue_product<Product, n, false>>(
      sim::Scope::warpgroup, "wgmma.mma_async", mine, site);
}
template <typename Product, int n, bool kIsTurned>
void multiply_registers(float (&d)[n / 2], const uint32_t (&a)[4], uint64_t b, VELOZ_SIM_SITE) {
  sim::ProductOperands mine{d, 0, a, b, true};
  sim::rendezvous<sim::ProductOperands, sim::issue_product<Product, n, kIsTurned>>(
      sim::Scope::warpgroup, "wgmma.mma_async", mine, site);
}

}  // namespace veloz::cuda
