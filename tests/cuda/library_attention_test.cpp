// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <limits>
#include <optional>
#include <ostream>
#include <string>

#include "cuda/attention_runs.h"
#include "cuda/cudnn/attach.h"
#include "cuda/cudnn/library_attention.h"
#include "cuda/cudnn/missing.h"
#include "cuda/stream.h"

/// Prefill attention by the real cuDNN against the reference. Needs a GPU.
namespace veloz::cuda {
namespace {

using ops::Op;
using test::AttentionCase;
using test::OwnedTensor;

struct NamedCase {
  const char* name;
  AttentionCase attention;
};
void PrintTo(const NamedCase& c, std::ostream* out) { *out << c.name; }

class LibraryAttentionOnDevice : public ::testing::TestWithParam<NamedCase> {};

TEST_P(LibraryAttentionOnDevice, MatchesTheReference) {
  AttentionCase c = GetParam().attention;
  c.dtype = DType::bf16;
  const GpuAttention gpu(test::build_attention(c));
  const std::vector<TensorView> inputs = gpu.built.inputs();
  const std::vector<OwnedTensor> want =
      test::run_reference(Op::paged_attention, inputs, gpu.built.attrs);
  const std::vector<TensorView> wanted = test::views_of(want);

  const auto stream = test_device().create_stream();
  const char* const directory = std::getenv("VELOZ_CUBLASLT");
  attach_cudnn(*stream, CudnnOptions::beside(directory == nullptr ? "" : directory));
  LibraryAttention& library = *static_cast<CudaStream&>(*stream).library_attention();
  const ops::OpCall shapes{.inputs = inputs, .outputs = wanted, .attrs = gpu.built.attrs};
  const std::string why = library.prepare(sdpa_shape_of(ops::PagedAttentionArgs::from(shapes)));
  if (dynamic_cast<MissingAttention*>(&library) != nullptr) GTEST_SKIP() << why;
  ASSERT_EQ(why, "");
  const ops::Kernel kernel =
      kernel_named("paged_attention/cudnn", {.library = LibraryUse::fastest});
  const OwnedTensor y(DType::bf16, wanted[0].shape, wanted[0].shape[1] + 8);
  run_kernel_on(*stream, kernel, gpu.inputs(), {y.view()}, gpu.built.attrs);

  const int64_t columns = wanted[0].shape[1];
  EXPECT_TRUE(test::compare_tensors(
      y.view(), wanted[0],
      [&](int64_t i) {
        // As in attention_test.cpp: the op's tolerance takes long to compute.
        if (i % 997 != 0) return 0x1p-7;
        return ops::op_def(Op::paged_attention).tolerance(shapes, 0, i / columns, i % columns);
      },
      c.seed));
}

const NamedCase kCases[] = {
    {"AChunkAndAToken",
     {.num_heads = 2, .num_kv_heads = 1, .head_dim = 128, .q_lens = {257}, .kv_lens = {257}}},
    {"SeveralChunksBehindAPrefix",
     {.num_heads = 4,
      .num_kv_heads = 1,
      .head_dim = 128,
      .block_size = 64,
      .q_lens = {600},
      .kv_lens = {1111}}},
    {"NarrowHeads",
     {.num_heads = 4,
      .num_kv_heads = 2,
      .head_dim = 64,
      .q_lens = {300, 33},
      .kv_lens = {300, 90}}},
    {"WideHeads",
     {.num_heads = 2,
      .num_kv_heads = 2,
      .head_dim = 256,
      .block_size = 32,
      .q_lens = {290, 70},
      .kv_lens = {350, 70}}},
    {"ChunksAmongDecodes",
     {.num_heads = 8,
      .num_kv_heads = 1,
      .head_dim = 128,
      .q_lens = {1, 270, 1, 5, 2, 129},
      .kv_lens = {80, 270, 1, 1100, 64, 700}}},
    {"NanWhereNothingWasWritten",
     {.num_heads = 2,
      .num_kv_heads = 1,
      .head_dim = 128,
      .block_size = 64,
      .q_lens = {270},
      .kv_lens = {290},
      .unwritten = std::numeric_limits<double>::quiet_NaN()}},
};
INSTANTIATE_TEST_SUITE_P(Cuda, LibraryAttentionOnDevice, ::testing::ValuesIn(kCases),
                         [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace veloz::cuda
