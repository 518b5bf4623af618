// SPDX-License-Identifier: Apache-2.0
#include "cuda/cudnn/attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cuda/attention.h"
#include "cuda/cudnn/chunks.h"
#include "cuda/cudnn/library_attention.h"
#include "cuda/stream.h"

namespace veloz::cuda::cudnn {
namespace {

/// Whether the library took the long sequences.
bool run(ops::OpContext& context, LibraryAttention& library, const ops::PagedAttentionArgs& args) {
  const SdpaShape shape = sdpa_shape_of(args);
  const auto chunk_bytes = static_cast<size_t>(ChunkLayout::of(shape).count) * sizeof(int32_t);
  if (chunk_bytes > context.workspace.size() || !library.has_plan(shape)) return false;
  auto* const chunks = reinterpret_cast<int32_t*>(context.workspace.data());
  write_chunks(static_cast<CudaStream&>(*context.stream), args, shape, chunks);
  return library.run(args, shape, chunks);
}

/// Of the largest step, its rows packed: where they lie decides no code.
SdpaShape largest_shape(const ops::KernelQuery& query, const ops::Binding& most) {
  const Shape q = query.inputs[0].bind(most);
  const Shape cache = query.inputs[1].bind(most);
  const Shape tables = query.inputs[5].bind(most);
  const int64_t num_heads = query.attrs.get_int("num_heads");
  SdpaShape shape = sdpa_shape_of({.q = TensorView(nullptr, query.inputs[0].dtype, q),
                                   .cache = TensorView(nullptr, query.inputs[1].dtype, cache),
                                   .q_starts = TensorView(nullptr, DType::int32, Shape{1}),
                                   .q_lens = {},
                                   .kv_lens = {},
                                   .block_tables = TensorView(nullptr, DType::int32, tables),
                                   .y = TensorView(nullptr, query.inputs[0].dtype, q),
                                   .num_heads = num_heads,
                                   .num_kv_heads = query.attrs.get_int("num_kv_heads"),
                                   .head_dim = query.attrs.get_int("head_dim")});
  shape.num_blocks = std::max<int64_t>(shape.num_blocks, 1);  // nobody may know yet
  return shape;
}

}  // namespace

std::vector<std::string> prepare(Stream& stream, const ops::KernelQuery& query,
                                 const ops::Binding& most) {
  LibraryAttention* const library = static_cast<CudaStream&>(stream).library_attention();
  if (library == nullptr) return {};
  const SdpaShape shape = largest_shape(query, most);
  if (shape.num_entries == 0) return {};  // nothing but decode steps
  std::string why = library->prepare(shape);
  if (why.empty()) return {};
  return {fmt::format("prefill attention is left to our own kernels: {}", why)};
}

void paged_attention(ops::OpContext& context, const ops::PagedAttentionArgs& args) noexcept {
  LibraryAttention* const library = static_cast<CudaStream&>(*context.stream).library_attention();
  if (library == nullptr || !is_worth_asking(args) || !run(context, *library, args))
    return cuda::paged_attention(context, args);
  // Its workspace is the chunks': they were read by then.
  paged_attention_of_short(context, args);
}

}  // namespace veloz::cuda::cudnn
