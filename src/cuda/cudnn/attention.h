// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "ops/attention.h"
#include "ops/kernel.h"

/// Prefill attention by cuDNN. Its results differ in the last bits from our kernels', and with what
/// else is in the step (LibraryUse::fastest). Short sequences, those that decode, stay with our
/// kernel, and so does all of a step that cuDNN is not asked for.
namespace veloz::cuda::cudnn {

/// bf16 in a bf16 cache whose blocks are a power of two long: of fp8 in pages cuDNN's documentation
/// says nothing.
bool accepts(const ops::KernelQuery& query);
/// Whether cuDNN is likely faster: enough tokens, most of which fill its thread blocks.
bool is_worth_asking(const ops::PagedAttentionArgs& args);
size_t workspace_bytes(const ops::OpCall& call, int num_threads);
void paged_attention(ops::OpContext& context, const ops::PagedAttentionArgs& args) noexcept;
std::vector<std::string> prepare(Stream& stream, const ops::KernelQuery& query,
                                 const ops::Binding& most);

}  // namespace veloz::cuda::cudnn
