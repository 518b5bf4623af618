// SPDX-License-Identifier: Apache-2.0
#include "cpu/kernels.h"

#include <utility>

#include "cpu/attention.h"
#include "cpu/layouts.h"
#include "cpu/linear.h"

namespace veloz::cpu {
namespace {

using ops::Kernel;
using ops::KernelQuery;
using ops::Op;

template <DType dtype>
bool accepts_linear(const KernelQuery& query) {
  return query.inputs[0].dtype == dtype &&
         query.weight_layout == (dtype == DType::fp32 ? kLayoutFp32 : kLayoutBf16);
}

/// K is read in panels of 16 positions, so blocks must hold whole ones.
template <DType dtype>
bool accepts_attention(const KernelQuery& query) {
  const ops::ValueType& cache = query.inputs[1];
  const ops::Dim& block_size = cache.dims[3];
  return cache.dtype == dtype && block_size.is_constant() && block_size.value % kPanelWidth == 0;
}

struct CpuKernel {
  Isa isa;  // the least that runs it
  Kernel kernel;
};

template <const GemmMicro& micro, DType dtype>
constexpr Kernel linear_kernel(std::string_view name) {
  return {name, Op::linear, accepts_linear<dtype>, run_linear<micro>, linear_workspace_bytes};
}

template <const AttentionMicro& micro, DType dtype>
constexpr Kernel attention_kernel(std::string_view name) {
  return {name, Op::paged_attention, accepts_attention<dtype>, run_paged_attention<micro>,
          paged_attention_workspace_bytes};
}

/// Best first within an op. The references follow.
const CpuKernel kCpuKernels[] = {
#if defined(__x86_64__)
    {Isa::avx512_bf16, linear_kernel<kGemmAvx512DotBf16, DType::bf16>("linear/avx512_bf16_dot")},
    {Isa::avx512, linear_kernel<kGemmAvx512Bf16, DType::bf16>("linear/avx512_bf16")},
    {Isa::avx512, linear_kernel<kGemmAvx512Fp32, DType::fp32>("linear/avx512_fp32")},
    {Isa::avx2, linear_kernel<kGemmAvx2Bf16, DType::bf16>("linear/avx2_bf16")},
    {Isa::avx2, linear_kernel<kGemmAvx2Fp32, DType::fp32>("linear/avx2_fp32")},
    {Isa::avx512_bf16,
     attention_kernel<kAttentionAvx512DotBf16, DType::bf16>("paged_attention/avx512_bf16_dot")},
    {Isa::avx512,
     attention_kernel<kAttentionAvx512Bf16, DType::bf16>("paged_attention/avx512_bf16")},
    {Isa::avx512,
     attention_kernel<kAttentionAvx512Fp32, DType::fp32>("paged_attention/avx512_fp32")},
    {Isa::avx2, attention_kernel<kAttentionAvx2Bf16, DType::bf16>("paged_attention/avx2_bf16")},
    {Isa::avx2, attention_kernel<kAttentionAvx2Fp32, DType::fp32>("paged_attention/avx2_fp32")},
#endif
    {Isa::portable, linear_kernel<kGemmPortableBf16, DType::bf16>("linear/portable_bf16")},
    {Isa::portable, linear_kernel<kGemmPortableFp32, DType::fp32>("linear/portable_fp32")},
    {Isa::portable,
     attention_kernel<kAttentionPortableBf16, DType::bf16>("paged_attention/portable_bf16")},
    {Isa::portable,
     attention_kernel<kAttentionPortableFp32, DType::fp32>("paged_attention/portable_fp32")},
};

}  // namespace

ops::KernelRegistry make_registry(Isa isa) {
  std::vector<Kernel> kernels;
  for (const CpuKernel& entry : kCpuKernels)
    if (entry.isa <= isa) kernels.push_back(entry.kernel);
  for (const Kernel& reference : ops::reference_kernels()) kernels.push_back(reference);
  return ops::KernelRegistry(std::move(kernels), weight_layouts());
}

}  // namespace veloz::cpu
