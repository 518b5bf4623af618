// SPDX-License-Identifier: Apache-2.0
#include "profile/footprint.h"

#include <gtest/gtest.h>

#include "profile/tiny_session.h"

namespace veloz::profile {
namespace {

const ops::KernelRegistry& references() {
  static const ops::KernelRegistry registry(ops::reference_kernels(), ops::plain_layouts());
  return registry;
}

TEST(Footprint, IsWhatASessionHolds) {
  TinySession tiny;
  const runtime::MemoryUse held = tiny.session().memory();
  const Footprint footprint =
      predict_footprint(tiny.session().plan(), references(),
                        {.num_kv_blocks = TinySession::kBlocks, .num_threads = 1});
  EXPECT_EQ(footprint.weight_bytes, held.weight_bytes);
  EXPECT_EQ(footprint.kv_cache_bytes(), held.kv_cache_bytes);
  EXPECT_EQ(footprint.arena_bytes, held.arena_bytes);
  EXPECT_LE(footprint.workspace_bytes, held.workspace_bytes);
  EXPECT_GE(footprint.workspace_bytes + 64, held.workspace_bytes);  // rounded up
}

TEST(Footprint, AddsUp) {
  const Footprint footprint = {.weight_bytes = 1,
                               .kv_block_bytes = 10,
                               .num_kv_blocks = 3,
                               .arena_bytes = 100,
                               .workspace_bytes = 200,
                               .input_bytes = 300,
                               .text_bytes = 1000,
                               .process_bytes = 5000};
  EXPECT_EQ(footprint.kv_cache_bytes(), 30u);
  EXPECT_EQ(footprint.fixed_bytes(), 6601u);
  EXPECT_EQ(footprint.total_bytes(), 6631u);
}

TEST(Footprint, CountsInputsOnHostAndDeviceAndTheTokenizerByItsFile) {
  const test::TinyModel model = test::tiny_model();
  const Footprint footprint = predict_footprint(model.plan, references(),
                                                {.num_kv_blocks = 1, .tokenizer_file_bytes = 1000});
  // tokens, positions, slots of 16 tokens; starts, lengths of 4 sequences, 8 blocks each; 4 rows.
  EXPECT_EQ(footprint.input_bytes, 2u * (16 * (4 + 4 + 8) + 4 * (4 + 4 + 4) + 4 * 8 * 4 + 4 * 4));
  EXPECT_GT(footprint.text_bytes, 1000u);
}

}  // namespace
}  // namespace veloz::profile
