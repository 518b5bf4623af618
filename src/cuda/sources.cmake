# SPDX-License-Identifier: Apache-2.0
# What the CUDA back end is made of. tests/cuda builds the same files for a simulated multiprocessor.

# Device code with its launchers.
set(veloz_cuda_device_sources add.cu copy_blocks.cu dummy_values.cu)
# Host code that speaks to the CUDA runtime.
set(veloz_cuda_host_sources device.cpp stream.cpp)
# Host code that needs no CUDA.
set(veloz_cuda_plain_sources kernels.cpp)
