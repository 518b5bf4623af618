// SPDX-License-Identifier: Apache-2.0
#include "cuda/cudnn/sdpa_graph.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "cuda/cudnn/attach.h"
#include "cuda/cudnn/sdpa_plan.h"
#include "support/expect_error.h"
#include "support/temp_directory.h"

/// cuDNN reads a graph without a GPU. It plans for one that is described to it where there is a
/// driver, as it compiles and loads a kernel.
namespace veloz::cuda {
namespace {

constexpr std::string_view kHopper =
    R"({"cudaDeviceId":0,"deviceVer":900,"driverVer":13000,"deviceName":"NVIDIA H200",)"
    R"("maxGridSize":[2147483647,65535,65535],"maxBlockSize":[1024,1024,64],)"
    R"("regsPerBlock":65536,"multiProcessorCount":132,"warpSize":32,)"
    R"("maxSharedMemoryPerBlock":49152,"maxSharedMemoryPerBlockOptin":232448,)"
    R"("reservedSharedMemoryPerBlock":1024,"maxRegistersPerSM":65536,"maxCtasPerSM":32,)"
    R"("maxThreadsPerBlock":1024,"maxThreadsPerSM":2048,"pciDeviceId":0,"isTccDriver":0,)"
    R"("supportCoopLaunch":1,"totalGlobalMem":150754820096,"smClockRateKHz":1980000,)"
    R"("memClockRateKHz":3201000,"l2CacheSize":62914560})";

SdpaShape shape_of(int64_t head_dim, int64_t num_heads, int64_t num_kv_heads, int64_t block_size) {
  return {.num_entries = 12,
          .num_heads = num_heads,
          .num_kv_heads = num_kv_heads,
          .head_dim = head_dim,
          .q_stride = (num_heads + 2 * num_kv_heads) * head_dim,
          .y_stride = num_heads * head_dim,
          .num_blocks = 5000,
          .block_size = block_size,
          .table_columns = 256};
}

const std::array<SdpaShape, 4> kShapes = {shape_of(128, 64, 8, 16), shape_of(128, 32, 32, 64),
                                          shape_of(64, 32, 8, 32), shape_of(256, 16, 16, 64)};

class SdpaGraphs : public ::testing::Test {
 protected:
  void SetUp() override {
    try {
      api_.emplace(CudnnApi::open(CudnnOptions().directories));
    } catch (const Error& error) {
      GTEST_SKIP() << error.message();
    }
  }
  std::optional<CudnnApi> api_;
};

TEST_F(SdpaGraphs, AreStatedForEveryHeadSize) {
  for (const SdpaShape& shape : kShapes) EXPECT_NO_THROW(SdpaGraph(*api_, shape, nullptr));
}

TEST_F(SdpaGraphs, OfBlocksThatAreNoPowerOfTwoAreRefused) {
  EXPECT_TRUE(test::throws_error(ErrorKind::internal, {"power of 2"}, [&] {
    const SdpaGraph graph(*api_, shape_of(128, 8, 8, 48), nullptr);
  }));
}

bool has_driver() {
  try {
    static_cast<void>(SharedLibrary::open("libcuda.so.1", {}));
    return true;
  } catch (const Error&) {
    return false;
  }
}

TEST_F(SdpaGraphs, HaveAKernelForHopper) {
  if (!has_driver()) GTEST_SKIP() << "no driver";
  CudnnDescriptor hopper(*api_, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  hopper
      .set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
           static_cast<int64_t>(kHopper.size()), kHopper.data())
      .finalize("describing a device");
  for (const SdpaShape& shape : kShapes) try {
      SdpaKernels kernels;
      const SdpaPlan plan(*api_, {.properties = &hopper}, shape, kernels);
      EXPECT_LE(plan.workspace_bytes(), size_t{1} << 20);
    } catch (const Error& error) {
      ADD_FAILURE() << error.message();
    }
}

TEST(CudnnApi, IsRefusedWhereItIsTooOld) {
  const std::array<std::filesystem::path, 1> places = {VELOZ_OLD_CUDNN};
  EXPECT_TRUE(test::throws_error(ErrorKind::unsupported,
                                 {places[0].string(), "is cuDNN 9.14.0", "needs cuDNN 9.18.0"},
                                 [&] { static_cast<void>(CudnnApi::open(places)); }));
}

TEST(CudnnApi, NamesEveryPlaceWhereItLooked) {
  const test::TempDirectory temp;
  const std::array<std::filesystem::path, 1> places = {temp.path()};
  try {
    static_cast<void>(CudnnApi::open(places));
    GTEST_SKIP() << "the system has one";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::unsupported);
    if (error.message().find("too old") != std::string::npos)
      GTEST_SKIP() << "the system has an old one";
    EXPECT_NE(error.message().find((temp.path() / "libcudnn.so.9").string()), std::string::npos);
  }
}

}  // namespace
}  // namespace veloz::cuda
