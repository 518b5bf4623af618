// SPDX-License-Identifier: Apache-2.0
#include "cuda/ptx/tensor_map.h"

#if defined(VELOZ_CUDA_SIM)
#include "cuda/sim/tensor_copy.h"
#else
#include <cuda.h>
#include <cuda_runtime.h>

#include <cstring>
#endif

namespace veloz::cuda {

#if defined(VELOZ_CUDA_SIM)

bool encode_tensor_map(const TiledMatrix& matrix, TensorMap& map) noexcept {
  return sim::encode_tensor_map(matrix, map);
}

#else

namespace {

static_assert(sizeof(TensorMap) == sizeof(CUtensorMap));

using Encode = decltype(&cuTensorMapEncodeTiled);

/// The driver's function: the program is not linked to the driver, so that it starts without one.
Encode find_encode() noexcept {
  constexpr unsigned kSince = 12000;
  void* function = nullptr;
  cudaDriverEntryPointQueryResult result{};
  if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, kSince,
                                       cudaEnableDefault, &result) != cudaSuccess ||
      result != cudaDriverEntryPointSuccess)
    return nullptr;
  return reinterpret_cast<Encode>(function);
}

}  // namespace

bool encode_tensor_map(const TiledMatrix& matrix, TensorMap& map) noexcept {
  static const Encode encode = find_encode();
  if (encode == nullptr) return false;
  const bool is_bf16 = matrix.dtype == DType::bf16;
  const cuuint64_t extents[] = {static_cast<cuuint64_t>(matrix.columns),
                                static_cast<cuuint64_t>(matrix.rows)};
  const cuuint64_t strides[] = {static_cast<cuuint64_t>(matrix.row_bytes)};
  const cuuint32_t tile[] = {
      static_cast<cuuint32_t>(kTileRowBytes / static_cast<int>(dtype_bytes(matrix.dtype))),
      static_cast<cuuint32_t>(matrix.tile_rows)};
  const cuuint32_t steps[] = {1, 1};
  CUtensorMap encoded;
  const CUresult result =
      encode(&encoded, is_bf16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_UINT8,
             2, const_cast<void*>(matrix.data), extents, strides, tile, steps,
             CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) return false;
  std::memcpy(&map, &encoded, sizeof(map));
  return true;
}

#endif

}  // namespace veloz::cuda
