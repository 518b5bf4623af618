// SPDX-License-Identifier: Apache-2.0
#include "cpu/kernels.h"

#include <utility>

#include "cpu/attention.h"
#include "cpu/kv_convert.h"
#include "cpu/layouts.h"
#include "cpu/linear.h"
#include "cpu/quantized_linear.h"
#include "cpu/row_copies.h"
#include "cpu/rows.h"
#include "cpu/sample.h"
#include "cpu/uint4_linear.h"
#include "cpu/weight_only_linear.h"
#include "ops/kv_layout.h"

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

template <DType dtype>
bool accepts_quantized_linear(const KernelQuery& query) {
  const ops::ValueType& x = query.inputs[0];
  if (x.dtype != dtype || query.inputs[2].dtype != dtype) return false;
  if (dtype == DType::int8) return query.weight_layout == kLayoutInt8;
  const int64_t num_groups = query.inputs[3].dims[1].value;
  return query.weight_layout == kLayoutFp8 &&
         (num_groups == 1 || x.dims[1].value / num_groups <= kMaxFp8Group);
}

/// Caches that micro-kernels read as they are, and those that become bf16 first.
enum class Caches { plain, widened, both };

/// K is read in panels of 16 positions, so blocks must hold whole ones. Of int8 caches the products
/// of 16-bit queries must fit 32 bits together: 512 * 32767 * 127 do.
template <DType dtype, Caches caches>
bool accepts_attention(const KernelQuery& query) {
  const ops::ValueType& cache = query.inputs[1];
  const ops::Dim& block_size = cache.dims[3];
  const bool is_plain = cache.dtype == dtype;
  const bool is_widened = !is_plain && cache.dtype != DType::fp32;
  constexpr int64_t kMaxIntegerRow = 512 + ops::kKvScaleBytes;
  if (dtype == DType::bf16 && cache.dtype == DType::int8 && cache.dims[4].value > kMaxIntegerRow)
    return false;
  return query.inputs[0].dtype == dtype && block_size.is_constant() &&
         block_size.value % kPanelWidth == 0 &&
         ((is_plain && caches != Caches::widened) || (is_widened && caches != Caches::plain));
}

bool accepts_same_dtype(const KernelQuery& query) {
  return query.inputs[0].dtype == query.inputs[1].dtype;
}

bool accepts_any(const KernelQuery&) { return true; }

bool accepts_plain_table(const KernelQuery& query) {
  return query.weight_layout.empty() || query.weight_layout == "plain";
}
bool accepts_packed_table(const KernelQuery& query) {
  return query.weight_layout == kLayoutFp32 || query.weight_layout == kLayoutBf16;
}

/// Sums of longer groups might not fit 32 bits.
bool accepts_uint4_linear(const KernelQuery& query) {
  constexpr int64_t kMaxGroup = 65536;
  return query.weight_layout == kLayoutUint4x2 &&
         query.inputs[0].dims[1].value / query.inputs[3].dims[1].value <= kMaxGroup;
}

template <DType dtype>
bool accepts_weight_only_linear(const KernelQuery& query) {
  return query.inputs[0].dtype == dtype &&
         (query.weight_layout == kLayoutInt8 || query.weight_layout == kLayoutFp8 ||
          query.weight_layout == kLayoutUint4x2);
}

struct CpuKernel {
  Isa isa;  // the least that runs it
  Kernel kernel;
};

template <const GemmMicro& micro, DType dtype>
constexpr Kernel linear_kernel(std::string_view name) {
  return {name, Op::linear, accepts_linear<dtype>, run_linear<micro>,
          linear_workspace_bytes<micro>};
}

template <const GemmMicro& micro>
constexpr Kernel int8_linear_kernel(std::string_view name) {
  return {name, Op::quantized_linear, accepts_quantized_linear<DType::int8>, run_int8_linear<micro>,
          int8_linear_workspace_bytes<micro>};
}
template <const Fp8Micro& micro>
constexpr Kernel fp8_linear_kernel(std::string_view name) {
  return {name, Op::quantized_linear, accepts_quantized_linear<DType::fp8_e4m3>,
          run_fp8_linear<micro>, fp8_linear_workspace_bytes<micro>};
}
template <const Uint4Micro& micro>
constexpr Kernel uint4_linear_kernel(std::string_view name) {
  return {name, Op::quantized_linear, accepts_uint4_linear, run_uint4_linear<micro>,
          uint4_linear_workspace_bytes};
}

