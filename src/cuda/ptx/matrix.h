// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cuda/gpu.h"
#include "cuda/ptx/async_copy.h"

/// Warp-wide products of small matrices (mma.sync) and their loads from shared memory (ldmatrix).
/// All 32 threads call together. Fragments are as the PTX ISA lays them out, "Warp-level Matrix
/// Instructions": with g = lane / 4 and j = lane % 4, of 16-bit types
///   a[0..3]  rows g, g+8, g, g+8; columns 2j, 2j+1 (the last two 8 further)
///   b[0..1]  columns (n) g; rows (k) 2j, 2j+1 (the last 8 further)
///   d[0..3]  row g columns 2j, 2j+1; row g+8 columns 2j, 2j+1
namespace veloz::cuda {

#if !defined(VELOZ_CUDA_SIM)
/// Four 8 x 8 matrices of 16-bit elements; lane i gives the address of row i % 8 of matrix i / 8,
/// 16 bytes aligned to them. r[m] holds row g, elements 2j and 2j+1, of matrix m.
__device__ inline void load_matrices(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
/// The same, each matrix transposed: r[m] holds rows 2j and 2j+1, element g.
__device__ inline void load_matrices_transposed(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

/// d += a b, 16 x 8 x 16, bf16 with sums in fp32.
__device__ inline void multiply_bf16(float (&d)[4], const uint32_t (&a)[4],
                                     const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
/// d += a b, 16 x 8 x 16, fp16 with sums in fp32.
__device__ inline void multiply_fp16(float (&d)[4], const uint32_t (&a)[4],
                                     const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// Two codes of E4M3 (low byte first) as two fp16, exactly.
__device__ inline uint32_t e4m3x2_to_fp16x2(uint16_t codes) {
  uint32_t halves;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"(codes));
  return halves;
}
/// Packs `low` and `high` as bf16, nearest even.
__device__ inline uint32_t to_bf16x2(float low, float high) {
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}
/// Packs `low` and `high` as fp16, nearest even.
__device__ inline uint32_t to_fp16x2(float low, float high) {
  uint32_t packed;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}
/// 2^x, to 2 units in the last place; -infinity gives 0.
__device__ inline float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
#endif

}  // namespace veloz::cuda
