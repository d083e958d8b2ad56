// What "device.h" takes from a device, for a C++ compiler. The threads of a block are fibers of one thread of the host.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstring>

namespace emulator {
struct Index {
    unsigned x, y, z;
};
extern thread_local Index block_index, block_size, grid_size;
Index thread_index();
// Stops the kernel, whose launch then fails.
void fail(const char* why);
// The shared memory of this block that a declaration stands for.
void* shared(const void* declaration, size_t bytes);
void* dynamic_shared();
void block_barrier();
// All lanes of a warp bring `mine`. The last one to arrive runs `work` on what the 32 of them have brought.
void warp_meets(const void* instruction, void* mine, void (*work)(void**));
void copy_later(void* to, const void* from);
void commit_copies();
void finish_copies(int but_latest);
inline void check_aligned(const void* at, size_t bytes) {
    if ((size_t)at % bytes) fail("an address is not aligned");
}
} // namespace emulator

#define threadIdx emulator::thread_index()
#define blockIdx emulator::block_index
#define blockDim emulator::block_size
#define gridDim emulator::grid_size
#define KERNEL static
#define DEVICE static inline
#define UNROLL
#define SHARED(T, name, length) \
    static char name##_declared; \
    T* name = (T*)emulator::shared(&name##_declared, sizeof(T) * (length))
#define DYNAMIC_SHARED(T, name) T* name = (T*)emulator::dynamic_shared()
DEVICE double add_rn(double a, double b) { return a + b; }
DEVICE double mul_rn(double a, double b) { return a * b; }
DEVICE double div_rn(double a, double b) { return a / b; }
DEVICE double sqrt_rn(double a) { return std::sqrt(a); }
template <class To, class From> DEVICE To same_bits(From from) {
    To to;
    static_assert(sizeof to == sizeof from, "");
    memcpy(&to, &from, sizeof to);
    return to;
}
DEVICE float float_of(u32 bits) { return same_bits<float>(bits); }
DEVICE u32 bits_of(float x) { return same_bits<u32>(x); }
DEVICE double double_of(u64 bits) { return same_bits<double>(bits); }
DEVICE u64 bits_of(double x) { return same_bits<u64>(x); }
DEVICE void block_sync() { emulator::block_barrier(); }
DEVICE u64 warp_sum(u64 x) {
    static char instruction;
    emulator::warp_meets(&instruction, &x, [](void** all) {
        u64 sum = 0;
        for (int lane = 0; lane < 32; ++lane) sum += *(u64*)all[lane];
        for (int lane = 0; lane < 32; ++lane) *(u64*)all[lane] = sum;
    });
    return x;
}
DEVICE u32 warp_or(u32 x) {
    static char instruction;
    emulator::warp_meets(&instruction, &x, [](void** all) {
        u32 bits = 0;
        for (int lane = 0; lane < 32; ++lane) bits |= *(u32*)all[lane];
        for (int lane = 0; lane < 32; ++lane) *(u32*)all[lane] = bits;
    });
    return x;
}
DEVICE bool warp_any(bool x) { return warp_or(x) != 0; }
DEVICE u64 atomic_add(u64* at, u64 x) {
    emulator::check_aligned(at, 8);
    return __atomic_fetch_add(at, x, __ATOMIC_RELAXED);
}
DEVICE u32 atomic_add(u32* at, u32 x) {
    emulator::check_aligned(at, 4);
    return __atomic_fetch_add(at, x, __ATOMIC_RELAXED);
}
DEVICE void atomic_max(u64* at, u64 x) {
    emulator::check_aligned(at, 8);
    if (*at < x) *at = x; // fibers do not interrupt each other
}
DEVICE void copy16(void* to, const void* from) {
    emulator::check_aligned(to, 16), emulator::check_aligned(from, 16);
    memcpy(to, from, 16);
}
DEVICE u32 load32(const void* from) {
    emulator::check_aligned(from, 4);
    u32 x;
    memcpy(&x, from, 4);
    return x;
}
DEVICE void copy_async16(void* to, const void* from) {
    emulator::check_aligned(to, 16), emulator::check_aligned(from, 16);
    emulator::copy_later(to, from);
}
DEVICE void copy_commit() { emulator::commit_copies(); }
template <int N> DEVICE void copy_wait() { emulator::finish_copies(N); }

struct Fragments {
    int* d;
    const u32 *a, *b;
};
// PTX ISA, "Matrix Fragments for mma.m16n8k32": a is 16 × 32 by rows, b is 32 × 8 by columns, d is 16 × 8.
DEVICE void mma_s8(int (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    static char instruction;
    Fragments mine = {d, a, b};
    emulator::warp_meets(&instruction, &mine, [](void** all) {
        // Columns of b stand as rows.
        short left[16][32], right[8][32];
        for (int lane = 0; lane < 32; ++lane) {
            const Fragments& f = *(Fragments*)all[lane];
            int group = lane >> 2, member = lane % 4;
            for (int r = 0; r < 4; ++r)
                for (int byte = 0; byte < 4; ++byte)
                    left[group + (r & 1) * 8][member * 4 + byte + (r >> 1) * 16] = (s8)(f.a[r] >> (8 * byte));
            for (int r = 0; r < 2; ++r)
                for (int byte = 0; byte < 4; ++byte) right[group][member * 4 + byte + r * 16] = (s8)(f.b[r] >> (8 * byte));
        }
        for (int lane = 0; lane < 32; ++lane) {
            const Fragments& f = *(Fragments*)all[lane];
            int group = lane >> 2, member = lane % 4;
            for (int r = 0; r < 4; ++r) {
                const short *row = left[group + (r >> 1) * 8], *column = right[member * 2 + (r & 1)];
                int sum = 0;
                for (int k = 0; k < 32; ++k) sum += row[k] * column[k];
                f.d[r] = (int)((unsigned)f.d[r] + (unsigned)sum); // it wraps, as on a device
            }
        }
    });
}
