// SPDX-License-Identifier: Apache-2.0
#include "cuda/call_timer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <thread>
#include <type_traits>

#include "base/error.h"
#include "cuda/gpu.h"

namespace veloz::cuda {
namespace {

using Event = std::unique_ptr<std::remove_pointer_t<cudaEvent_t>, cudaError_t (*)(cudaEvent_t)>;
using ExecutableGraph =
    std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, cudaError_t (*)(cudaGraphExec_t)>;

Event make_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreate(&event), "creating an event");
  return Event(event, cudaEventDestroy);
}

void wait_for(cudaEvent_t event, double give_up_seconds) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  for (;;) {
    const cudaError_t state = cudaEventQuery(event);
    if (state == cudaSuccess) return;
    if (state != cudaErrorNotReady) check(state, "waiting for the device");
    if (std::chrono::duration<double>(Clock::now() - start).count() > give_up_seconds)
      throw Error(ErrorKind::internal,
                  fmt::format("the device did not come back within {} s", give_up_seconds),
                  "a kernel hangs; end the process");
    std::this_thread::yield();
  }
}

/// The calls as one graph; null where they cannot be captured.
ExecutableGraph capture(CudaStream& stream, const std::function<void()>& enqueue) {
  ExecutableGraph none(nullptr, cudaGraphExecDestroy);
  if (cudaStreamBeginCapture(stream.handle(), cudaStreamCaptureModeThreadLocal) != cudaSuccess) {
    cudaGetLastError();
    return none;
  }
  cudaGraph_t graph = nullptr;
  try {
    enqueue();
  } catch (...) {
    cudaStreamEndCapture(stream.handle(), &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    throw;
  }
  const cudaError_t captured = cudaStreamEndCapture(stream.handle(), &graph);
  if (captured != cudaSuccess || graph == nullptr) {
    cudaGetLastError();
    return none;
  }
  cudaGraphExec_t executable = nullptr;
  const cudaError_t instantiated = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  if (instantiated != cudaSuccess) {
    cudaGetLastError();
    return none;
  }
  return ExecutableGraph(executable, cudaGraphExecDestroy);
}

}  // namespace

void synchronize_within(CudaStream& stream, double give_up_seconds) {
  const Event end = make_event();
  check(cudaEventRecord(end.get(), stream.handle()), "recording an event");
  wait_for(end.get(), give_up_seconds);
  stream.synchronize();  // throws what a launch failed with
}

Timing time_calls(CudaStream& stream, const TimingPlan& plan,
                  const std::function<void(int64_t call)>& enqueue) {
  const Event begin = make_event(), end = make_event();
  const auto seconds = [&](const std::function<void()>& work) {
    check(cudaEventRecord(begin.get(), stream.handle()), "recording an event");
    work();
    check(cudaEventRecord(end.get(), stream.handle()), "recording an event");
    wait_for(end.get(), plan.give_up_seconds);
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), "reading a timer");
    return static_cast<double>(milliseconds) * 1e-3;
  };
  enqueue(0);
  synchronize_within(stream, plan.give_up_seconds);
  const double guess = std::max(seconds([&] { enqueue(1); }), 1e-6);
  stream.synchronize();

  Timing timing;
  if (guess >= plan.budget_seconds) return {.seconds = {guess}, .calls = 1};
  const auto wanted = static_cast<int64_t>(std::ceil(plan.sample_seconds / guess));
  timing.calls = std::clamp<int64_t>(wanted, 1, plan.max_calls);
  timing.calls = (timing.calls + plan.round - 1) / plan.round * plan.round;
  const auto run_all = [&] {
    for (int64_t call = 0; call < timing.calls; ++call) enqueue(call);
  };
  const ExecutableGraph graph = capture(stream, run_all);
  timing.is_graph = graph != nullptr;
  const auto sample = [&] {
    if (timing.is_graph)
      check(cudaGraphLaunch(graph.get(), stream.handle()), "launching a graph");
    else
      run_all();
  };
  seconds(sample);  // a graph's first launch uploads it
  stream.synchronize();
  double spent = 0;
  while (timing.seconds.empty() || (static_cast<int>(timing.seconds.size()) < plan.num_samples &&
                                    spent < plan.budget_seconds)) {
    const double time = seconds(sample);
    spent += time;
    timing.seconds.push_back(time / static_cast<double>(timing.calls));
  }
  stream.synchronize();
  return timing;
}

}  // namespace veloz::cuda
