// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/tensor_set.h"

#include <fmt/format.h>

#include <atomic>
#include <exception>
#include <mutex>
#include <optional>
#include <span>

#include "base/error.h"
#include "checkpoint/convert.h"

namespace veloz::compress {

Matrix read_tensor(const checkpoint::TensorSource& source, std::string_view name,
                   ThreadPool& pool) {
  const std::optional<checkpoint::TensorInfo> info = source.find(name);
  if (!info)
    throw Error(
        ErrorKind::not_found, fmt::format("tensor \"{}\" is missing from the checkpoint", name),
        "the checkpoint is incomplete or of another architecture than its config.json says");
  const bool is_matrix = info->shape.rank() > 1;
  const int64_t length = info->shape.rank() == 0 ? 1 : info->shape[0];
  const int64_t columns = is_matrix ? info->shape[1] : 1;  // of one row of the file
  Matrix matrix(is_matrix ? length : 1, is_matrix ? columns : length);

  std::atomic<int64_t> num_not_finite{0};
  std::mutex failure_mutex;
  std::exception_ptr failure;
  pool.for_range(length, kRowGrain, [&](int64_t begin, int64_t end) {
    try {
      const auto count = static_cast<size_t>((end - begin) * columns);
      std::vector<std::byte> raw(count * dtype_bytes(info->dtype));
      source.read_rows(name, begin, end, raw);
      const std::span<float> to(matrix.values.data() + begin * columns, count);
      const checkpoint::NonFinite found =
          checkpoint::convert(info->dtype, raw, DType::fp32, std::as_writable_bytes(to));
      num_not_finite += found.num_nan + found.num_inf;
    } catch (...) {
      const std::scoped_lock lock(failure_mutex);
      failure = std::current_exception();
    }
  });
  if (failure) std::rethrow_exception(failure);
  if (num_not_finite > 0)
    throw Error(ErrorKind::corrupt_data,
                fmt::format("tensor \"{}\" has {} values that are NaN or infinite", name,
                            num_not_finite.load()),
                "quantize a checkpoint whose weights are numbers");
  return matrix;
}

TensorSet read_tensors(const checkpoint::TensorSource& source, const graph::Graph& graph,
                       const std::vector<size_t>& nodes, ThreadPool& pool) {
  TensorSet tensors;
  for (const size_t index : nodes)
    for (const graph::ValueId id : graph.nodes()[index].inputs)
      for (const graph::WeightSegment& segment : graph.value(id).segments)
        if (!tensors.contains(segment.tensor))
          tensors.emplace(segment.tensor, read_tensor(source, segment.tensor, pool));
  return tensors;
}

}  // namespace veloz::compress
