// SPDX-License-Identifier: Apache-2.0
#include "cuda/device.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

#include "cuda/stream.h"
#include "cuda_runs.h"
#include "support/expect_error.h"

namespace veloz::cuda {
namespace {

std::vector<std::byte> download(Stream& stream, const Buffer& buffer) {
  std::vector<std::byte> bytes(buffer.bytes());
  test_device().copy_out(stream, bytes.data(), buffer.data(), bytes.size());
  stream.synchronize();
  return bytes;
}

TEST(CudaDevice, GivesZeroedMemory) {
  const auto stream = test_device().create_stream();
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{100'001}}) {
    const Buffer buffer = test_device().allocate(bytes);
    EXPECT_NE(buffer.data(), nullptr);
    EXPECT_EQ(download(*stream, buffer), std::vector<std::byte>(bytes));
    const Buffer host = test_device().allocate_host(bytes);
    EXPECT_EQ(std::vector<std::byte>(host.bytes()), std::vector<std::byte>(bytes));
  }
}

TEST(CudaDevice, HasNoDeviceOfAnotherNumber) {
  EXPECT_TRUE(
      test::throws_error(ErrorKind::unsupported, {"there is no GPU 99"}, [] { open_device(99); }));
}

/// Blocks of whole 16 bytes and of odd words; more pairs than one launch takes.
TEST(CudaDevice, CopiesBlocksWithinACache) {
  const auto stream = test_device().create_stream();
  for (const size_t block_bytes : {size_t{64}, size_t{2052}, size_t{100'016}}) {
    constexpr int32_t kPairs = 131;
    std::vector<uint8_t> bytes(2 * kPairs * block_bytes);
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i / 4 * 37 % 251);
    const Buffer buffer = test_device().allocate(bytes.size());
    test_device().copy_in(*stream, buffer.data(), bytes.data(), bytes.size());
    std::vector<std::pair<int32_t, int32_t>> pairs;
    for (int32_t i = 0; i < kPairs; ++i) pairs.emplace_back(i, 2 * kPairs - 1 - i);
    pairs.emplace_back(3, 3);
    test_device().copy_blocks(*stream, buffer.data(), block_bytes, pairs);
    const std::vector<std::byte> result = download(*stream, buffer);
    for (const auto& [from, to] : pairs)
      std::memcpy(&bytes[static_cast<size_t>(to) * block_bytes],
                  &bytes[static_cast<size_t>(from) * block_bytes], block_bytes);
    EXPECT_EQ(std::memcmp(result.data(), bytes.data(), bytes.size()), 0) << block_bytes;
  }
}

TEST(CudaStream, WaitsForWhatLiesAheadOfItsMark) {
  const auto stream = test_device().create_stream();
  const Buffer host = test_device().allocate_host(64);
  const Buffer buffer = test_device().allocate(64);
  const std::vector<uint8_t> bytes(64, 7);
  test_device().copy_in(*stream, buffer.data(), bytes.data(), bytes.size());
  test_device().copy_out(*stream, host.data(), buffer.data(), bytes.size());
  stream->mark();
  stream->wait_for_mark();
  EXPECT_EQ(std::memcmp(host.data(), bytes.data(), bytes.size()), 0);
}

TEST(CudaStream, ThrowsAFailureToWhoWaitsForIt) {
  CudaStream stream(0);
  stream.note(cudaErrorInvalidValue, "the first");
  stream.mark();
  stream.note(cudaErrorInvalidValue, "the second");
  EXPECT_TRUE(
      test::throws_error(ErrorKind::internal, {"the first"}, [&] { stream.wait_for_mark(); }));
  EXPECT_TRUE(
      test::throws_error(ErrorKind::internal, {"the second"}, [&] { stream.synchronize(); }));
  stream.synchronize();
}

TEST(CudaStream, ReplaysWhatItRecorded) {
  const auto stream = test_device().create_stream();
  const Buffer buffer = test_device().allocate(3 * 64);
  const std::array<std::pair<int32_t, int32_t>, 1> pair = {{{0, 2}}};
  if (!stream->begin_recording()) GTEST_SKIP() << "this device records nothing";
  test_device().copy_blocks(*stream, buffer.data(), 64, pair);
  const std::unique_ptr<Recording> recording = stream->end_recording();
  for (const uint8_t value : {uint8_t{7}, uint8_t{9}}) {
    const std::vector<uint8_t> bytes(64, value);
    test_device().copy_in(*stream, buffer.data(), bytes.data(), bytes.size());
    stream->replay(*recording);
    EXPECT_EQ(static_cast<uint8_t>(download(*stream, buffer)[128 + 5]), value);
  }
}

}  // namespace
}  // namespace veloz::cuda
