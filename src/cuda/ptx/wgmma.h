// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cuda/gpu.h"
#include "cuda/ptx/async_copy.h"

/// Products of matrices in shared memory by four warps together (wgmma): d[64][n] += a[64][k]
/// b[n][k], asynchronously. a and b have rows of 128 bytes as load_tile leaves them, k runs over 32
/// of those bytes: 16 bf16 or fp16, or 32 codes. Thread i of the 128 holds of d, with warp
/// w = i / 32, g = i % 32 / 4 and j = i % 4, in d[4 c ..]: row 16 w + g, columns 8 c + 2 j and + 1;
/// then row 16 w + g + 8.
///
/// Of 16-bit types a may lie in registers instead, each warp's 16 rows as mma.sync wants them
/// (ptx/matrix.h), and b the other way round, as b[k][n]. On Hopper a step of 16 of K has the bits
/// of multiply_bf16 and multiply_fp16.
///
///   begin_products();                          // d may have been touched
///   multiply<kN>(d, a, b, false); ...          // any number
///   commit_products();
///   wait_for_products<0>();                    // of the newest groups this many may still run
///   settle(d);                                 // before d is read
namespace veloz::cuda {

constexpr int kProductRows = 64;  // of d

/// A 128-byte swizzled matrix at `shared_address`, aligned to 1024 bytes: of its 8-row blocks, 1024
/// bytes apart. The offset between units of K (bits 16 to 29) is not used in this layout.
__device__ inline uint64_t matrix_descriptor(uint32_t shared_address) {
  constexpr uint64_t kSwizzle128 = uint64_t{1} << 62;
  constexpr uint64_t kBlockStride = uint64_t{1024 / 16} << 32;
  constexpr uint64_t kUnused = uint64_t{1} << 16;
  return kSwizzle128 | kBlockStride | kUnused | ((shared_address & 0x3ffffu) >> 4);
}
/// A matrix b[k][n] at `shared_address`, aligned to 1024 bytes: panels of 64 n, whose rows of 128
/// bytes are swizzled likewise, `panel_bytes` one after the other.
__device__ inline uint64_t panels_descriptor(uint32_t shared_address, int panel_bytes) {
  constexpr uint64_t kPanelStrideOnes = uint64_t{0x3fff} << 16;
  return (matrix_descriptor(shared_address) & ~kPanelStrideOnes) |
         static_cast<uint64_t>(panel_bytes / 16) << 16;
}
/// Descriptors `bytes` further: 32 per step of K, multiples of 1024 per 8 rows.
constexpr uint64_t descriptor_step(int bytes) { return static_cast<uint64_t>(bytes / 16); }

/// Element types of a product, and of its sum.
struct Bf16Product {
  using Sum = float;
};
struct Fp16Product {
  using Sum = float;
};
struct E4M3Product {
  using Sum = float;
};
struct Int8Product {
  using Sum = int;
};

}  // namespace veloz::cuda

#if defined(VELOZ_CUDA_SIM)
#include "cuda/sim/wgmma.h"
#else
namespace veloz::cuda {

/// By whoever wrote operands to shared memory, but for the copy engine; a barrier follows.
__device__ inline void publish_operands() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
__device__ inline void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void commit_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int kPending>
__device__ inline void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}
/// Holds the compiler from reading sums before the wait that stands above.
template <int n>
__device__ inline void settle(float (&d)[n]) {
#pragma unroll
  for (int i = 0; i < n; ++i) asm volatile("" : "+f"(d[i])::"memory");
}
template <int n>
__device__ inline void settle(int (&d)[n]) {
#pragma unroll
  for (int i = 0; i < n; ++i) asm volatile("" : "+r"(d[i])::"memory");
}

/// d = a b, or d += a b.
template <typename Product, int n>
__device__ void multiply(typename Product::Sum (&d)[n / 2], uint64_t a, uint64_t b,
                         bool accumulate);

/// d += a b of 16 of K, a in registers that stay as they are until the wait; kIsTurned: b[k][n].
template <typename Product, int n, bool kIsTurned>
__device__ void multiply_registers(float (&d)[n / 2], const uint32_t (&a)[4], uint64_t b);

