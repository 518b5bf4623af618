// SPDX-License-Identifier: Apache-2.0
#include "cuda/launch.h"
#include "cuda/numeric.h"
#include "cuda/ptx/dependent_launch.h"
#include "cuda/rows.h"

namespace veloz::cuda {
namespace {

constexpr int kThreads = 256;

template <typename T>
__global__ void __launch_bounds__(kThreads)
    add_kernel(const T* a, const T* b, T* y, int64_t num_columns, int64_t a_stride,
               int64_t b_stride, int64_t y_stride) {
  wait_for_previous_kernel();
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const auto row = static_cast<int64_t>(blockIdx.y);
  if (column >= num_columns) return;
  y[row * y_stride + column] =
      from_float<T>(to_float(a[row * a_stride + column]) + to_float(b[row * b_stride + column]));
}

template <typename T>
void run(CudaStream& stream, const ops::AddArgs& args) {
  const int64_t columns = args.y.shape[1];
  const auto blocks = static_cast<unsigned>((columns + kThreads - 1) / kThreads);
  launch(stream, "add", add_kernel<T>,
         {.grid = dim3(blocks, static_cast<unsigned>(args.y.shape[0])), .block = dim3(kThreads)},
         args.a.as<const T>(), args.b.as<const T>(), args.y.as<T>(), columns, args.a.row_stride,
         args.b.row_stride, args.y.row_stride);
}

}  // namespace

void add(ops::OpContext& context, const ops::AddArgs& args) noexcept {
  if (args.y.shape[0] == 0) return;
  if (args.y.dtype == DType::bf16)
    run<Bf16>(stream_of(context), args);
  else
    run<float>(stream_of(context), args);
}

}  // namespace veloz::cuda
