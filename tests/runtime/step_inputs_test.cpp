// SPDX-License-Identifier: Apache-2.0
#include "runtime/step_inputs.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "runtime/session.h"
#include "support/deferred_runner.h"
#include "support/tiny_engine.h"

namespace veloz::runtime {
namespace {

Batch one_token(int32_t token) {
  Batch batch;
  batch.tokens = {token};
  batch.positions = {0};
  batch.slots = {0};
  batch.q_starts = {0};
  batch.q_lens = {1};
  batch.kv_lens = {1};
  batch.block_tables = {0};
  batch.blocks_per_seq = 1;
  batch.logit_rows = {0};
  return batch;
}

std::vector<int32_t> values_of(const TensorView& view) {
  const auto* const data = view.as<const int32_t>();
  return {data, data + view.shape.num_elements()};
}

class StepInputsTest : public ::testing::Test {
 protected:
  void upload(const Batch& batch) {
    inputs_.place(binding_of(batch, kBlocks));
    inputs_.upload(batch, *stream_);
  }

  static constexpr int64_t kBlocks = 6;
  const test::TinyModel model_ = test::tiny_model();
  test::DeferredDevice device_;
  std::unique_ptr<Stream> stream_ = device_.create_stream();
  StepInputs inputs_{model_.plan.programs[0], engine::limit_binding(model_.plan.limits, kBlocks),
                     device_};
};

TEST_F(StepInputsTest, KeepsWhatIsOnItsWayWhileTheNextStepIsStaged) {
  const Batch first = one_token(3);
  const Batch second = one_token(7);
  upload(first);
  stream_->mark();
  upload(second);
  stream_->wait_for_mark();
  EXPECT_EQ(values_of(inputs_.tokens(first)), (std::vector<int32_t>{3}));
  stream_->synchronize();
  EXPECT_EQ(values_of(inputs_.tokens(second)), (std::vector<int32_t>{7}));
}

TEST_F(StepInputsTest, BringsFeedsWhereTheDeviceReadsThem) {
  int32_t sampled = 5;
  Batch batch = one_token(0);
  batch.feeds = {{0, 4}};
  batch.sampled = {&sampled, DType::int32, {1}};
  upload(batch);
  stream_->synchronize();
  EXPECT_EQ(values_of(inputs_.feeds(batch)), (std::vector<int32_t>{0, 4}));
  batch.feeds.assign(100, {0, 0});
  EXPECT_THROW(upload(batch), Error);
}

}  // namespace
}  // namespace veloz::runtime