// The registers of d as asm text and as operands, for each n.
// clang-format off
#define VELOZ_REGISTERS_8 "%0, %1, %2, %3"
#define VELOZ_OPERANDS_8(C) C(d[0]), C(d[1]), C(d[2]), C(d[3])
#define VELOZ_REGISTERS_16 VELOZ_REGISTERS_8 \
    ", %4, %5, %6, %7"
#define VELOZ_OPERANDS_16(C) VELOZ_OPERANDS_8(C), \
    C(d[4]), C(d[5]), C(d[6]), C(d[7])
#define VELOZ_REGISTERS_32 VELOZ_REGISTERS_16 \
    ", %8, %9, %10, %11, %12, %13, %14, %15"
#define VELOZ_OPERANDS_32(C) VELOZ_OPERANDS_16(C), \
    C(d[8]), C(d[9]), C(d[10]), C(d[11]), C(d[12]), C(d[13]), C(d[14]), C(d[15])
#define VELOZ_REGISTERS_64 VELOZ_REGISTERS_32 \
    ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define VELOZ_OPERANDS_64(C) VELOZ_OPERANDS_32(C), \
    C(d[16]), C(d[17]), C(d[18]), C(d[19]), C(d[20]), C(d[21]), C(d[22]), C(d[23]), \
    C(d[24]), C(d[25]), C(d[26]), C(d[27]), C(d[28]), C(d[29]), C(d[30]), C(d[31])
#define VELOZ_REGISTERS_128 VELOZ_REGISTERS_64 \
    ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47" \
    ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define VELOZ_OPERANDS_128(C) VELOZ_OPERANDS_64(C), \
    C(d[32]), C(d[33]), C(d[34]), C(d[35]), C(d[36]), C(d[37]), C(d[38]), C(d[39]), \
    C(d[40]), C(d[41]), C(d[42]), C(d[43]), C(d[44]), C(d[45]), C(d[46]), C(d[47]), \
    C(d[48]), C(d[49]), C(d[50]), C(d[51]), C(d[52]), C(d[53]), C(d[54]), C(d[55]), \
    C(d[56]), C(d[57]), C(d[58]), C(d[59]), C(d[60]), C(d[61]), C(d[62]), C(d[63])
#define VELOZ_REGISTERS_256 VELOZ_REGISTERS_128 \
    ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79" \
    ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95" \
    ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111" \
    ", %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define VELOZ_OPERANDS_256(C) VELOZ_OPERANDS_128(C), \
    C(d[64]), C(d[65]), C(d[66]), C(d[67]), C(d[68]), C(d[69]), C(d[70]), C(d[71]), \
    C(d[72]), C(d[73]), C(d[74]), C(d[75]), C(d[76]), C(d[77]), C(d[78]), C(d[79]), \
    C(d[80]), C(d[81]), C(d[82]), C(d[83]), C(d[84]), C(d[85]), C(d[86]), C(d[87]), \
    C(d[88]), C(d[89]), C(d[90]), C(d[91]), C(d[92]), C(d[93]), C(d[94]), C(d[95]), \
    C(d[96]), C(d[97]), C(d[98]), C(d[99]), C(d[100]), C(d[101]), C(d[102]), C(d[103]), \
    C(d[104]), C(d[105]), C(d[106]), C(d[107]), C(d[108]), C(d[109]), C(d[110]), C(d[111]), \
    C(d[112]), C(d[113]), C(d[114]), C(d[115]), C(d[116]), C(d[117]), C(d[118]), C(d[119]), \
    C(d[120]), C(d[121]), C(d[122]), C(d[123]), C(d[124]), C(d[125]), C(d[126]), C(d[127])

#define VELOZ_MULTIPLY(PRODUCT, N, C, A, B, P, INSTRUCTION, FLAGS)                               \
  template <>                                                                                    \
  __device__ __forceinline__ void multiply<PRODUCT, N>(PRODUCT::Sum (&d)[N / 2], uint64_t a,     \
                                                       uint64_t b, bool accumulate) {            \
    asm volatile("{\n.reg .pred accumulate;\nsetp.ne.b32 accumulate, %" #P ", 0;\n"              \
                 "wgmma.mma_async.sync.aligned.m64n" #N INSTRUCTION " {" VELOZ_REGISTERS_##N     \
                 "}, %" #A ", %" #B ", accumulate" FLAGS ";\n}\n"                                \
                 : VELOZ_OPERANDS_##N(C)                                                         \
                 : "l"(a), "l"(b), "r"(accumulate ? 1 : 0));                                     \
  }
