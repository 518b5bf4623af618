// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/device.h"
#include "base/numeric.h"
#include "cuda/device.h"
#include "cuda/kernels.h"
#include "ops/kernel.h"
#include "support/op_runs.h"
#include "support/tensors.h"

/// Runs the CUDA back end's kernels on host tensors: on the simulated multiprocessor (test_cuda),
/// or on a real GPU (test_cuda_device). In short:
///
///   for (const ops::Kernel& kernel : kernels_of(Op::add)) {
///     if (!accepts(kernel, inputs, outputs, attrs)) continue;
///     run_kernel(kernel, inputs, outputs, attrs);    // outputs: host views, written on return
///   }
///
/// A view may stand in both lists, or twice in one: it is the same memory on the device too.
namespace veloz::cuda {

/// GPU 0.
inline Device& test_device() {
  static const std::unique_ptr<Device> device = open_device(0);
  return *device;
}

/// Every kernel of an op.
inline std::vector<ops::Kernel> kernels_of(ops::Op op) {
  const ops::KernelRegistry registry = make_registry();
  std::vector<ops::Kernel> kernels;
  for (const ops::Kernel& kernel : registry.kernels())
    if (kernel.op == op) kernels.push_back(kernel);
  return kernels;
}

/// The kernel of that name.
inline ops::Kernel kernel_named(std::string_view name, const RegistryOptions& options = {}) {
  const ops::KernelRegistry registry = make_registry(options);
  for (const ops::Kernel& kernel : registry.kernels())
    if (kernel.name == name) return kernel;
  throw Error(ErrorKind::not_found, fmt::format("no kernel \"{}\"", name));
}

/// "linear_tma": gtest wants identifiers.
inline std::string test_name(const ops::Kernel& kernel) {
  std::string name(kernel.name);
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}

/// Whether a kernel takes a call; weights lie plain.
inline bool accepts(const ops::Kernel& kernel, const std::vector<TensorView>& inputs,
                    const std::vector<TensorView>& outputs, const ops::Attrs& attrs = {},
                    std::string_view layout = "plain") {
  std::vector<ops::ValueType> input_types, output_types;
  for (const TensorView& view : inputs) input_types.push_back(test::type_of(view));
  for (const TensorView& view : outputs) output_types.push_back(test::type_of(view));
  return kernel.accepts({kernel.op, input_types, output_types, attrs, layout});
}

/// First `begin` to `end` rows of a view.
inline TensorView rows_of(const TensorView& view, int64_t begin, int64_t end) {
  Shape shape = view.shape;
  shape[0] = end - begin;
  return TensorView(
      view.as<char>() + begin * view.row_stride * static_cast<int64_t>(dtype_bytes(view.dtype)),
      view.dtype, shape, view.row_stride);
}

/// A copy of a host tensor on the device, the gaps between its rows included.
class DeviceTensor {
 public:
  explicit DeviceTensor(const TensorView& host) : host_(host), before_(spanned_bytes(host)) {
    // Of the host's bytes, those past the last row's end are not ours to read.
    if (!before_.empty()) std::memcpy(before_.data(), host.data, before_.size());
    memory_ = test_device().allocate(before_.size());
  }

  /// Copies the host's bytes in.
  void upload(Stream& stream) {
    test_device().copy_in(stream, memory_.data(), before_.data(), before_.size());
  }
  /// Makes all elements 0xFF bytes (NaN) on the device, and leaves the gaps.
  void upload_poisoned(Stream& stream) {
    for_each_row([&](size_t begin, size_t bytes) { std::memset(&before_[begin], 0xFF, bytes); });
    upload(stream);
  }
  /// The device's bytes, after the stream is synchronized.
  void download(Stream& stream) {
    after_.resize(before_.size());
    test_device().copy_out(stream, after_.data(), memory_.data(), after_.size());
  }
  bool is_unchanged() const { return before_ == after_; }
  bool gaps_untouched() const {
    std::vector<std::byte> expected = before_;
    for_each_row(
        [&](size_t begin, size_t bytes) { std::memcpy(&expected[begin], &after_[begin], bytes); });
    return expected == after_;
  }
  /// Elements downloaded go to the host's tensor.
  void write_back() const {
    for_each_row([&](size_t begin, size_t bytes) {
      std::memcpy(host_.as<std::byte>() + begin, &after_[begin], bytes);
    });
  }
  /// On the device.
  TensorView view() const {
    return TensorView(memory_.data(), host_.dtype, host_.shape, host_.row_stride);
  }
  const TensorView& host() const { return host_; }

