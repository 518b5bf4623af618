// SPDX-License-Identifier: Apache-2.0
#include "cuda/find_difference.h"

#include <gtest/gtest.h>

#include <vector>

#include "cuda_runs.h"

namespace veloz::cuda {
namespace {

constexpr size_t kNumWords = 70'001;

bool differ(const std::vector<uint32_t>& a, const std::vector<uint32_t>& b, size_t num_words) {
  const auto stream = test_device().create_stream();
  const auto upload = [&](const std::vector<uint32_t>& words) {
    Buffer buffer = test_device().allocate(words.size() * sizeof(uint32_t));
    test_device().copy_in(*stream, buffer.data(), words.data(), buffer.bytes());
    return buffer;
  };
  const Buffer on_a = upload(a), on_b = upload(b), found = upload({0});
  find_difference(static_cast<CudaStream&>(*stream), static_cast<const uint32_t*>(on_a.data()),
                  static_cast<const uint32_t*>(on_b.data()), static_cast<int64_t>(num_words),
                  static_cast<uint32_t*>(found.data()));
  uint32_t is_found = 7;
  test_device().copy_out(*stream, &is_found, found.data(), sizeof(is_found));
  stream->synchronize();
  EXPECT_LE(is_found, 1u);
  return is_found == 1;
}

TEST(FindDifference, SeesOneBitAnywhereAndNothingPastTheEnd) {
  const std::vector<uint32_t> words(kNumWords, 0x80000000u);
  EXPECT_FALSE(differ(words, words, kNumWords));
  for (const size_t at : {size_t{0}, size_t{255}, size_t{40'000}, kNumWords - 1}) {
    std::vector<uint32_t> other = words;
    other[at] ^= 1;
    EXPECT_TRUE(differ(words, other, kNumWords)) << at;
    EXPECT_FALSE(differ(words, other, at)) << at;
  }
}

}  // namespace
}  // namespace veloz::cuda
