// SPDX-License-Identifier: MIT
// Counts heap allocations. Including this header replaces operator new in the whole program, so
// include it in one translation unit only: a test file that asks for it. Eigen does not use
// operator new but malloc; that one is forbidden meanwhile (EIGEN_RUNTIME_NO_MALLOC) and asserts.
#pragma once

#include <Eigen/Core>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>

#ifndef EIGEN_RUNTIME_NO_MALLOC
#error "define EIGEN_RUNTIME_NO_MALLOC before Eigen is included"
#endif

namespace monge::test {

inline std::atomic<long> calls_of_new{0};

/// Forbids Eigen's malloc in this scope.
class NoEigenMalloc {
 public:
  NoEigenMalloc() { Eigen::internal::set_is_malloc_allowed(false); }
  NoEigenMalloc(NoEigenMalloc const&) = delete;
  NoEigenMalloc& operator=(NoEigenMalloc const&) = delete;
  ~NoEigenMalloc() { Eigen::internal::set_is_malloc_allowed(true); }
};

/// Runs `body` with Eigen's malloc forbidden and returns the calls of operator new meanwhile.
template <class Body>
[[nodiscard]] long allocations(Body&& body) {
  NoEigenMalloc const guard;
  long const before = calls_of_new;
  std::forward<Body>(body)();
  return calls_of_new - before;
}

// noinline: GCC would see malloc behind new and free behind delete and warn that they mismatch.
[[gnu::noinline]] inline void* allocate_or_null(std::size_t size) noexcept {
  return std::malloc(size > 0 ? size : 1);
}
[[gnu::noinline]] inline void* allocate(std::size_t size) {
  ++calls_of_new;
  if (void* memory = allocate_or_null(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] inline void* allocate(std::size_t size, std::align_val_t alignment) {
  ++calls_of_new;
  auto const unit = static_cast<std::size_t>(alignment);
  if (void* memory = std::aligned_alloc(unit, (size / unit + 1) * unit)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] inline void release(void* memory) noexcept { std::free(memory); }

}  // namespace monge::test

// The forms that do not throw are replaced too: what they return comes to the same delete.
#if !defined(__has_feature)
#define MONGE_REPLACE_NEW 1
#elif __has_feature(thread_sanitizer)  // Clang's runtime defines operator new itself
#define MONGE_REPLACE_NEW 0
#else
#define MONGE_REPLACE_NEW 1
#endif

#if MONGE_REPLACE_NEW
void* operator new(std::size_t size, std::nothrow_t const&) noexcept {
  ++monge::test::calls_of_new;
  return monge::test::allocate_or_null(size);
}
void* operator new[](std::size_t size, std::nothrow_t const&) noexcept {
  ++monge::test::calls_of_new;
  return monge::test::allocate_or_null(size);
}
void* operator new(std::size_t size) { return monge::test::allocate(size); }
void* operator new[](std::size_t size) { return monge::test::allocate(size); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return monge::test::allocate(size, alignment);
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return monge::test::allocate(size, alignment);
}
void operator delete(void* memory) noexcept { monge::test::release(memory); }
void operator delete[](void* memory) noexcept { monge::test::release(memory); }
void operator delete(void* memory, std::size_t) noexcept { monge::test::release(memory); }
void operator delete[](void* memory, std::size_t) noexcept { monge::test::release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { monge::test::release(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { monge::test::release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  monge::test::release(memory);
}
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  monge::test::release(memory);
}
#endif