 private:
  static int64_t num_rows(const TensorView& view) {
    return view.shape.rank() == 0 ? 1 : view.shape[0];
  }
  static size_t row_bytes(const TensorView& view) {
    return static_cast<size_t>(TensorView::contiguous_row_stride(view.shape)) *
           dtype_bytes(view.dtype);
  }
  static size_t spanned_bytes(const TensorView& view) {
    const int64_t rows = num_rows(view);
    if (rows == 0) return 0;
    return static_cast<size_t>((rows - 1) * view.row_stride) * dtype_bytes(view.dtype) +
           row_bytes(view);
  }
  template <typename Do>
  void for_each_row(const Do& act) const {
    const size_t stride = static_cast<size_t>(host_.row_stride) * dtype_bytes(host_.dtype);
    if (row_bytes(host_) == 0) return;
    for (int64_t row = 0; row < num_rows(host_); ++row)
      act(static_cast<size_t>(row) * stride, row_bytes(host_));
  }

  TensorView host_;
  std::vector<std::byte> before_;  // what was uploaded
  std::vector<std::byte> after_;   // what was downloaded
  Buffer memory_;
};

/// Tensors on the device, each host view once.
class DeviceTensors {
 public:
  TensorView add(const TensorView& host) {
    for (const auto& tensor : tensors_)
      if (is_same(tensor->host(), host)) return tensor->view();
    return tensors_.emplace_back(std::make_unique<DeviceTensor>(host))->view();
  }
  DeviceTensor& of(const TensorView& host) {
    for (const auto& tensor : tensors_)
      if (is_same(tensor->host(), host)) return *tensor;
    throw Error(ErrorKind::not_found, "no such tensor on the device");
  }
  const std::vector<std::unique_ptr<DeviceTensor>>& all() const { return tensors_; }

  static bool is_same(const TensorView& a, const TensorView& b) {
    return a.data == b.data && a.dtype == b.dtype && a.shape == b.shape &&
           a.row_stride == b.row_stride;
  }
  static bool holds(const std::vector<TensorView>& views, const TensorView& view) {
    return std::ranges::any_of(views, [&](const TensorView& v) { return is_same(v, view); });
  }

 private:
  std::vector<std::unique_ptr<DeviceTensor>> tensors_;
};

/// Runs a kernel on copies of `inputs` and into `outputs`, with a workspace of exactly the bytes it
/// asked for. Workspace and outputs that are no inputs hold NaN patterns before; afterwards inputs
/// that are no outputs must be as they were, and so must the gaps between rows.
inline void run_kernel_on(Stream& stream, const ops::Kernel& kernel,
                          const std::vector<TensorView>& inputs,
                          const std::vector<TensorView>& outputs, const ops::Attrs& attrs = {}) {
  DeviceTensors tensors;
  std::vector<TensorView> device_inputs, device_outputs;
  for (const TensorView& view : inputs) device_inputs.push_back(tensors.add(view));
  for (const TensorView& view : outputs) device_outputs.push_back(tensors.add(view));
  for (const auto& tensor : tensors.all()) {
    if (DeviceTensors::holds(inputs, tensor->host()))
      tensor->upload(stream);
    else
      tensor->upload_poisoned(stream);
  }

  const ops::OpCall call{.inputs = device_inputs, .outputs = device_outputs, .attrs = attrs};
  const size_t bytes = kernel.workspace_bytes == nullptr ? 0 : kernel.workspace_bytes(call, 1);
  const Buffer workspace = test_device().allocate(bytes);
  const std::vector<std::byte> poison(bytes, std::byte{0xFF});
  test_device().copy_in(stream, workspace.data(), poison.data(), bytes);
  ops::OpContext context{.stream = &stream,
                         .workspace = {static_cast<std::byte*>(workspace.data()), bytes}};
  kernel.run(context, call);
  for (const auto& tensor : tensors.all()) tensor->download(stream);
  stream.synchronize();

  for (const auto& tensor : tensors.all()) {
    if (DeviceTensors::holds(outputs, tensor->host())) {
      EXPECT_TRUE(tensor->gaps_untouched()) << kernel.name << " wrote between rows";
      tensor->write_back();
    } else {
      EXPECT_TRUE(tensor->is_unchanged()) << kernel.name << " wrote to an input";
    }
  }
}

/// On a stream of its own.
inline void run_kernel(const ops::Kernel& kernel, const std::vector<TensorView>& inputs,
                       const std::vector<TensorView>& outputs, const ops::Attrs& attrs = {}) {
  const std::unique_ptr<Stream> stream = test_device().create_stream();
  run_kernel_on(*stream, kernel, inputs, outputs, attrs);
}

}  // namespace veloz::cuda
