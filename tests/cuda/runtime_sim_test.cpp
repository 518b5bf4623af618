// SPDX-License-Identifier: Apache-2.0
#include "cuda/sim_runs.h"

namespace veloz::cuda {
namespace {

__global__ void add_one(const int* x, int* y) { y[threadIdx.x] = x[threadIdx.x] + 1; }

TEST(SimulatedRuntime, DoesNotClearMemory) {
  unsigned char* memory = nullptr;
  ASSERT_EQ(cudaMalloc(&memory, 5000), cudaSuccess);
  for (size_t i = 0; i < 5000; ++i) ASSERT_EQ(memory[i], 0xFF);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % 256, 0u);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
}

TEST(SimulatedRuntime, SaysWhereMemoryRunsOut) {
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, size_t{81} << 30), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST(SimulatedRuntime, RecordsOnAStreamThatCapturesAndReplays) {
  DeviceArray<int> x(std::vector<int>{1, 2}), y(2);
  int out[2] = {};
  cudaStream_t stream = nullptr;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  sim::launch({.stream = stream}, add_one, dim3(1), dim3(2), 0, x.data(), y.data());
  cudaMemcpyAsync(out, y.data(), sizeof(out), cudaMemcpyDeviceToHost, stream);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorStreamCaptureUnsupported);
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  EXPECT_EQ(y.values(), (std::vector<int>{0, 0}));  // nothing has run

  ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  ASSERT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  for (const int first : {5, 8}) {
    x.data()[0] = first;
    ASSERT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
    EXPECT_EQ(out[0], first + 1);
    EXPECT_EQ(out[1], 3);
  }
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

TEST(SimulatedRuntime, RunsOtherStreamsWhileOneCaptures) {
  DeviceArray<int> x(std::vector<int>{1, 2}), y(2);
  cudaStream_t capturing = nullptr, other = nullptr;
  cudaGraph_t graph = nullptr;
  cudaStreamCreate(&capturing);
  cudaStreamCreate(&other);
  cudaStreamBeginCapture(capturing, cudaStreamCaptureModeThreadLocal);
  sim::launch({.stream = other}, add_one, dim3(1), dim3(2), 0, x.data(), y.data());
  EXPECT_EQ(y.values(), (std::vector<int>{2, 3}));
  cudaStreamEndCapture(capturing, &graph);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(capturing);
  cudaStreamDestroy(other);
}

}  // namespace
}  // namespace veloz::cuda
