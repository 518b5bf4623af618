// SPDX-License-Identifier: Apache-2.0
#include "cuda/copy_blocks.h"

#include <algorithm>

#include "cuda/launch.h"
#include "cuda/ptx/dependent_launch.h"

namespace veloz::cuda {
namespace {

constexpr int kThreads = 256;
constexpr size_t kMaxPairs = 128;  // 1 KiB of arguments, of the 4 KiB that every driver takes
constexpr size_t kMaxBlocksPerPair = 8;

struct Pairs {
  int32_t from[kMaxPairs];
  int32_t to[kMaxPairs];
};

/// Grid [parts of a block, pairs].
template <typename Word>
__global__ void __launch_bounds__(kThreads)
    copy_blocks_kernel(Word* base, int64_t words_per_block, Pairs pairs) {
  wait_for_previous_kernel();
  const int64_t from = pairs.from[blockIdx.y];
  const int64_t to = pairs.to[blockIdx.y];
  if (from == to) return;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < words_per_block;
       i += static_cast<int64_t>(gridDim.x) * kThreads)
    base[to * words_per_block + i] = base[from * words_per_block + i];
}

template <typename Word>
void run(CudaStream& stream, void* base, size_t block_bytes, const Pairs& pairs, size_t count) {
  const size_t words = block_bytes / sizeof(Word);
  const size_t parts = std::min((words + kThreads - 1) / kThreads, kMaxBlocksPerPair);
  launch(stream, "copy_blocks", copy_blocks_kernel<Word>,
         {.grid = dim3(static_cast<unsigned>(parts), static_cast<unsigned>(count)),
          .block = dim3(kThreads)},
         static_cast<Word*>(base), static_cast<int64_t>(words), pairs);
}

}  // namespace

void copy_blocks(CudaStream& stream, void* base, size_t block_bytes,
                 std::span<const std::pair<int32_t, int32_t>> pairs) noexcept {
  for (size_t begin = 0; begin < pairs.size(); begin += kMaxPairs) {
    const size_t count = std::min(pairs.size() - begin, kMaxPairs);
    Pairs some{};
    for (size_t i = 0; i < count; ++i) {
      some.from[i] = pairs[begin + i].first;
      some.to[i] = pairs[begin + i].second;
    }
    if (block_bytes % sizeof(uint4) == 0)
      run<uint4>(stream, base, block_bytes, some, count);
    else
      run<uint32_t>(stream, base, block_bytes, some, count);
  }
}

}  // namespace veloz::cuda
