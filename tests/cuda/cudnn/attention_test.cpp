// SPDX-License-Identifier: Apache-2.0
#include "cuda/cudnn/attention.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "cuda/attention_runs.h"
#include "cuda/cudnn/library_attention.h"
#include "cuda/cudnn/missing.h"
#include "cuda/stream.h"

/// The front of attention by a library, with a pretended one: the simulated device's memory is the
/// host's.
namespace veloz::cuda {
namespace {

using ops::Op;
using test::AttentionCase;
using test::OwnedTensor;

enum class Manner { works, has_no_plan, does_not_run };

/// Attends by plain loops, entry by entry, as the chunks say.
class PretendedAttention final : public LibraryAttention {
 public:
  explicit PretendedAttention(Manner manner) : manner_(manner) {}

  std::string prepare(const SdpaShape& shape) override {
    prepared_.push_back(shape);
    return manner_ == Manner::works ? "" : "it is pretended";
  }
  bool has_plan(const SdpaShape&) noexcept override { return manner_ != Manner::has_no_plan; }
  bool run(const ops::PagedAttentionArgs& args, const SdpaShape& shape,
           const int32_t* chunks) noexcept override {
    ++num_runs_;
    if (manner_ == Manner::does_not_run) return false;
    for (int64_t entry = 0; entry < shape.num_entries; ++entry)
      for (int64_t head = 0; head < shape.num_heads; ++head)
        attend(args, shape, chunks, entry, head);
    return true;
  }
  int num_runs() const { return num_runs_; }
  const std::vector<SdpaShape>& prepared() const { return prepared_; }

 private:
  static void attend(const ops::PagedAttentionArgs& args, const SdpaShape& s, const int32_t* chunks,
                     int64_t entry, int64_t head) {
    const ChunkLayout at = ChunkLayout::of(s);
    const int64_t q_len = chunks[at.q_lens + entry];
    const int64_t kv_len = chunks[at.kv_lens + entry];
    const int32_t* const table = chunks + at.tables + entry * s.table_columns;
    const int64_t kv_head = head / (s.num_heads / s.num_kv_heads);
    const auto row_of = [&](int64_t position, int64_t kv) {
      const int64_t block = table[position / s.block_size];
      return args.cache.as<const BFloat16>() +
             (((block * 2 + kv) * s.num_kv_heads + kv_head) * s.block_size +
              position % s.block_size) *
                 s.head_dim;
    };
    for (int64_t i = 0; i < q_len; ++i) {
      const BFloat16* const q = args.q.as<const BFloat16>() + chunks[at.q_offsets + entry] +
                                i * s.q_stride + head * s.head_dim;
      BFloat16* const y =
          args.y.as<BFloat16>() + chunks[at.y_offsets + entry] + i * s.y_stride + head * s.head_dim;
      std::vector<double> weights;
      double sum = 0;
      for (int64_t position = 0; position <= kv_len - q_len + i; ++position) {
        double score = 0;
        for (int64_t d = 0; d < s.head_dim; ++d)
          score += static_cast<double>(static_cast<float>(q[d])) *
                   static_cast<double>(static_cast<float>(row_of(position, 0)[d]));
        weights.push_back(std::exp(score * static_cast<double>(args.scale)));
        sum += weights.back();
      }
      for (int64_t d = 0; d < s.head_dim; ++d) {
        double total = 0;
        for (size_t p = 0; p < weights.size(); ++p)
          total += weights[p] *
                   static_cast<double>(static_cast<float>(row_of(static_cast<int64_t>(p), 1)[d]));
        y[d] = BFloat16(static_cast<float>(total / sum));
      }
    }
  }