template <const GemmMicro& micro, const DequantizeMicro& dequantize, DType dtype>
constexpr Kernel weight_only_kernel(std::string_view name) {
  return {name, Op::weight_only_linear, accepts_weight_only_linear<dtype>,
          run_weight_only_linear<micro, dequantize>, weight_only_linear_workspace_bytes<micro>};
}

template <const AttentionMicro& micro, DType dtype, Caches caches>
constexpr Kernel attention_kernel(std::string_view name) {
  return {name, Op::paged_attention, accepts_attention<dtype, caches>, run_paged_attention<micro>,
          paged_attention_workspace_bytes};
}

template <typename Args, void (*front)(ops::OpContext&, const Args&, const RowMicros&) noexcept,
          const RowMicros& micros>
constexpr Kernel row_kernel(Op op, std::string_view name) {
  return {name, op, accepts_any, run_rows<Args, front, micros>, rows_workspace_bytes};
}
template <const RowMicros& micros>
constexpr auto rms_norm_kernel = row_kernel<ops::RmsNormArgs, rms_norm, micros>;
template <const RowMicros& micros>
constexpr auto layer_norm_kernel = row_kernel<ops::LayerNormArgs, layer_norm, micros>;
template <const RowMicros& micros>
constexpr auto add_kernel = row_kernel<ops::AddArgs, add, micros>;
template <const RowMicros& micros>
constexpr auto act_kernel = row_kernel<ops::ActArgs, act, micros>;
template <const RowMicros& micros>
constexpr auto quantize_kernel = row_kernel<ops::QuantizeArgs, quantize, micros>;
template <const RowMicros& micros>
constexpr auto rope_kernel = row_kernel<ops::RopeArgs, rope, micros>;
template <const RowMicros& micros>
constexpr Kernel rope_append_kernel(std::string_view name) {
  return {name, Op::rope_append, accepts_any, run_rows<ops::RopeAppendArgs, rope_append, micros>,
          rope_append_workspace_bytes};
}

