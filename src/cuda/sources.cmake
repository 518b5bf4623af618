# SPDX-License-Identifier: Apache-2.0
# What the CUDA back end is made of. tests/cuda builds the same files for a simulated multiprocessor.

# Device code with its launchers.
set(veloz_cuda_device_sources
  activation.cu add.cu kv_append.cu norm.cu quantize.cu rope.cu rope_append.cu row_copies.cu
  copy_blocks.cu dummy_values.cu
  beam_candidates.cu logit_edits.cu logprobs.cu sample.cu
  attention_simple.cu attention.cu attention_decode.cu attention_leaf.cu
  attention_sharing.cu attention_prefill.cu
  gemm.cu gemm_bf16.cu gemm_fp8.cu gemm_grouped_fp8.cu gemm_int8.cu
  simple_linear.cu simple_quantized_linear.cu)
# Host code that speaks to the CUDA runtime.
set(veloz_cuda_host_sources device.cpp stream.cpp ptx/tensor_map.cpp)
# Host code that needs no CUDA.
set(veloz_cuda_plain_sources gemm_tile.cpp kernels.cpp
  attention_plan.cpp
  row_block.cpp)
# What device code and its launchers share: only nvcc, or a build for the simulator, can read it.
set(veloz_cuda_device_headers
  gpu.h launch.h numeric.h stream.h
  copy_blocks.h
  activation_value.h block_reduce.h chunk.h kv_row.h quantize_value.h rope_value.h row_chunks.h
  row_codes.h sin_cos.h
  attention_decode.cuh attention_kernels.cuh attention_leaf.cuh attention_prefill.cuh
  attention_products.cuh attention_tiles.cuh
  alignment.h gemm.h gemm_kernel.h gemm_launch.h simple_linear_parts.h
  logit_rows.cuh ordered.cuh race.cuh select.cuh
  ptx/async_copy.h ptx/barrier.h ptx/cluster.h ptx/dependent_launch.h ptx/fp8.h ptx/matrix.h
  ptx/named_barrier.h ptx/opaque.h ptx/prefetch.h ptx/reciprocal.h ptx/registers.h
  ptx/tensor_copy.h ptx/tensor_map.h ptx/wgmma.h)
# Fronts of products by a library, random operands, and what compares results.
list(APPEND veloz_cuda_host_sources cublaslt/linear.cpp)
list(APPEND veloz_cuda_device_sources find_difference.cu random_fill.cu)
# cuBLASLt itself, and timing by events: not for the simulated multiprocessor.
set(veloz_cuda_library_sources call_timer.cpp cublaslt/api.cpp cublaslt/library.cpp
                               cublaslt/product.cpp)
# Products by cuBLASLt: what needs no CUDA.
list(APPEND veloz_cuda_plain_sources cublaslt/autotune.cpp cublaslt/gemm.cpp
                                     cublaslt/shared_library.cpp cublaslt/tuning_cache.cpp)
list(APPEND veloz_cuda_device_headers call_timer.h find_difference.h random_fill.h cublaslt/api.h cublaslt/library.h
                                      cublaslt/product.h)
