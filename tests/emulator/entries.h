// The kernels by name, to be called with untyped arguments as a driver does.
#pragma once
#include <cstddef>
#include <utility>
#include <vector>

struct Entry {
    const char* name;
    void (*call)(void**);
    std::vector<size_t> sizes;
};
template <class F, F f> struct Call;
template <class... A, void (*f)(A...)> struct Call<void (*)(A...), f> {
    template <size_t... I> static void with(void** args, std::index_sequence<I...>) { f(*(A*)args[I]...); }
    static void call(void** args) { with(args, std::index_sequence_for<A...>()); }
    static std::vector<size_t> sizes() { return {sizeof(A)...}; }
};
#define ENTRY(f) \
    { \
#f, Call<decltype(&f), &f>::call, Call<decltype(&f), &f>::sizes() \
    }
#define ENTRIES_FOR_TYPES(f) ENTRY(f##_f16), ENTRY(f##_f32), ENTRY(f##_f64)
