// SPDX-License-Identifier: Apache-2.0
#include "cuda/cudnn/library.h"

#include <fmt/format.h>

#include <utility>

#include "base/error.h"
#include "cuda/cudnn/missing.h"

namespace veloz::cuda {
namespace {

constexpr size_t kWorkspaceBytes = size_t{1} << 20;  // its kernels for Hopper ask for kilobytes
/// Of a model there are dozens at most; strange views could bring more.
constexpr size_t kMaxPlans = 1024;

}  // namespace

CudnnAttention::CudnnAttention(CudaStream& stream, const CudnnOptions& options)
    : api_(CudnnApi::open(options.directories)) {
  check(cudaSetDevice(stream.device()), "choosing the device");
  workspace_ = DeviceMemory(kWorkspaceBytes);
  api_.check(api_.create(&handle_), "starting");
  api_.check(api_.set_stream(handle_, stream.handle()), "taking a stream");
}

CudnnAttention::~CudnnAttention() {
  plans_.clear();
  kernels_.clear();
  if (handle_ != nullptr) api_.destroy(handle_);
}

CudnnAttention::Entry& CudnnAttention::entry_for(const SdpaShape& shape) {
  if (const auto known = plans_.find(shape); known != plans_.end()) return known->second;
  if (plans_.size() >= kMaxPlans) plans_.clear();
  Entry entry;
  try {
    entry.plan = std::make_unique<SdpaPlan>(api_, SdpaTarget{.handle = handle_}, shape,
                                            kernels_[shape.kernel()]);
    if (entry.plan->workspace_bytes() > workspace_.bytes()) {
      entry.why = fmt::format("cuDNN's attention asks for {} bytes of scratch memory, it has {}",
                              entry.plan->workspace_bytes(), workspace_.bytes());
      entry.plan = nullptr;
    }
  } catch (const Error& error) {
    entry.why = error.message();
  }
  return plans_.emplace(shape, std::move(entry)).first->second;
}

std::string CudnnAttention::prepare(const SdpaShape& shape) {
  return std::exchange(entry_for(shape).why, {});
}

bool CudnnAttention::has_plan(const SdpaShape& shape) noexcept {
  try {
    return !is_broken_ && entry_for(shape).plan != nullptr;
  } catch (...) {
    return false;
  }
}

bool CudnnAttention::run(const ops::PagedAttentionArgs& args, const SdpaShape& shape,
                         const int32_t* chunks) noexcept {
  try {
    const SdpaPlan* const plan = entry_for(shape).plan.get();
    if (is_broken_ || plan == nullptr) return false;
    const ChunkLayout at = ChunkLayout::of(shape);
    const auto* const keys = args.cache.as<const std::byte>();
    const int64_t values_at = shape.num_kv_heads * shape.block_size * shape.head_dim;
    plan->run(api_, handle_,
              {.q = args.q.data,
               .k = keys,
               .v = keys + static_cast<size_t>(values_at) * dtype_bytes(args.cache.dtype),
               .y = args.y.data,
               .q_offsets = chunks + at.q_offsets,
               .y_offsets = chunks + at.y_offsets,
               .q_lens = chunks + at.q_lens,
               .kv_lens = chunks + at.kv_lens,
               .tables = chunks + at.tables,
               .scale = args.scale,
               .workspace = workspace_.data()});
    return true;
  } catch (...) {
    is_broken_ = true;
    return false;
  }
}

void attach_cudnn(Stream& stream, const CudnnOptions& options) noexcept {
  auto& cuda = static_cast<CudaStream&>(stream);
  try {
    cuda.set_library_attention(std::make_shared<CudnnAttention>(cuda, options));
  } catch (const Error& error) {
    cuda.set_library_attention(std::make_shared<MissingAttention>(error.message()));
  }
}

}  // namespace veloz::cuda
