// SPDX-License-Identifier: Apache-2.0
#include "cpu/device.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "base/error.h"

namespace veloz::cpu {
namespace {

TEST(CpuDevice, GivesAlignedZeroedMemoryOfEverySize) {
  CpuDevice device;
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{65}, size_t{4097}, (size_t{2} << 20) - 1,
                             size_t{2} << 20, (size_t{5} << 20) + 3}) {
    const Buffer buffer = device.allocate(bytes);
    ASSERT_TRUE(buffer) << bytes;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u) << bytes;
    EXPECT_EQ(buffer.bytes() < bytes, false);
    auto* const data = static_cast<unsigned char*>(buffer.data());
    EXPECT_TRUE(std::all_of(data, data + bytes, [](unsigned char c) { return c == 0; })) << bytes;
    std::fill(data, data + bytes, static_cast<unsigned char>(0xff));  // all of it is writable
  }
}

TEST(CpuDevice, StartsLargeBuffersAtAHugePage) {
  const Buffer buffer = CpuDevice().allocate(size_t{3} << 20);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % (size_t{2} << 20), 0u);
}

TEST(CpuDevice, RefusesWhatCannotBeAllocatedWithTheSizeInWords) {
  CpuDevice device;
  for (const size_t bytes : {size_t{1} << 50, SIZE_MAX - 10}) {
    try {
      const Buffer buffer = device.allocate(bytes);
      FAIL() << "got " << bytes << " bytes";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::out_of_memory);
      EXPECT_NE(e.message().find(std::to_string(bytes)), std::string::npos) << e.message();
      EXPECT_FALSE(e.hint().empty());
    }
  }
}

TEST(CpuDevice, CopiesFromZeroFilledMemory) {
  CpuDevice device;
  const auto stream = device.create_stream();
  std::vector<int> in(1000);
  std::iota(in.begin(), in.end(), 1);
  std::vector<int> out(1000);
  const size_t bytes = in.size() * sizeof(int);
  const Buffer a = device.allocate(bytes);
  const Buffer b = device.allocate(bytes);
  device.copy_out(*stream, out.data(), a.data(), bytes);
  EXPECT_EQ(out, std::vector<int>(1000));
  device.copy_in(*stream, a.data(), in.data(), bytes);
  device.copy(*stream, b.data(), a.data(), bytes);
  device.copy_out(*stream, out.data(), b.data(), bytes);
  stream->synchronize();
  EXPECT_EQ(in, out);
}

TEST(TouchPages, KeepsWhatIsThere) {
  ThreadPool pool(3);
  const size_t bytes = (size_t{7} << 20) + 5;
  const Buffer buffer = CpuDevice().allocate(bytes);
  auto* const data = static_cast<std::byte*>(buffer.data());
  for (size_t i = 0; i < bytes; i += 1000) data[i] = std::byte{7};
  touch_pages(pool, {data, bytes});
  touch_pages(pool, {});
  for (size_t i = 0; i < bytes; ++i)
    ASSERT_EQ(data[i], i % 1000 == 0 ? std::byte{7} : std::byte{0});
}

}  // namespace
}  // namespace veloz::cpu
