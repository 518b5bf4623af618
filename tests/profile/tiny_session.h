// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "cpu/device.h"
#include "ops/kernel.h"
#include "runtime/session.h"
#include "support/tiny_engine.h"

namespace veloz::profile {

/// The tiny model on the reference kernels.
class TinySession {
 public:
  static constexpr int64_t kBlocks = 40;

  TinySession() : directory_(), registry_(ops::reference_kernels(), ops::plain_layouts()) {
    test::write_tiny_engine(directory_.path() / "engine", test::tiny_model());
    const auto engine = engine::Engine::open(directory_.path() / "engine");
    manifest = engine.manifest();
    session_ = std::make_unique<runtime::Session>(engine, device_, registry_, pool_,
                                                  runtime::SessionOptions{kBlocks});
  }
  runtime::Session& session() { return *session_; }

  engine::Manifest manifest;

 private:
  test::TempDirectory directory_;
  cpu::CpuDevice device_;
  ops::KernelRegistry registry_;
  ThreadPool pool_{1};
  std::unique_ptr<runtime::Session> session_;
};

}  // namespace veloz::profile
