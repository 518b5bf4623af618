# SPDX-License-Identifier: Apache-2.0
# What the CUDA back end is made of. tests/cuda builds the same files for a simulated multiprocessor.

# Device code with its launchers.
set(veloz_cuda_device_sources add.cu copy_blocks.cu
  beam_candidates.cu logit_edits.cu logprobs.cu sample.cu
  attention_simple.cu attention.cu attention_decode.cu attention_prefill.cu
  gemm.cu gemm_bf16.cu gemm_fp8.cu gemm_grouped_fp8.cu gemm_int8.cu
  simple_linear.cu simple_quantized_linear.cu)
# Host code that speaks to the CUDA runtime.
set(veloz_cuda_host_sources device.cpp stream.cpp ptx/tensor_map.cpp)
# Host code that needs no CUDA.
set(veloz_cuda_plain_sources gemm_tile.cpp kernels.cpp
  attention_plan.cpp)
