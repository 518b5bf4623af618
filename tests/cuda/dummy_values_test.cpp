// SPDX-License-Identifier: Apache-2.0
#include "base/dummy_values.h"

#include <gtest/gtest.h>

#include <vector>

#include "cuda_runs.h"

namespace veloz::cuda {
namespace {

using Kind = DummyValues::Kind;

/// As the host and as the device makes them; the device's memory is larger, the rest must stay.
void expect_the_hosts_bytes(const DummyValues& values, int64_t count) {
  const size_t bytes = static_cast<size_t>(count) * dtype_bytes(values.dtype);
  std::vector<std::byte> expected(bytes + 64);
  write_dummy_values(values, 0, count, expected.data());
  const auto stream = test_device().create_stream();
  const Buffer buffer = test_device().allocate(bytes + 64);
  test_device().write_dummy(*stream, buffer.data(), values, count);
  std::vector<std::byte> made(bytes + 64);
  test_device().copy_out(*stream, made.data(), buffer.data(), made.size());
  stream->synchronize();
  EXPECT_EQ(made, expected) << to_string(values.dtype) << ", " << count << " elements";
}

TEST(CudaDummyValues, AreTheHostsBitForBit) {
  for (const DType dtype : {DType::fp32, DType::bf16, DType::fp16, DType::fp8_e4m3, DType::int8,
                            DType::uint8, DType::uint4x2})
    for (const int64_t count : {int64_t{1}, int64_t{3}, int64_t{4}, int64_t{1023}, int64_t{5000}}) {
      expect_the_hosts_bytes({Kind::uniform, dtype, 200.0f, 17}, count);
      expect_the_hosts_bytes({Kind::constant, dtype, 8.0f, 0}, count);
    }
  expect_the_hosts_bytes({Kind::constant, DType::bf16, 0.0123f, 0}, 1001);
  expect_the_hosts_bytes({Kind::index, DType::int32, 0, 0}, 1001);
}

}  // namespace
}  // namespace veloz::cuda