/// Best first within an op. The references follow.
const CpuKernel kCpuKernels[] = {
#if defined(__x86_64__)
    {Isa::avx512_bf16_dot,
     linear_kernel<kGemmAvx512DotBf16, DType::bf16>("linear/avx512_bf16_dot")},
    {Isa::avx512, linear_kernel<kGemmAvx512Bf16, DType::bf16>("linear/avx512_bf16")},
    {Isa::avx512, linear_kernel<kGemmAvx512Fp32, DType::fp32>("linear/avx512_fp32")},
    {Isa::avx2, linear_kernel<kGemmAvx2Bf16, DType::bf16>("linear/avx2_bf16")},
    {Isa::avx2, linear_kernel<kGemmAvx2Fp32, DType::fp32>("linear/avx2_fp32")},
    {Isa::avx512_bf16_dot,
     uint4_linear_kernel<kUint4Avx512Vnni>("quantized_linear/avx512_vnni_uint4")},
    {Isa::avx512_vnni,
     uint4_linear_kernel<kUint4Avx512VnniTall>("quantized_linear/avx512_vnni_uint4_tall")},
    {Isa::avx512, uint4_linear_kernel<kUint4Avx512>("quantized_linear/avx512_uint4")},
    {Isa::avx2_vnni, uint4_linear_kernel<kUint4Avx2Vnni>("quantized_linear/avx2_vnni_uint4")},
    {Isa::avx2, uint4_linear_kernel<kUint4Avx2>("quantized_linear/avx2_uint4")},
    {Isa::avx512_bf16_dot,
     int8_linear_kernel<kGemmAvx512DotInt8>("quantized_linear/avx512_vnni_int8")},
    {Isa::avx512_vnni,
     int8_linear_kernel<kGemmAvx512DotInt8Ahead>("quantized_linear/avx512_vnni_int8_ahead")},
    {Isa::avx512, int8_linear_kernel<kGemmAvx512Int8>("quantized_linear/avx512_int8")},
    {Isa::avx2_vnni, int8_linear_kernel<kGemmAvx2DotInt8>("quantized_linear/avx2_vnni_int8")},
    {Isa::avx2, int8_linear_kernel<kGemmAvx2Int8>("quantized_linear/avx2_int8")},
    {Isa::avx512_bf16_dot,
     fp8_linear_kernel<kFp8Avx512DotBf16>("quantized_linear/avx512_bf16_fp8_dot")},
    {Isa::avx512_bf16, fp8_linear_kernel<kFp8Avx512Bf16>("quantized_linear/avx512_bf16_fp8")},
    {Isa::avx512, fp8_linear_kernel<kFp8Avx512>("quantized_linear/avx512_fp8")},
    {Isa::avx2, fp8_linear_kernel<kFp8Avx2>("quantized_linear/avx2_fp8")},
    {Isa::avx512_bf16_dot,
     weight_only_kernel<kGemmAvx512DotBf16, kDequantizeAvx512Bf16, DType::bf16>(
         "weight_only_linear/avx512_bf16_dot")},
    {Isa::avx512_bf16, weight_only_kernel<kGemmAvx512Bf16, kDequantizeAvx512Bf16, DType::bf16>(
                           "weight_only_linear/avx512_bf16_fma")},
    {Isa::avx512, weight_only_kernel<kGemmAvx512Bf16, kDequantizeAvx512, DType::bf16>(
                      "weight_only_linear/avx512_bf16")},
    {Isa::avx512, weight_only_kernel<kGemmAvx512Fp32, kDequantizeAvx512, DType::fp32>(
                      "weight_only_linear/avx512_fp32")},
    {Isa::avx2, weight_only_kernel<kGemmAvx2Bf16, kDequantizeAvx2, DType::bf16>(
                    "weight_only_linear/avx2_bf16")},
    {Isa::avx2, weight_only_kernel<kGemmAvx2Fp32, kDequantizeAvx2, DType::fp32>(
                    "weight_only_linear/avx2_fp32")},
    {Isa::avx512_bf16_dot, attention_kernel<kAttentionAvx512DotBf16, DType::bf16, Caches::both>(
                               "paged_attention/avx512_bf16_dot")},
    {Isa::avx512_vnni, attention_kernel<kAttentionAvx512VnniBf16, DType::bf16, Caches::both>(
                           "paged_attention/avx512_vnni_bf16")},
    {Isa::avx512, attention_kernel<kAttentionAvx512Bf16, DType::bf16, Caches::both>(
                      "paged_attention/avx512_bf16")},
    {Isa::avx512, attention_kernel<kAttentionAvx512Fp32, DType::fp32, Caches::plain>(
                      "paged_attention/avx512_fp32")},
    {Isa::avx512, attention_kernel<kAttentionAvx512Fp32ByBf16, DType::fp32, Caches::widened>(
                      "paged_attention/avx512_fp32_by_bf16")},
    {Isa::avx2,
     attention_kernel<kAttentionAvx2Bf16, DType::bf16, Caches::both>("paged_attention/avx2_bf16")},
    {Isa::avx2,
     attention_kernel<kAttentionAvx2Fp32, DType::fp32, Caches::plain>("paged_attention/avx2_fp32")},
    {Isa::avx2, attention_kernel<kAttentionAvx2Fp32ByBf16, DType::fp32, Caches::widened>(
                    "paged_attention/avx2_fp32_by_bf16")},
    {Isa::avx512, rms_norm_kernel<kRowsAvx512>(Op::rms_norm, "rms_norm/avx512")},
    {Isa::avx512, rms_norm_kernel<kRowsAvx512>(Op::add_rms_norm, "add_rms_norm/avx512")},
    {Isa::avx512, layer_norm_kernel<kRowsAvx512>(Op::layer_norm, "layer_norm/avx512")},
    {Isa::avx512, layer_norm_kernel<kRowsAvx512>(Op::add_layer_norm, "add_layer_norm/avx512")},
    {Isa::avx512, add_kernel<kRowsAvx512>(Op::add, "add/avx512")},
    {Isa::avx512, act_kernel<kRowsAvx512>(Op::act, "act/avx512")},
    {Isa::avx512, act_kernel<kRowsAvx512>(Op::gated_act, "gated_act/avx512")},
    {Isa::avx512, quantize_kernel<kRowsAvx512>(Op::quantize, "quantize/avx512")},
    {Isa::avx512, rope_kernel<kRowsAvx512>(Op::rope, "rope/avx512")},
    {Isa::avx512, rope_append_kernel<kRowsAvx512>("rope_append/avx512")},
    {Isa::avx2, rms_norm_kernel<kRowsAvx2>(Op::rms_norm, "rms_norm/avx2")},
    {Isa::avx2, rms_norm_kernel<kRowsAvx2>(Op::add_rms_norm, "add_rms_norm/avx2")},
    {Isa::avx2, layer_norm_kernel<kRowsAvx2>(Op::layer_norm, "layer_norm/avx2")},
    {Isa::avx2, layer_norm_kernel<kRowsAvx2>(Op::add_layer_norm, "add_layer_norm/avx2")},
    {Isa::avx2, add_kernel<kRowsAvx2>(Op::add, "add/avx2")},
    {Isa::avx2, act_kernel<kRowsAvx2>(Op::act, "act/avx2")},
    {Isa::avx2, act_kernel<kRowsAvx2>(Op::gated_act, "gated_act/avx2")},
    {Isa::avx2, quantize_kernel<kRowsAvx2>(Op::quantize, "quantize/avx2")},
    {Isa::avx2, rope_kernel<kRowsAvx2>(Op::rope, "rope/avx2")},
    {Isa::avx2, rope_append_kernel<kRowsAvx2>("rope_append/avx2")},
#endif
    {Isa::portable, linear_kernel<kGemmPortableBf16, DType::bf16>("linear/portable_bf16")},
    {Isa::portable, linear_kernel<kGemmPortableFp32, DType::fp32>("linear/portable_fp32")},
    {Isa::portable, uint4_linear_kernel<kUint4Portable>("quantized_linear/portable_uint4")},
    {Isa::portable, int8_linear_kernel<kGemmPortableInt8>("quantized_linear/portable_int8")},
    {Isa::portable, fp8_linear_kernel<kFp8Portable>("quantized_linear/portable_fp8")},
    {Isa::portable, weight_only_kernel<kGemmPortableBf16, kDequantizePortable, DType::bf16>(
                        "weight_only_linear/portable_bf16")},
    {Isa::portable, weight_only_kernel<kGemmPortableFp32, kDequantizePortable, DType::fp32>(
                        "weight_only_linear/portable_fp32")},
    {Isa::portable, attention_kernel<kAttentionPortableBf16, DType::bf16, Caches::both>(
                        "paged_attention/portable_bf16")},
    {Isa::portable, attention_kernel<kAttentionPortableFp32, DType::fp32, Caches::plain>(
                        "paged_attention/portable_fp32")},
    {Isa::portable, attention_kernel<kAttentionPortableFp32ByBf16, DType::fp32, Caches::widened>(
                        "paged_attention/portable_fp32_by_bf16")},
    {Isa::portable, rms_norm_kernel<kRowsPortable>(Op::rms_norm, "rms_norm/portable")},
    {Isa::portable, rms_norm_kernel<kRowsPortable>(Op::add_rms_norm, "add_rms_norm/portable")},
    {Isa::portable, layer_norm_kernel<kRowsPortable>(Op::layer_norm, "layer_norm/portable")},
    {Isa::portable,
     layer_norm_kernel<kRowsPortable>(Op::add_layer_norm, "add_layer_norm/portable")},
    {Isa::portable, add_kernel<kRowsPortable>(Op::add, "add/portable")},
    {Isa::portable, act_kernel<kRowsPortable>(Op::act, "act/portable")},
    {Isa::portable, act_kernel<kRowsPortable>(Op::gated_act, "gated_act/portable")},
    {Isa::portable, quantize_kernel<kRowsPortable>(Op::quantize, "quantize/portable")},
    {Isa::portable, rope_kernel<kRowsPortable>(Op::rope, "rope/portable")},
    {Isa::portable, rope_append_kernel<kRowsPortable>("rope_append/portable")},
    {Isa::portable,
     {"embedding/copy", Op::embedding, accepts_plain_table,
      ops::run_typed<ops::EmbeddingArgs, embedding>}},
    {Isa::portable,
     {"embedding/packed", Op::embedding, accepts_packed_table,
      ops::run_typed<ops::EmbeddingArgs, packed_embedding>}},
    {Isa::portable,
     {"gather_rows/copy", Op::gather_rows, accepts_any,
      ops::run_typed<ops::GatherRowsArgs, gather_rows>}},
    {Isa::portable,
     {"permute_columns/copy", Op::permute_columns, accepts_any,
      ops::run_typed<ops::PermuteColumnsArgs, permute_columns>}},
    {Isa::portable,
     {"kv_append/copy", Op::kv_append, accepts_same_dtype,
      ops::run_typed<ops::KvAppendArgs, kv_append>}},
    {Isa::portable,
     {"kv_append/convert", Op::kv_append, accepts_any,
      ops::run_typed<ops::KvAppendArgs, convert_and_append>}},
    {Isa::portable,
     {"sample/pruned", Op::sample, accepts_any, ops::run_typed<ops::SampleArgs, sample>,
      sample_workspace_bytes}},
};

}  // namespace

ops::KernelRegistry make_registry(Isa isa) {
  std::vector<Kernel> kernels;
  for (const CpuKernel& entry : kCpuKernels)
    if (includes(isa, entry.isa)) kernels.push_back(entry.kernel);
  for (const Kernel& reference : ops::reference_kernels()) kernels.push_back(reference);
  return ops::KernelRegistry(std::move(kernels), weight_layouts());
}

}  // namespace veloz::cpu