#define VELOZ_MULTIPLY_ALL(N, A, B, P)                                                           \
  VELOZ_MULTIPLY(Bf16Product, N, "+f", A, B, P, "k16.f32.bf16.bf16", ", 1, 1, 0, 0")             \
  VELOZ_MULTIPLY(Fp16Product, N, "+f", A, B, P, "k16.f32.f16.f16", ", 1, 1, 0, 0")               \
  VELOZ_MULTIPLY(E4M3Product, N, "+f", A, B, P, "k32.f32.e4m3.e4m3", ", 1, 1")                   \
  VELOZ_MULTIPLY(Int8Product, N, "+r", A, B, P, "k32.s32.s8.s8", "")

VELOZ_MULTIPLY_ALL(8, 4, 5, 6)
VELOZ_MULTIPLY_ALL(16, 8, 9, 10)
VELOZ_MULTIPLY_ALL(32, 16, 17, 18)
VELOZ_MULTIPLY_ALL(64, 32, 33, 34)
VELOZ_MULTIPLY_ALL(128, 64, 65, 66)
VELOZ_MULTIPLY_ALL(256, 128, 129, 130)

// A0 to A3, B and P: the operands' numbers.
#define VELOZ_MULTIPLY_REGISTERS(PRODUCT, TYPE, N, IS_TURNED, TURNED, A0, A1, A2, A3, B, P)         \
  template <>                                                                                    \
  __device__ __forceinline__ void multiply_registers<PRODUCT, N, IS_TURNED>(                     \
      float (&d)[N / 2], const uint32_t (&a)[4], uint64_t b) {                                   \
    asm volatile("{\n.reg .pred accumulate;\nsetp.ne.b32 accumulate, %" #P ", 0;\n"              \
                 "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE " {"            \
                 VELOZ_REGISTERS_##N "}, {%" #A0 ", %" #A1 ", %" #A2 ", %" #A3 "}, %" #B         \
                 ", accumulate, 1, 1, " TURNED ";\n}\n"                                          \
                 : VELOZ_OPERANDS_##N("+f")                                                      \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(1));                  \
  }
#define VELOZ_MULTIPLY_REGISTERS_ALL(N, IS_TURNED, TURNED, A0, A1, A2, A3, B, P)                 \
  VELOZ_MULTIPLY_REGISTERS(Bf16Product, "bf16", N, IS_TURNED, TURNED, A0, A1, A2, A3, B, P)      \
  VELOZ_MULTIPLY_REGISTERS(Fp16Product, "f16", N, IS_TURNED, TURNED, A0, A1, A2, A3, B, P)

VELOZ_MULTIPLY_REGISTERS_ALL(64, false, "0", 32, 33, 34, 35, 36, 37)
VELOZ_MULTIPLY_REGISTERS_ALL(64, true, "1", 32, 33, 34, 35, 36, 37)
VELOZ_MULTIPLY_REGISTERS_ALL(128, true, "1", 64, 65, 66, 67, 68, 69)
VELOZ_MULTIPLY_REGISTERS_ALL(256, true, "1", 128, 129, 130, 131, 132, 133)

#undef VELOZ_MULTIPLY_REGISTERS_ALL
#undef VELOZ_MULTIPLY_REGISTERS
#undef VELOZ_MULTIPLY_ALL
#undef VELOZ_MULTIPLY
#undef VELOZ_REGISTERS_8
#undef VELOZ_OPERANDS_8
#undef VELOZ_REGISTERS_16
#undef VELOZ_OPERANDS_16
#undef VELOZ_REGISTERS_32
#undef VELOZ_OPERANDS_32
#undef VELOZ_REGISTERS_64
#undef VELOZ_OPERANDS_64
#undef VELOZ_REGISTERS_128
#undef VELOZ_OPERANDS_128
#undef VELOZ_REGISTERS_256
#undef VELOZ_OPERANDS_256
// clang-format on

}  // namespace veloz::cuda
#endif
