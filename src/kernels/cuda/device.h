// What a device has and C++ has not. NVRTC compiles the kernels with this header alone; for the emulator, a C++ compiler
// takes everything below the types from "emulated.h".
#pragma once
typedef unsigned char u8;
typedef signed char s8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;
struct half_bits {
    u16 bits;
};

#ifdef NCKIT_EMULATED
#include "emulated.h"
#else
#define KERNEL extern "C" __global__
#define DEVICE static __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#define SHARED(T, name, length) __shared__ __align__(16) T name[length]
#define DYNAMIC_SHARED(T, name) extern __shared__ __align__(16) T name[]
// Operations on doubles that no compiler fuses or reorders.
DEVICE double add_rn(double a, double b) { return __dadd_rn(a, b); }
DEVICE double mul_rn(double a, double b) { return __dmul_rn(a, b); }
DEVICE double div_rn(double a, double b) { return __ddiv_rn(a, b); }
DEVICE double sqrt_rn(double a) { return __dsqrt_rn(a); }
DEVICE float float_of(u32 bits) { return __uint_as_float(bits); }
DEVICE u32 bits_of(float x) { return __float_as_uint(x); }
DEVICE double double_of(u64 bits) { return __longlong_as_double((s64)bits); }
DEVICE u64 bits_of(double x) { return (u64)__double_as_longlong(x); }
DEVICE void block_sync() { __syncthreads(); }
DEVICE bool warp_any(bool x) { return __any_sync(0xffffffffu, x); }
DEVICE u32 warp_or(u32 x) { return __reduce_or_sync(0xffffffffu, x); }
DEVICE u64 warp_sum(u64 x) {
    for (int d = 16; d; d /= 2) x += __shfl_xor_sync(0xffffffffu, x, d);
    return x;
}
DEVICE u64 atomic_add(u64* at, u64 x) { return atomicAdd(at, x); }
DEVICE u32 atomic_add(u32* at, u32 x) { return atomicAdd(at, x); }
DEVICE void atomic_max(u64* at, u64 x) { atomicMax(at, x); }
DEVICE void copy16(void* to, const void* from) { *(uint4*)to = *(const uint4*)from; }
DEVICE u32 load32(const void* from) { return *(const u32*)from; }
// Copies from global to shared memory that go on while the thread works: `copy_wait<N>` waits for all of its groups of
// copies but the last N.
DEVICE void copy_async16(void* to, const void* from) {
    u32 address = (u32)__cvta_generic_to_shared(to);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address), "l"(from) : "memory");
}
DEVICE void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> DEVICE void copy_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }
// d += a · b by the 32 lanes of a warp: a is 16 × 32, b is 32 × 8, of int8.
DEVICE void mma_s8(int (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif

DEVICE double widen(double x) { return x; }
DEVICE double widen(float x) { return (double)x; }
// Shifted to their places in an f32, exponent and significand are off by 2^-112, those of subnormals too.
DEVICE double widen(half_bits x) {
    u32 bits = x.bits;
    float magnitude = float_of((bits & 0x7fff) << 13) * float_of((112 + 127) << 23);
    return (double)float_of(bits_of(magnitude) | (bits & 0x8000) << 16);
}
DEVICE double magnitude(double x) { return double_of(bits_of(x) & 0x7fffffffffffffffull); }

// Adds to 128 bits, low word first. Whoever passes 2^64 carries, in any order.
DEVICE void add_wide(u64* at, u64 x) {
    u64 before = atomic_add(&at[0], x);
    if (before + x < before) atomic_add(&at[1], (u64)1);
}
