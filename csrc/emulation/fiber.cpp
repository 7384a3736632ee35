#include "fiber.h"

#include <cstdint>
#include <cstdlib>
#include <new>
#include <vector>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define SWIN_ASAN 1
#else
#define SWIN_ASAN 0
#endif

namespace emulation {
namespace {

constexpr size_t kStackBytes = SWIN_ASAN ? 256 * 1024 : 64 * 1024;

// Stacks are kept for the next block.
std::vector<void*> free_stacks;

void* scheduler_context = nullptr;
#if SWIN_ASAN
void* scheduler_fake_stack = nullptr;
const void* scheduler_stack = nullptr;
size_t scheduler_stack_bytes = 0;
#endif
void (*entry_function)() = nullptr;

void entry() {
#if SWIN_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_bytes);
#endif
  entry_function();
}

#if defined(__x86_64__)

// Saves the registers that a call preserves, hands the stack over, restores. swapcontext would make
// two system calls for the signal mask, which nothing here changes.
extern "C" void swin_switch_stack(void** save, void* load);
asm(R"(
.text
.globl swin_switch_stack
.hidden swin_switch_stack
.type swin_switch_stack, @function
swin_switch_stack:
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
.size swin_switch_stack, .-swin_switch_stack
)");

void* make_context(void* stack) {
  auto* top = reinterpret_cast<void**>(static_cast<char*>(stack) + kStackBytes);
  *--top = nullptr;  // the return address of `entry`, which aligns the stack as at a call
  *--top = reinterpret_cast<void*>(&entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  return top;
}
void switch_context(void** save, void* load) { swin_switch_stack(save, load); }
void free_context(void*) {}

#else

void* make_context(void* stack) {
  auto* context = new ucontext_t;
  getcontext(context);
  context->uc_stack.ss_sp = stack;
  context->uc_stack.ss_size = kStackBytes;
  context->uc_link = nullptr;
  makecontext(context, entry, 0);
  return context;
}
void switch_context(void** save, void* load) {
  if (!*save) *save = new ucontext_t;
  swapcontext(static_cast<ucontext_t*>(*save), static_cast<ucontext_t*>(load));
}
void free_context(void* context) { delete static_cast<ucontext_t*>(context); }

#endif

}  // namespace

void Fiber::start(void (*function)()) {
  entry_function = function;
  if (free_stacks.empty()) {
    stack_ = std::aligned_alloc(4096, kStackBytes);
    if (!stack_) throw std::bad_alloc();
  } else {
    stack_ = free_stacks.back();
    free_stacks.pop_back();
  }
#if SWIN_ASAN
  __asan_unpoison_memory_region(stack_, kStackBytes);
#endif
  context_ = make_context(stack_);
}

Fiber::~Fiber() {
  if (!stack_) return;
  free_context(context_);
  free_stacks.push_back(stack_);
}

void Fiber::resume(Fiber& fiber) {
#if SWIN_ASAN
  __sanitizer_start_switch_fiber(&scheduler_fake_stack, fiber.stack_, kStackBytes);
#endif
  switch_context(&scheduler_context, fiber.context_);
#if SWIN_ASAN
  __sanitizer_finish_switch_fiber(scheduler_fake_stack, nullptr, nullptr);
#endif
}

void Fiber::to_scheduler(Fiber& fiber, bool forever) {
#if SWIN_ASAN
  __sanitizer_start_switch_fiber(forever ? nullptr : &fiber.fake_stack_, scheduler_stack,
                                 scheduler_stack_bytes);
#else
  (void)forever;
#endif
  switch_context(&fiber.context_, scheduler_context);
#if SWIN_ASAN
  __sanitizer_finish_switch_fiber(fiber.fake_stack_, &scheduler_stack, &scheduler_stack_bytes);
#endif
}

}  // namespace emulation
