// SPDX-License-Identifier: Apache-2.0
#include "cuda/kernels.h"

#include <utility>
#include <vector>

#include "cuda/attention.h"
#include "cuda/attention_plan.h"
#include "cuda/cublaslt/linear.h"
#include "cuda/linear.h"
#include "cuda/logits.h"
#include "cuda/row_copies.h"
#include "cuda/rows.h"

namespace veloz::cuda {
namespace {

using ops::Kernel;
using ops::KernelQuery;
using ops::Op;

/// What runs a kernel: nothing in a program built without CUDA.
#if defined(VELOZ_HAS_CUDA)
#define VELOZ_FRONT(front) front
#else
#define VELOZ_FRONT(front) nullptr
#endif

bool accepts_any(const KernelQuery&) { return true; }
bool accepts_plain(const KernelQuery& query) {
  return query.weight_layout.empty() || query.weight_layout == "plain";
}

/// The copy engine wants rows of whole 16-byte units.
bool has_whole_units(const ops::ValueType& matrix) {
  constexpr int64_t kUnitBytes = 16;
  return matrix.dims[1].value * static_cast<int64_t>(dtype_bytes(matrix.dtype)) % kUnitBytes == 0;
}

bool accepts_gemm_linear(const KernelQuery& query) {
  return accepts_plain(query) && query.inputs[0].dtype == DType::bf16 &&
         has_whole_units(query.inputs[1]);
}

bool accepts_gemm_quantized_linear(const KernelQuery& query) {
  constexpr int64_t kGroup = 128;
  const ops::ValueType& w = query.inputs[2];
  const int64_t num_groups = query.inputs[3].dims[1].value;
  const bool is_grouped = num_groups > 1;
  return accepts_plain(query) && w.dtype != DType::uint4x2 && has_whole_units(w) &&
         (!is_grouped || w.dims[1].value == num_groups * kGroup);
}

// Best first within an op.
constexpr Kernel kKernels[] = {
    {"act/rows", Op::act, accepts_any, VELOZ_FRONT((ops::run_typed<ops::ActArgs, act>))},
    {"add/rows", Op::add, accepts_any, VELOZ_FRONT((ops::run_typed<ops::AddArgs, add>))},
    {"add_layer_norm/rows", Op::add_layer_norm, accepts_any,
     VELOZ_FRONT((ops::run_typed<ops::LayerNormArgs, layer_norm>))},
    {"add_rms_norm/rows", Op::add_rms_norm, accepts_any,
     VELOZ_FRONT((ops::run_typed<ops::RmsNormArgs, rms_norm>))},
    {"embedding/plain", Op::embedding, accepts_plain,
     VELOZ_FRONT((ops::run_typed<ops::EmbeddingArgs, embedding>))},
    {"feed_tokens/plain", Op::feed_tokens, accepts_any,
     VELOZ_FRONT((ops::run_typed<ops::FeedTokensArgs, feed_tokens>))},
    {"gated_act/rows", Op::gated_act, accepts_any,
     VELOZ_FRONT((ops::run_typed<ops::ActArgs, act>))},
    {"gather_rows/rows", Op::gather_rows, accepts_any,
     VELOZ_FRONT((ops::run_typed<ops::GatherRowsArgs, gather_rows>))},
    {"kv_append/plain", Op::kv_append, accepts_any,
     VELOZ_FRONT((ops::run_typed<ops::KvAppendArgs, kv_append>))},
    {"layer_norm/rows", Op::layer_norm, accepts_any,
     VELOZ_FRONT((ops::run_typed<ops::LayerNormArgs, layer_norm>))},
    {"permute_columns/rows", Op::permute_columns, accepts_any,
     VELOZ_FRONT((ops::run_typed<ops::PermuteColumnsArgs, permute_columns>))},
    {"quantize/rows", Op::quantize, accepts_any,
     VELOZ_FRONT((ops::run_typed<ops::QuantizeArgs, quantize>))},
    {"rms_norm/rows", Op::rms_norm, accepts_any,
     VELOZ_FRONT((ops::run_typed<ops::RmsNormArgs, rms_norm>))},
    {"rope/rows", Op::rope, accepts_any, VELOZ_FRONT((ops::run_typed<ops::RopeArgs, rope>))},
    {"rope_angles/rows", Op::rope_angles, accepts_any,
     VELOZ_FRONT((ops::run_typed<ops::RopeAnglesArgs, rope_angles>))},
    {"rope_append/plain", Op::rope_append, accepts_any,
     VELOZ_FRONT((ops::run_typed<ops::RopeAppendArgs, rope_append>))},
    {"linear/wgmma", Op::linear, accepts_gemm_linear,
     VELOZ_FRONT((ops::run_typed<ops::LinearArgs, gemm_linear>))},
    {"linear/simple", Op::linear, accepts_plain,
     VELOZ_FRONT((ops::run_typed<ops::LinearArgs, simple_linear>))},
    {"quantized_linear/wgmma", Op::quantized_linear, accepts_gemm_quantized_linear,
     VELOZ_FRONT((ops::run_typed<ops::QuantizedLinearArgs, gemm_quantized_linear>))},
    {"quantized_linear/simple", Op::quantized_linear, accepts_plain,
     VELOZ_FRONT((ops::run_typed<ops::QuantizedLinearArgs, simple_quantized_linear>))},
    {"weight_only_linear/simple", Op::weight_only_linear, accepts_plain,
     VELOZ_FRONT((ops::run_typed<ops::WeightOnlyLinearArgs, simple_weight_only_linear>))},
    {"paged_attention/tensor_cores", Op::paged_attention, accepts_paged_attention,
     VELOZ_FRONT((ops::run_typed<ops::PagedAttentionArgs, paged_attention>)),
     paged_attention_workspace_bytes},
    {"paged_attention/simple", Op::paged_attention, accepts_any,
     VELOZ_FRONT((ops::run_typed<ops::PagedAttentionArgs, paged_attention_simple>))},
    {"apply_bitmask/rows", Op::apply_bitmask, accepts_any,
     VELOZ_FRONT((ops::run_typed<ops::ApplyBitmaskArgs, apply_bitmask>))},
    {"beam_candidates/threshold", Op::beam_candidates, accepts_any,
     VELOZ_FRONT((ops::run_typed<ops::BeamCandidatesArgs, beam_candidates>))},
    {"log_softmax/rows", Op::log_softmax, accepts_any,
     VELOZ_FRONT((ops::run_typed<ops::LogSoftmaxArgs, log_softmax>))},
    {"mask_logits/rows", Op::mask_logits, accepts_any,
     VELOZ_FRONT((ops::run_typed<ops::MaskLogitsArgs, mask_logits>))},
    {"penalize/rows", Op::penalize, accepts_any,
     VELOZ_FRONT((ops::run_typed<ops::PenalizeArgs, penalize>))},
    {"sample/threshold", Op::sample, accepts_any,
     VELOZ_FRONT((ops::run_typed<ops::SampleArgs, sample>))},
    {"top_logprobs/threshold", Op::top_logprobs, accepts_any,
     VELOZ_FRONT((ops::run_typed<ops::TopLogprobsArgs, top_logprobs>))},
};

// Before the others where there is a library.
constexpr Kernel kLibraryKernels[] = {
    {"linear/cublaslt", Op::linear, cublaslt::accepts,
     VELOZ_FRONT((ops::run_typed<ops::LinearArgs, cublaslt::linear>)), nullptr,
     VELOZ_FRONT(cublaslt::prepare)},
    {"quantized_linear/cublaslt", Op::quantized_linear, cublaslt::accepts,
     VELOZ_FRONT((ops::run_typed<ops::QuantizedLinearArgs, cublaslt::quantized_linear>)), nullptr,
     VELOZ_FRONT(cublaslt::prepare)},
};

}  // namespace

ops::KernelRegistry make_registry(const RegistryOptions& options) {
  std::vector<Kernel> kernels;
  if (options.library != LibraryUse::none)
    kernels.assign(std::begin(kLibraryKernels), std::end(kLibraryKernels));
  kernels.insert(kernels.end(), std::begin(kKernels), std::end(kKernels));
  return {std::move(kernels), ops::plain_layouts()};
}

}  // namespace veloz::cuda
