// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numeric>

#include "cuda/ptx/async_copy.h"
#include "cuda/ptx/cluster.h"
#include "cuda/ptx/named_barrier.h"
#include "cuda/sim_runs.h"

namespace veloz::cuda {
namespace {

constexpr unsigned kFull = 0xffffffffu;

template <typename T>
std::vector<T> iota(size_t size, T first = {}) {
  std::vector<T> values(size);
  std::iota(values.begin(), values.end(), first);
  return values;
}

__global__ void reverse_block(const int* x, int* y) {
  __shared__ int staged[256];
  const unsigned first = blockIdx.x * blockDim.x;
  staged[threadIdx.x] = x[first + threadIdx.x];
  __syncthreads();
  y[first + threadIdx.x] = staged[blockDim.x - 1 - threadIdx.x];
}

TEST(SimulatedThreads, SeeWhatOthersWroteBeforeABarrier) {
  DeviceArray<int> x(iota<int>(3 * 256)), y(3 * 256);
  ASSERT_EQ(sim::launch(reverse_block, dim3(3), dim3(256), 0, x.data(), y.data()), cudaSuccess);
  for (int i = 0; i < 3 * 256; ++i)
    EXPECT_EQ(y.values()[static_cast<size_t>(i)], i / 256 * 256 + 255 - i % 256);
}

__global__ void reverse_without_barrier(const int* x, int* y) {
  auto* const staged = reinterpret_cast<int*>(dynamic_shared());
  staged[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = staged[blockDim.x - 1 - threadIdx.x];
}

TEST(SimulatedThreads, ShowThatABarrierIsMissing) {
  DeviceArray<int> x(iota<int>(64)), y(64);
  std::vector<int> right = x.values();
  std::ranges::reverse(right);
  sim::launch(reverse_without_barrier, dim3(1), dim3(64), 256, x.data(), y.data());
  EXPECT_NE(y.values(), right);
}

__global__ void take_number(unsigned* next, unsigned* y) { y[blockIdx.x] = atomicAdd(next, 1u); }

TEST(SimulatedThreads, RunTheBlocksInBothOrders) {
  std::vector<std::vector<unsigned>> orders;
  for (int launch = 0; launch < 4; ++launch) {
    DeviceArray<unsigned> next(1), y(3);
    sim::launch(take_number, dim3(3), dim3(1), 0, next.data(), y.data());
    orders.push_back(y.values());
  }
  EXPECT_EQ(std::ranges::count(orders, std::vector<unsigned>{0, 1, 2}), 2);
  EXPECT_EQ(std::ranges::count(orders, std::vector<unsigned>{2, 1, 0}), 2);
}

__global__ void number_threads(int* y) {
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  y[block * threads + thread] += static_cast<int>(block * threads + thread) + 1;
}

TEST(SimulatedThreads, RunOnceForEveryIndexOfGridAndBlock) {
  DeviceArray<int> y(2 * 3 * 4 * 5 * 3 * 2);
  ASSERT_EQ(sim::launch(number_threads, dim3(2, 3, 4), dim3(5, 3, 2), 0, y.data()), cudaSuccess);
  EXPECT_EQ(y.values(), iota<int>(2 * 3 * 4 * 5 * 3 * 2, 1));
}

__global__ void turn_halves(const int* x, int* y) {
  auto* const staged = reinterpret_cast<int*>(dynamic_shared());
  const unsigned half = threadIdx.x / 64, at = threadIdx.x % 64;
  for (int turn = 0; turn < (half == 0 ? 3 : 5); ++turn) {  // the halves meet on their own
    staged[half * 64 + at] = turn == 0 ? x[threadIdx.x] : y[threadIdx.x];
    named_barrier(1 + static_cast<int>(half), 64);
    y[threadIdx.x] = staged[half * 64 + (at + 1) % 64];
    named_barrier(1 + static_cast<int>(half), 64);
  }
}

TEST(SimulatedThreads, MeetInPartsAtNamedBarriers) {
  DeviceArray<int> x(iota<int>(128)), y(128);
  ASSERT_EQ(sim::launch(turn_halves, dim3(1), dim3(128), 512, x.data(), y.data()), cudaSuccess);
  for (int i = 0; i < 128; ++i) {
    const int turns = i < 64 ? 3 : 5;
    EXPECT_EQ(y.values()[static_cast<size_t>(i)], i / 64 * 64 + (i + turns) % 64);
  }
}

/// Each block sends its number to the next of its cluster.
__global__ void send_number(float* y) {
  auto* const barrier = reinterpret_cast<SharedBarrier*>(dynamic_shared());
  auto* const received = reinterpret_cast<float*>(dynamic_shared() + 16);
  if (threadIdx.x == 0) {
    init_barrier(barrier, 1);
    publish_barriers();
    arrive_expecting(barrier, sizeof(float));
  }
  arrive_at_cluster();
  wait_for_cluster();
  if (threadIdx.x == 0)
    store_async(received, static_cast<float>(blockIdx.x), static_cast<int>(blockIdx.x + 1) % 4,
                barrier);
  wait_for_stores(barrier);
  y[blockIdx.x * blockDim.x + threadIdx.x] = *received;
}

TEST(SimulatedClusters, SendToEachOther) {
  DeviceArray<float> y(8 * 32);
  ASSERT_EQ(sim::launch({.cluster_blocks = 4}, send_number, dim3(8), dim3(32), 20, y.data()),
            cudaSuccess);
  for (unsigned i = 0; i < 8 * 32; ++i) {
    const unsigned block = i / 32;
    EXPECT_EQ(y.values()[i], static_cast<float>(block / 4 * 4 + (block + 3) % 4));
  }
}

TEST(SimulatedClusters, AreWholeAndOfEightBlocksAtMost) {
  DeviceArray<float> y(9 * 32);
  for (const int blocks : {2, 9})
    EXPECT_EQ(sim::launch({.cluster_blocks = blocks}, send_number, dim3(9), dim3(32), 20, y.data()),
              cudaErrorInvalidConfiguration);
}

/// Looks at block 1 once that has ended.
__global__ void look_too_late(int* y) {
  auto* const mine = reinterpret_cast<int*>(dynamic_shared());
  *mine = 1;
  arrive_at_cluster();
  wait_for_cluster();
  if (blockIdx.x == 1) return;
  for (int turn = 0; turn < 3; ++turn) sim::yield();
  *y = *static_cast<int*>(sim::in_block_of_cluster(mine, 1));
}

TEST(SimulatedClusters, ShowThatABlockEndedTooEarly) {
  DeviceArray<int> y(1);
  ASSERT_EQ(sim::launch({.cluster_blocks = 2}, look_too_late, dim3(2), dim3(1), 4, y.data()),
            cudaSuccess);
  EXPECT_EQ(y.values()[0], -1);
}

TEST(SimulatedClustersDeathTest, RefuseStoresOfABlockThatIsInNone) {
  DeviceArray<float> y(32);
  EXPECT_DEATH(static_cast<void>(sim::launch(send_number, dim3(1), dim3(32), 20, y.data())),
               "launched without clusters");
}

__global__ void spoil_shared(unsigned* y) {
  auto* const words = reinterpret_cast<unsigned*>(dynamic_shared());
  y[blockIdx.x] = words[0] & words[100];
  words[0] = words[100] = 0;
}

TEST(SimulatedThreads, FindDynamicSharedMemoryPoisonedInEveryBlock) {
  DeviceArray<unsigned> y(3);
  ASSERT_EQ(sim::launch(spoil_shared, dim3(3), dim3(1), 404, y.data()), cudaSuccess);
  EXPECT_EQ(y.values(), std::vector<unsigned>(3, kFull));
}

__global__ void shared_is_aligned(int* y) {
  y[0] = reinterpret_cast<uintptr_t>(dynamic_shared()) % 1024 == 0 &&
         sim::shared_pointer(shared_address(dynamic_shared() + 5)) == dynamic_shared() + 5 &&
         shared_address(dynamic_shared()) % 1024 == 0;
}

TEST(SimulatedThreads, FindDynamicSharedMemoryAtAMultipleOf1024) {
  for (const size_t bytes : {8, 1000, 1024, 227 * 1024}) {
    DeviceArray<int> y(1);
    ASSERT_EQ(sim::launch(shared_is_aligned, dim3(1), dim3(1), bytes, y.data()), cudaSuccess);
    EXPECT_EQ(y.values()[0], 1);
  }
}

template <typename T>
__global__ void shuffle_all(const T* x, T* y, int width) {
  const int lane = static_cast<int>(threadIdx.x);
  const T value = x[lane];
  y[lane] = __shfl_sync(kFull, value, lane * 7 + 3, width);
  y[32 + lane] = __shfl_xor_sync(kFull, value, 5, width);
  y[64 + lane] = __shfl_up_sync(kFull, value, 3, width);
  y[96 + lane] = __shfl_down_sync(kFull, value, 2, width);
}

template <typename T>
void expect_shuffles(int width) {
  DeviceArray<T> x(iota<T>(32, T{100})), y(128);
  ASSERT_EQ(sim::launch(shuffle_all<T>, dim3(1), dim3(32), 0, x.data(), y.data(), width),
            cudaSuccess);
  const std::vector<T> got = y.values();
  for (int lane = 0; lane < 32; ++lane) {
    const int begin = lane / width * width;
    const auto is = [&](int row, int source) {
      EXPECT_EQ(got[static_cast<size_t>(32 * row + lane)], static_cast<T>(100 + source))
          << "row " << row << ", lane " << lane << ", width " << width;
    };
    is(0, begin + (lane * 7 + 3) % width);
    is(1, (lane ^ 5) < begin + width ? lane ^ 5 : lane);
    is(2, lane - 3 >= begin ? lane - 3 : lane);
    is(3, lane + 2 < begin + width ? lane + 2 : lane);
  }
}

TEST(WarpCollectives, ShuffleValuesOf32And64Bits) {
  for (const int width : {32, 16, 8}) {
    expect_shuffles<int>(width);
    expect_shuffles<float>(width);
    expect_shuffles<int64_t>(width);
    expect_shuffles<double>(width);
  }
}

__global__ void vote(const int* x, unsigned* y) {
  const int value = x[threadIdx.x];
  const unsigned results[] = {
      __ballot_sync(kFull, value % 3 == 0),
      static_cast<unsigned>(__any_sync(kFull, value == 31)),
      static_cast<unsigned>(__any_sync(kFull, value == 99)),
      static_cast<unsigned>(__all_sync(kFull, value < 32)),
      static_cast<unsigned>(__all_sync(kFull, value != 7)),
      static_cast<unsigned>(__reduce_add_sync(kFull, value)),
      static_cast<unsigned>(__reduce_max_sync(kFull, value - 40)),
      static_cast<unsigned>(__reduce_min_sync(kFull, value - 40)),
      __reduce_xor_sync(kFull, static_cast<unsigned>(value)),
  };
  for (unsigned i = 0; i < 9; ++i) y[i * 32 + threadIdx.x] = results[i];
}

TEST(WarpCollectives, VoteAndReduceToTheSameInEveryLane) {
  DeviceArray<int> x(iota<int>(32));
  DeviceArray<unsigned> y(9 * 32);
  ASSERT_EQ(sim::launch(vote, dim3(1), dim3(32), 0, x.data(), y.data()), cudaSuccess);
  const unsigned want[] = {
      0x49249249u, 1, 0, 1, 0, 496, static_cast<unsigned>(-9), static_cast<unsigned>(-40), 0};
  for (size_t i = 0; i < 9 * 32; ++i) EXPECT_EQ(y.values()[i], want[i / 32]) << i;
}

__global__ void sum_in_last_block(const int* x, int* partials, unsigned* num_done, int* sum) {
  partials[blockIdx.x] = x[blockIdx.x];
  __threadfence();
  if (atomicInc(num_done, gridDim.x - 1) != gridDim.x - 1) return;
  for (unsigned i = 0; i < gridDim.x; ++i) atomicAdd(sum, partials[i]);
}

TEST(Atomics, TellTheLastBlock) {
  DeviceArray<int> x(iota<int>(10)), partials(10), sum(1);
  DeviceArray<unsigned> num_done(1);
  ASSERT_EQ(sim::launch(sum_in_last_block, dim3(10), dim3(1), 0, x.data(), partials.data(),
                        num_done.data(), sum.data()),
            cudaSuccess);
  EXPECT_EQ(sum.values()[0], 45);
  EXPECT_EQ(num_done.values()[0], 0u);
}

__global__ void count_all(unsigned* y) {
  const unsigned i = threadIdx.x;
  atomicAdd(&y[0], i);
  atomicMax(&y[1], i);
  atomicMin(&y[2], i);
  atomicOr(&y[3], 1u << i);
  atomicAnd(&y[4], ~(1u << i));
  atomicExch(&y[5], 7u);
  atomicCAS(&y[6], i, i + 1);
}

TEST(Atomics, CombineTheThreadsOfABlock) {
  DeviceArray<unsigned> y({0, 0, 9, 0, kFull, 0, 0});
  ASSERT_EQ(sim::launch(count_all, dim3(1), dim3(32), 0, y.data()), cudaSuccess);
  const std::vector<unsigned> got = y.values();
  EXPECT_EQ(std::vector<unsigned>(got.begin(), got.end() - 1),
            (std::vector<unsigned>{496, 31, 0, kFull, 0, 7}));
  EXPECT_GE(got[6], 1u);  // how far it gets depends on the order of the threads
}

__global__ void copy_two_groups(const float* x, float* y) {
  auto* const staged = reinterpret_cast<float*>(dynamic_shared());
  copy_async_16(staged, x, true);
  commit_copies();
  copy_async_16(staged + 4, x + 4, true);
  copy_async_16(staged + 8, nullptr, false);
  commit_copies();
  for (int i = 0; i < 12; ++i) y[i] = staged[i];
  wait_for_copies<1>();
  for (int i = 0; i < 12; ++i) y[12 + i] = staged[i];
  wait_for_copies<0>();
  for (int i = 0; i < 12; ++i) y[24 + i] = staged[i];
}

TEST(AsyncCopies, ArriveWhenTheirGroupIsWaitedFor) {
  DeviceArray<float> x(iota<float>(8, 1)), y(36);
  ASSERT_EQ(sim::launch(copy_two_groups, dim3(1), dim3(1), 48, x.data(), y.data()), cudaSuccess);
  const std::vector<float> got = y.values();
  for (size_t i = 0; i < 12; ++i) {
    EXPECT_TRUE(std::isnan(got[i])) << i;
    EXPECT_EQ(std::isnan(got[12 + i]), i >= 4) << i;
    EXPECT_EQ(got[24 + i], i < 8 ? static_cast<float>(i + 1) : 0.0f) << i;
  }
}

// --- what is an error ---

__global__ void some_miss_the_barrier() {
  if (threadIdx.x == 5) return;
  __syncthreads();
}
__global__ void some_miss_the_shuffle(int* y) {
  if (threadIdx.x < 31) y[0] = __shfl_xor_sync(kFull, 1, 1);
}
__global__ void lanes_at_two_shuffles(int* y) {
  if (threadIdx.x % 2 == 0)
    y[0] = __shfl_xor_sync(kFull, 1, 1);
  else
    y[1] = __shfl_xor_sync(kFull, 2, 1);
}
__global__ void half_a_mask(int* y) { y[0] = __shfl_xor_sync(0xffffu, 1, 1); }
__global__ void poll_for_ever() {
  for (;;) __nanosleep(10);
}
__global__ void write_past_shared() { dynamic_shared()[100] = 0; }
__global__ void write_past_page() { dynamic_shared()[1024] = 0; }
__global__ void read_past_memory(const int* x, int* y) { y[0] = x[64]; }
__global__ void copy_odd(const unsigned char* x) { copy_async_16(dynamic_shared(), x + 4, true); }
__global__ void counts_differ() { named_barrier(1, threadIdx.x < 32 ? 64 : 96); }
__global__ void do_nothing() {}

#define RUN(kernel, threads, ...) \
  sim::launch(kernel, dim3(1), dim3(threads), 100 __VA_OPT__(, ) __VA_ARGS__)

TEST(SimulatedThreadsDeathTest, EndWhereABarrierNeverOpens) {
  EXPECT_DEATH(RUN(some_miss_the_barrier, 64),
               "nobody can go on\n.*thread \\(0, 0, 0\\) to thread \\(4, 0, 0\\) at "
               "__syncthreads.*\n.*thread \\(5, 0, 0\\) to thread \\(5, 0, 0\\) ended");
}

TEST(SimulatedThreadsDeathTest, EndWhereLanesMissACollective) {
  DeviceArray<int> y(2);
  EXPECT_DEATH(RUN(some_miss_the_shuffle, 32, y.data()), "nobody can go on");
  EXPECT_DEATH(RUN(lanes_at_two_shuffles, 32, y.data()), "while others of its warp");
  EXPECT_DEATH(RUN(half_a_mask, 32, y.data()), "less than the full mask");
}

TEST(SimulatedThreadsDeathTest, EndWhereThreadsPollForEver) {
  EXPECT_DEATH(RUN(poll_for_ever, 1), "poll for what nobody brings");
}

TEST(SimulatedThreadsDeathTest, EndWherePartsOfABarrierDisagree) {
  EXPECT_DEATH(RUN(counts_differ, 128), "barrier 1 for (64|96) threads, others said");
}

TEST(SimulatedThreadsDeathTest, EndWhereMemoryIsOverrun) {
  DeviceArray<int> x(64), y(1);
  EXPECT_DEATH(RUN(write_past_shared, 1), "past the end of dynamic shared memory");
  EXPECT_DEATH(RUN(write_past_page, 1), "");
  EXPECT_DEATH(RUN(read_past_memory, 1, x.data(), y.data()), "");
}

TEST(SimulatedThreadsDeathTest, EndAtAMisalignedCopy) {
  DeviceArray<unsigned char> x(64);
  EXPECT_DEATH(RUN(copy_odd, 1, x.data()), "cp.async from an odd address");
}

TEST(SimulatedThreadsDeathTest, EndWhereAKernelDoesNotWaitForTheOneBefore) {
  EXPECT_DEATH(sim::launch({.name = "hasty", .must_wait_for_previous = true}, do_nothing, dim3(1),
                           dim3(1), 0),
               "\"hasty\".*no thread called wait_for_previous_kernel");
}

TEST(SimulatedLaunches, RefuseWhatTheHardwareRefuses) {
  const auto outcome = [](dim3 grid, dim3 block, size_t shared_bytes) {
    return sim::launch(do_nothing, grid, block, shared_bytes);
  };
  EXPECT_EQ(outcome(dim3(1), dim3(1024), 227 * 1024), cudaSuccess);
  EXPECT_EQ(outcome(dim3(1), dim3(1), 227 * 1024 + 1), cudaErrorInvalidConfiguration);
  EXPECT_EQ(outcome(dim3(1), dim3(1025), 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(outcome(dim3(1), dim3(0), 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(outcome(dim3(0), dim3(1), 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(outcome(dim3(1, 65536), dim3(1), 0), cudaErrorInvalidConfiguration);
}

}  // namespace
}  // namespace veloz::cuda
