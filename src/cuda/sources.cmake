# SPDX-License-Identifier: Apache-2.0
# What the CUDA back end is made of. tests/cuda builds the same files for a simulated multiprocessor.

# Device code with its launchers.
set(veloz_cuda_device_sources
  activation.cu add.cu kv_append.cu norm.cu quantize.cu rope.cu row_copies.cu
  copy_blocks.cu
  beam_candidates.cu logit_edits.cu logprobs.cu sample.cu
  attention_simple.cu attention.cu attention_decode.cu attention_prefill.cu
  simple_linear.cu simple_quantized_linear.cu)
# Host code that speaks to the CUDA runtime.
set(veloz_cuda_host_sources device.cpp stream.cpp)
# Host code that needs no CUDA.
set(veloz_cuda_plain_sources kernels.cpp
  attention_plan.cpp
  row_block.cpp)
# Fronts of products by a library, and random operands.
list(APPEND veloz_cuda_host_sources cublaslt/linear.cpp)
list(APPEND veloz_cuda_device_sources random_fill.cu)
# cuBLASLt itself, and timing by events: not for the simulated multiprocessor.
set(veloz_cuda_library_sources call_timer.cpp cublaslt/api.cpp cublaslt/library.cpp
                               cublaslt/product.cpp)
# Products by cuBLASLt: what needs no CUDA.
list(APPEND veloz_cuda_plain_sources cublaslt/autotune.cpp cublaslt/gemm.cpp
                                     cublaslt/shared_library.cpp cublaslt/tuning_cache.cpp)
