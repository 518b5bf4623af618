// SPDX-License-Identifier: Apache-2.0
#include "cuda/sim/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

// Clang tells by __has_feature what GCC tells by a macro.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

#if defined(__x86_64__)
// Keeps what the calling convention says a call keeps, and swaps stacks: swapcontext asks the
// kernel for the signal mask each time, which took most of a launch.
extern "C" void veloz_sim_switch(void** save, void* load);
asm(R"(
.text
.globl veloz_sim_switch
.type veloz_sim_switch, @function
veloz_sim_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size veloz_sim_switch, .-veloz_sim_switch
)");
#endif

namespace veloz::cuda::sim {
namespace {

constexpr size_t kStackBytes = 256 * 1024;
constexpr size_t kGuardBytes = 4096;

Fiber* starting = nullptr;  // handed to a fiber's first function

}  // namespace

Fiber::Fiber(Entry entry, void* arg) : entry_(entry), arg_(arg) {
  mapping_ = ::mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping_ == MAP_FAILED || ::mprotect(mapping_, kGuardBytes, PROT_NONE) != 0) {
    std::perror("mapping a fiber's stack");
    std::abort();
  }
  auto* const stack = static_cast<char*>(mapping_) + kGuardBytes;
#if defined(__x86_64__)
  // What veloz_sim_switch pops: six registers and where to go on. A function begins with its stack
  // 8 bytes off a multiple of 16.
  auto** const top = reinterpret_cast<void**>(stack + kStackBytes) - 2;
  top[-1] = nullptr;
  top[-2] = reinterpret_cast<void*>(&Fiber::start);
  for (int i = 3; i <= 8; ++i) top[-i] = nullptr;
  own_ = top - 8;
#else
  ::getcontext(&own_);
  own_.uc_stack.ss_sp = stack;
  own_.uc_stack.ss_size = kStackBytes;
  own_.uc_link = nullptr;
  ::makecontext(&own_, reinterpret_cast<void (*)()>(&Fiber::start), 0);
#endif
#if defined(__SANITIZE_THREAD__)
  own_history_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
#if defined(__SANITIZE_THREAD__)
  __tsan_destroy_fiber(own_history_);
#endif
  ::munmap(mapping_, kGuardBytes + kStackBytes);
}

void Fiber::start() {
  Fiber* const self = starting;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &self->caller_stack_, &self->caller_stack_bytes_);
#endif
  self->entry_(self->arg_);
  std::abort();
}

void Fiber::resume() {
  starting = this;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&caller_fake_stack_, static_cast<char*>(mapping_) + kGuardBytes,
                                 kStackBytes);
#endif
#if defined(__SANITIZE_THREAD__)
  caller_history_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(own_history_, 0);
#endif
#if defined(__x86_64__)
  veloz_sim_switch(&caller_, own_);
#else
  ::swapcontext(&caller_, &own_);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(caller_fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::suspend() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&own_fake_stack_, caller_stack_, caller_stack_bytes_);
#endif
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(caller_history_, 0);
#endif
#if defined(__x86_64__)
  veloz_sim_switch(&own_, caller_);
#else
  ::swapcontext(&own_, &caller_);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(own_fake_stack_, &caller_stack_, &caller_stack_bytes_);
#endif
}

}  // namespace veloz::cuda::sim
