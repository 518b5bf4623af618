// SPDX-License-Identifier: Apache-2.0
#include "cuda/stream.h"

#include <fmt/format.h>

#include <utility>

#include "base/error.h"

namespace veloz::cuda {
namespace {

class Graph final : public Recording {
 public:
  explicit Graph(cudaGraphExec_t executable) : executable_(executable) {}
  ~Graph() override { cudaGraphExecDestroy(executable_); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  cudaGraphExec_t executable() const { return executable_; }

 private:
  cudaGraphExec_t executable_;
};

}  // namespace

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  throw Error(ErrorKind::internal, fmt::format("{}: {}", what, cudaGetErrorString(error)),
              "the device may be lost; start the process again");
}

CudaStream::CudaStream(int device) : device_(device) {
  check(cudaSetDevice(device), "choosing the device");
  check(cudaDeviceGetAttribute(&num_multiprocessors_, cudaDevAttrMultiProcessorCount, device),
        "counting multiprocessors");
  check(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking), "creating a stream");
  check(cudaEventCreateWithFlags(&mark_, cudaEventDisableTiming), "creating an event");
}

CudaStream::~CudaStream() {
  library_.reset();  // it works on the stream
  if (mark_ != nullptr) cudaEventDestroy(mark_);
  if (handle_ != nullptr) cudaStreamDestroy(handle_);
}

void CudaStream::throw_once(Failure& failure) {
  const Failure thrown = std::exchange(failure, {});
  check(thrown.error, thrown.what);
}

void CudaStream::synchronize() {
  choose_device();
  throw_once(marked_failure_);
  throw_once(failure_);
  check(cudaStreamSynchronize(handle_), "waiting for the device");
}

void CudaStream::mark() {
  note(cudaEventRecord(mark_, handle_), "marking a place");
  if (marked_failure_.error == cudaSuccess) marked_failure_ = failure_;
  failure_ = {};
}

void CudaStream::wait_for_mark() {
  choose_device();
  throw_once(marked_failure_);
  check(cudaEventSynchronize(mark_), "waiting for the device");
}

bool CudaStream::begin_recording() {
  check(cudaStreamBeginCapture(handle_, cudaStreamCaptureModeThreadLocal), "recording a step");
  return true;
}

std::unique_ptr<Recording> CudaStream::end_recording() {
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(handle_, &graph), "recording a step");
  cudaGraphExec_t executable = nullptr;
  const cudaError_t error = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  check(error, "recording a step");
  return std::make_unique<Graph>(executable);
}

void CudaStream::replay(Recording& recording) {
  note(cudaGraphLaunch(static_cast<Graph&>(recording).executable(), handle_), "a recorded step");
}

}  // namespace veloz::cuda
