// SPDX-License-Identifier: Apache-2.0
#include "cuda/cudnn/sdpa_plan.h"

#include <array>
#include <limits>
#include <utility>
#include <vector>

#include "base/error.h"

namespace veloz::cuda {
namespace {

/// Engines with their settings, those that cuDNN expects to be fastest first.
std::vector<CudnnDescriptor> candidates(const CudnnApi& api, const SdpaTarget& target,
                                        const CudnnDescriptor& graph) {
  constexpr int64_t kAtMost = 8;
  CudnnDescriptor heuristics(api, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
      .set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, CUDNN_HEUR_MODE_A);
  if (target.properties != nullptr)
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *target.properties);
  heuristics.finalize("looking for a kernel");
  std::vector<CudnnDescriptor> configs;
  std::vector<cudnnBackendDescriptor_t> handles;
  for (int64_t i = 0; i < kAtMost; ++i)
    handles.push_back(configs.emplace_back(api, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR).handle());
  int64_t count = 0;
  api.check(api.get_attribute(heuristics.handle(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                              CUDNN_TYPE_BACKEND_DESCRIPTOR, kAtMost, &count, handles.data()),
            "looking for a kernel");
  while (static_cast<int64_t>(configs.size()) > count) configs.pop_back();
  return configs;
}

}  // namespace

SdpaPlan::SdpaPlan(const CudnnApi& api, const SdpaTarget& target, const SdpaShape& shape,
                   SdpaKernels& kernels)
    : graph_(api, shape, target.handle) {
  if (!kernels) {
    CudnnDescriptor cache(api, CUDNN_BACKEND_KERNEL_CACHE_DESCRIPTOR);
    cache.set(CUDNN_ATTR_KERNEL_CACHE_OPERATION_GRAPH, graph_.operations())
        .finalize("keeping kernels");
    kernels.emplace(std::move(cache));
  }
  Error why(ErrorKind::unsupported, "cuDNN knows no kernel for this attention");
  for (const CudnnDescriptor& config : candidates(api, target, graph_.operations())) {
    try {
      CudnnDescriptor plan(api, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
      if (target.properties != nullptr)
        plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *target.properties);
      else
        plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, target.handle);
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_KERNEL_CACHE, *kernels);
      plan.finalize("compiling attention");
      workspace_bytes_ =
          static_cast<size_t>(plan.get_int64(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE));
      plan_.emplace(std::move(plan));
      return;
    } catch (const Error& error) {  // the next one may do
      why = error;
    }
  }
  throw Error(ErrorKind::unsupported, why.message());
}

void SdpaPlan::run(const CudnnApi& api, cudnnHandle_t handle, const SdpaPointers& p) const {
  float scale = p.scale;
  float hidden = -std::numeric_limits<float>::infinity();
  using Name = SdpaTensor;
  const std::array<std::pair<Name, const void*>, kNumSdpaTensors> bound = {{
      {Name::q, p.q},
      {Name::k, p.k},
      {Name::v, p.v},
      {Name::y, p.y},
      {Name::q_offsets, p.q_offsets},
      {Name::y_offsets, p.y_offsets},
      {Name::q_lens, p.q_lens},
      {Name::kv_lens, p.kv_lens},
      {Name::tables, p.tables},
      {Name::scale, &scale},
      {Name::hidden, &hidden},
  }};
  std::array<int64_t, kNumSdpaTensors> ids{};
  std::array<const void*, kNumSdpaTensors> addresses{};
  for (size_t i = 0; i < bound.size(); ++i) {
    ids[i] = static_cast<int64_t>(bound[i].first);
    addresses[i] = bound[i].second;
  }
  CudnnDescriptor pack(api, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, ids)
      .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, kNumSdpaTensors,
           addresses.data())
      .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, p.workspace)
      .finalize("naming the tensors");
  api.check(api.execute(handle, plan_->handle(), pack.handle()), "attention");
}

}  // namespace veloz::cuda
