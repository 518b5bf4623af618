// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "cuda/device.h"

namespace {

/// Tests of test_cuda_device mean nothing on a machine without a GPU.
class GpuEnvironment : public ::testing::Environment {
 public:
  void SetUp() override {
    const veloz::cuda::GpuList list = veloz::cuda::list_gpus();
    if (list.gpus.empty()) GTEST_SKIP() << list.why_none;
  }
};

const ::testing::Environment* const kEnvironment =
    ::testing::AddGlobalTestEnvironment(new GpuEnvironment);

}  // namespace
