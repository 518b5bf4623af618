// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/device.h"
#include "base/error.h"
#include "ops/kernel.h"
#include "runtime/step_runner.h"

namespace veloz::test {

/// A queue whose work is done at the latest moment, when somebody waits for it: who forgets to wait
/// reads old bytes, who reuses a host buffer too early sends the wrong ones.
class DeferredStream final : public Stream {
 public:
  void enqueue(std::function<void()> work) {
    work_.push_back(std::move(work));
    ++num_behind_mark_;
  }
  void synchronize() override { run_until_left(0); }
  void mark() override { num_behind_mark_ = 0; }
  void wait_for_mark() override { run_until_left(num_behind_mark_); }

 private:
  void run_until_left(size_t count) {
    while (work_.size() > count) {
      const std::function<void()> work = std::move(work_.front());
      work_.pop_front();
      work();
    }
  }

  std::deque<std::function<void()>> work_;
  size_t num_behind_mark_ = 0;
};

/// Host memory behind a DeferredStream, filled with 0xFF (NaN, -1) at first.
class DeferredDevice final : public Device {
 public:
  DeviceKind kind() const override { return DeviceKind::cpu; }
  std::string description() const override { return "a test's device"; }
  Buffer allocate(size_t bytes) override {
    void* memory = std::aligned_alloc(64, (bytes / 64 + 1) * 64);
    VELOZ_CHECK(memory != nullptr, "{} bytes", bytes);
    std::memset(memory, 0xFF, bytes);
    return {memory, bytes, std::free};
  }
  std::unique_ptr<Stream> create_stream() override { return std::make_unique<DeferredStream>(); }
  void copy_in(Stream& stream, void* to, const void* from, size_t bytes) override {
    copy(stream, to, from, bytes);
  }
  void copy_out(Stream& stream, void* to, const void* from, size_t bytes) override {
    copy(stream, to, from, bytes);
  }
  void copy(Stream& stream, void* to, const void* from, size_t bytes) override {
    if (bytes == 0) return;
    static_cast<DeferredStream&>(stream).enqueue([=] { std::memcpy(to, from, bytes); });
  }
};

/// A StepRunner that runs ops by their references on a DeferredDevice, each checked against its
/// shape rule. It has no model; derive to give it one.
class DeferredRunner : public runtime::StepRunner {
 public:
  TensorView run(const runtime::Batch&) override {
    throw Error(ErrorKind::internal, "this runner has no model");
  }
  void copy_kv_blocks(std::span<const std::pair<int32_t, int32_t>>) override {}
  void run_op(ops::Op op, std::span<const TensorView> inputs, std::span<const TensorView> outputs,
              const ops::Attrs& attrs) override {
    check_types(op, inputs, outputs, attrs);
    stream_.enqueue([op, in = std::vector(inputs.begin(), inputs.end()),
                     out = std::vector(outputs.begin(), outputs.end()), attrs] {
      const ops::OpDef& def = ops::op_def(op);
      const ops::OpCall call{in, out, attrs};
      const size_t bytes = def.workspace_bytes == nullptr ? 0 : def.workspace_bytes(call, 1);
      const Buffer workspace = DeferredDevice().allocate(bytes);
      ops::OpContext context{.workspace = {static_cast<std::byte*>(workspace.data()), bytes}};
      def.reference(context, call);
    });
  }
  Device& device() override { return device_; }
  Stream& stream() override { return stream_; }

 protected:
  DeferredStream stream_;

 private:
  static ops::ValueType type_of(const TensorView& view) {
    ops::ValueType type{view.dtype, {}};
    for (const int64_t extent : view.shape.dims()) type.dims.emplace_back(extent);
    return type;
  }
  static void check_types(ops::Op op, std::span<const TensorView> inputs,
                          std::span<const TensorView> outputs, const ops::Attrs& attrs) {
    std::vector<ops::ValueType> in;
    std::vector<ops::ValueType> out;
    for (const TensorView& view : inputs) in.push_back(type_of(view));
    for (const TensorView& view : outputs) out.push_back(type_of(view));
    VELOZ_CHECK(ops::op_def(op).infer({in, attrs}) == out, "outputs of {} have other types",
                ops::op_def(op).name);
  }

  DeferredDevice device_;
};

}  // namespace veloz::test