  Manner manner_;
  int num_runs_ = 0;
  std::vector<SdpaShape> prepared_;
};

AttentionCase mixed_case() {
  return {.num_heads = 2,
          .num_kv_heads = 1,
          .head_dim = 64,
          .block_size = 32,
          .q_lens = {1, 258, 2, 30, 1},
          .kv_lens = {40, 300, 65, 30, 7},
          .dtype = DType::bf16};
}

ops::Kernel library_kernel() {
  return kernel_named("paged_attention/cudnn", {.library = LibraryUse::fastest});
}

/// Runs the kernel and holds it against the reference. How often the library ran.
int run_by(Manner manner, const AttentionCase& c) {
  const GpuAttention gpu(test::build_attention(c));
  const std::vector<TensorView> inputs = gpu.inputs();
  const std::vector<OwnedTensor> want =
      test::run_reference(Op::paged_attention, gpu.built.inputs(), gpu.built.attrs);
  const OwnedTensor y(DType::bf16, want[0].view().shape);
  const std::vector<TensorView> outputs = {y.view()};
  const ops::OpCall call{.inputs = inputs, .outputs = outputs, .attrs = gpu.built.attrs};
  const auto stream = test_device().create_stream();
  const auto library = std::make_shared<PretendedAttention>(manner);
  static_cast<CudaStream&>(*stream).set_library_attention(library);
  const ops::Kernel kernel = library_kernel();
  EXPECT_TRUE(accepts(kernel, inputs, outputs, gpu.built.attrs));
  const Buffer workspace = test_device().allocate(kernel.workspace_bytes(call, 1));
  ops::OpContext context{
      .stream = stream.get(),
      .workspace = {static_cast<std::byte*>(workspace.data()), kernel.workspace_bytes(call, 1)}};
  kernel.run(context, call);
  stream->synchronize();
  EXPECT_TRUE(test::compare_tensors(
      y.view(), want[0].view(), [](int64_t) { return 0x1p-6; }, c.seed));
  return library->num_runs();
}

TEST(CudnnAttention, TakesLongSequencesInChunksAndLeavesDecodes) {
  EXPECT_EQ(run_by(Manner::works, mixed_case()), 1);
}

TEST(CudnnAttention, IsOurKernelsWhereTheLibraryHasNoPlanOrFails) {
  EXPECT_EQ(run_by(Manner::has_no_plan, mixed_case()), 0);
  EXPECT_EQ(run_by(Manner::does_not_run, mixed_case()), 1);
}

TEST(CudnnAttention, IsNotAskedForFewTokens) {
  AttentionCase c = mixed_case();
  c.q_lens = {1, 30};
  c.kv_lens = {40, 30};
  EXPECT_EQ(run_by(Manner::works, c), 0);
}

/// Of [T] tokens in a cache of that dtype and blocks.
struct Query {
  explicit Query(DType cache = DType::bf16, int64_t block_size = 16)
      : inputs({{DType::bf16, {ops::Symbol::T, 8 * 128}},
                {cache, {ops::Symbol::N, 2, 2, block_size, 128}},
                {DType::int32, {ops::Symbol::S}},
                {DType::int32, {ops::Symbol::S}},
                {DType::int32, {ops::Symbol::S}},
                {DType::int32, {ops::Symbol::S, ops::Symbol::B}}}),
        outputs({{DType::bf16, {ops::Symbol::T, 8 * 128}}}) {}
  ops::KernelQuery query() const { return {Op::paged_attention, inputs, outputs, attrs}; }

  std::vector<ops::ValueType> inputs, outputs;
  ops::Attrs attrs{
      {"num_heads", int64_t{8}}, {"num_kv_heads", int64_t{2}}, {"head_dim", int64_t{128}}};
};

std::string_view chosen(LibraryUse use, const Query& query) {
  return make_registry({.library = use}).choose(query.query()).name;
}

TEST(CudnnAttention, IsOfferedWhereBitsMayChangeForBf16InBlocksOfAPowerOfTwo) {
  EXPECT_EQ(chosen(LibraryUse::fastest, Query()), "paged_attention/cudnn");
  const std::string_view ours = "paged_attention/tensor_cores";
  EXPECT_EQ(chosen(LibraryUse::same_bits, Query()), ours);
  EXPECT_EQ(chosen(LibraryUse::none, Query()), ours);
  EXPECT_EQ(chosen(LibraryUse::fastest, Query(DType::fp8_e4m3)), ours);
  EXPECT_EQ(chosen(LibraryUse::fastest, Query(DType::bf16, 48)), ours);
}

std::vector<std::string> prepare(const std::shared_ptr<LibraryAttention>& library,
                                 int64_t num_tokens) {
  const auto stream = test_device().create_stream();
  static_cast<CudaStream&>(*stream).set_library_attention(library);
  ops::Binding most{};
  most[static_cast<size_t>(ops::Symbol::T)] = num_tokens;
  most[static_cast<size_t>(ops::Symbol::S)] = 4;
  most[static_cast<size_t>(ops::Symbol::B)] = 100;
  return library_kernel().prepare(*stream, Query().query(), most);
}

TEST(CudnnAttention, CompilesAsItPrepares) {
  const auto library = std::make_shared<PretendedAttention>(Manner::works);
  EXPECT_TRUE(prepare(library, 2048).empty());
  ASSERT_EQ(library->prepared().size(), 1u);
  EXPECT_EQ(library->prepared()[0].head_dim, 128);
  EXPECT_EQ(library->prepared()[0].table_columns, 128);
}

TEST(CudnnAttention, TellsOnceWhyItIsNotUsed) {
  const auto missing = std::make_shared<MissingAttention>("it is not there");
  EXPECT_EQ(
      prepare(missing, 2048),
      std::vector<std::string>{"prefill attention is left to our own kernels: it is not there"});
  EXPECT_TRUE(prepare(missing, 2048).empty());
}

}  // namespace
}  // namespace veloz::cuda
