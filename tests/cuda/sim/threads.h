// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>

#include "cuda/sim/language.h"
#include "cuda/sim/runtime_api.h"

/// The simulated multiprocessor. Each thread of a block is a fiber that runs until it has to wait;
/// clusters, mostly of one block, run one after another. Half of the launches go through their
/// clusters from the last to the first, and half of the clusters through their threads, so that a
/// missing barrier, or a block that counts on another, shows. A cluster in which nobody can go on
/// ends the program with a list of who waits for what.
///
/// What simulated instructions are made of:
///
///   wait_until("mbarrier", [&] { return barrier.phase != phase; });     // other threads run
///   yield();                                                            // in a loop that polls
///   rendezvous(Scope::warp, "ldmatrix", mine, [](Mine** all, int count) { ... });
namespace veloz::cuda::sim {

/// Where in the source a thread stands; a default argument, evaluated at the caller.
struct Site {
  const char* file;
  int line;
  static constexpr Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

constexpr size_t kMaxSharedBytes = 227 * 1024;
constexpr int kMaxThreads = 1024;
constexpr int kMaxClusterBlocks = 8;

/// Prints why, with the kernel, block and thread that run now, and aborts.
[[noreturn]] void fail(const std::string& why);
/// Fails with `why` unless `condition`.
inline void require(bool condition, const char* why) {
  if (!condition) fail(why);
}

// --- of the thread that runs now ---
int thread_index();  // linear in its block
int num_threads();
inline int lane() { return thread_index() % warpSize; }
inline int warp() { return thread_index() / warpSize; }

/// Lets the others run and comes back. A loop that only yields while nobody else gets on is found
/// out after a while.
void yield(Site site = Site::here());

/// Lets the others run until `ready(arg)`, which the scheduler polls.
void wait_until(const char* what, bool (*ready)(const void*), const void* arg,
                Site site = Site::here());
template <typename Ready>
void wait_until(const char* what, const Ready& ready, Site site = Site::here()) {
  if (ready()) return;
  wait_until(
      what, [](const void* arg) { return (*static_cast<const Ready*>(arg))(); }, &ready, site);
}

/// The threads that execute an instruction together.
enum class Scope { warp, warpgroup };

/// All threads of the scope meet at one instruction. The last to come runs `complete(all, count)`,
/// where all[i] is what thread i of the scope passed (null for lanes that the block does not have),
/// before anyone goes on: the whole instruction happens at once, and may write into everybody's
/// argument. Threads that meet at different lines, or under different names, are an error.
void rendezvous(Scope scope, const char* what, void* mine, void (*complete)(void** all, int count),
                Site site);
template <typename Mine, void (*complete)(Mine** all, int count)>
void rendezvous(Scope scope, const char* what, Mine& mine, Site site) {
  rendezvous(
      scope, what, &mine,
      [](void** all, int count) { complete(reinterpret_cast<Mine**>(all), count); }, site);
}

/// bar.sync id, count: `count` threads of the block meet.
void barrier(int id, int count, Site site);
/// bar.arrive id, count: is counted and goes on.
void barrier_arrive(int id, int count, Site site);

/// barrier.cluster.arrive and .wait: all threads of the cluster's blocks meet.
void cluster_arrive(Site site);
void cluster_wait(Site site);

// --- shared memory ---
/// Of this launch, filled with 0xFF bytes (NaN) as each block begins. A page that faults follows.
unsigned char* dynamic_shared_begin();
size_t dynamic_shared_bytes();
/// What the hardware would call an address of dynamic shared memory, and back.
uint32_t shared_address_of(const void* pointer);
void* shared_pointer(uint32_t address);
/// Where another block of the cluster has what this one has at `pointer`, in dynamic shared memory.
/// Once that block has ended there are 0xFF bytes.
void* in_block_of_cluster(void* pointer, int rank);

// --- launches ---
struct LaunchInfo {
  const char* name = "kernel";
  cudaStream_t stream = nullptr;
  bool must_wait_for_previous = false;
  int cluster_blocks = 1;  // neighbours along x
};
/// Notes that the thread has called wait_for_previous_kernel().
void note_waited_for_previous();

cudaError_t launch_body(const LaunchInfo& info, dim3 grid, dim3 block, size_t shared_bytes,
                        std::function<void()> body);

/// Runs a kernel to its end (or records it, where the stream is capturing).
template <typename... Params>
cudaError_t launch(const LaunchInfo& info, void (*kernel)(Params...), dim3 grid, dim3 block,
                   size_t shared_bytes, std::type_identity_t<Params>... args) {
  return launch_body(info, grid, block, shared_bytes, [=] { kernel(args...); });
}
template <typename... Params>
cudaError_t launch(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes,
                   std::type_identity_t<Params>... args) {
  return launch_body({}, grid, block, shared_bytes, [=] { kernel(args...); });
}

}  // namespace veloz::cuda::sim
