// The work of the first pass on chunks of rows: how values spread, rounding, class sums, the exact Gram matrix.
//
// Every result is an integer, whose sum no order changes, or an f64 whose operations stand here in the order in which the
// CPU performs them, none of them fused. So a device gives the bits that the CPU gives.
//
// Rows come in the order of their classes: `rows` lists row indices into the features `x`, and a place in that list is
// called a position. NVRTC compiles this file to PTX, and a C++ compiler compiles it for the emulator.
#include "device.h"

// ---------------------------------------------------------------------------------------------------------------------
// The spread of a chunk. A lane has a dimension, and lanes with no dimension only take part in barriers.

// Squares of differences of doubles leave the range of f64, so these are divided by a power of two first.
DEVICE double scaled(double x, const double* factors, u32 j) { return mul_rn(x, factors[j]); }
DEVICE double scaled(float x, const double*, u32) { return widen(x); }
DEVICE double scaled(half_bits x, const double*, u32) { return widen(x); }

#define MAGNITUDE_ROWS 512 // rows of a block

// The largest |x| of each dimension, which is 0 before. Magnitudes are ordered as their bits are.
template <class T> DEVICE void magnitudes(const T* x, u32 count, u32 dim, u64* largest) {
    u32 j = blockIdx.y * 32 + threadIdx.x;
    if (j >= dim) return;
    u32 first = blockIdx.x * MAGNITUDE_ROWS;
    u32 end = first + MAGNITUDE_ROWS < count ? first + MAGNITUDE_ROWS : count;
    double most = 0.0;
    for (u32 row = first + threadIdx.y; row < end; row += blockDim.y) {
        double size = magnitude(widen(x[(u64)row * dim + j]));
        most = size > most ? size : most;
    }
    atomic_max(&largest[j], bits_of(most));
}

// 2^-⌈log2 |x|⌉ of the largest |x|, its exponent between -1022 and 1022; 1 where all values are 0.
KERNEL void factors(const double* largest, u32 dim, double* out) {
    u32 j = blockIdx.x * blockDim.x + threadIdx.x;
    if (j >= dim) return;
    double x = largest[j];
    // A subnormal number has no exponent of its own: multiplied by 2^54 it is normal.
    bool is_subnormal = x < 2.2250738585072014e-308;
    u64 bits = bits_of(is_subnormal ? mul_rn(x, 18014398509481984.0) : x);
    int exponent = (int)(bits >> 52) - (is_subnormal ? 1023 + 54 : 1023) + ((bits & 0xfffffffffffffull) != 0);
    exponent = exponent < -1022 ? -1022 : exponent > 1022 ? 1022 : exponent;
    out[j] = double_of((u64)(1023 - (x > 0.0 ? exponent : 0)) << 52);
}

// For each class and dimension (Σ δ)² / n, with δ the difference from the first row of the class, in the order of rows.
template <class T>
DEVICE void class_squares(const T* x, const u32* rows, const u32* starts, u32 classes, u32 dim, const double* factors,
                          double* out) {
    u32 j = blockIdx.y * 32 + threadIdx.x;
    u32 k = blockIdx.x * blockDim.y + threadIdx.y;
    if (j >= dim || k >= classes) return;
    u32 begin = starts[k], end = starts[k + 1];
    double origin = scaled(x[(u64)rows[begin] * dim + j], factors, j);
    double sum = 0.0;
    u32 p = begin;
    // Eight loads are under way at a time; the additions stay in order.
    for (; p + 8 <= end; p += 8) {
        double v[8];
        UNROLL for (int u = 0; u < 8; ++u) v[u] = scaled(x[(u64)rows[p + u] * dim + j], factors, j);
        UNROLL for (int u = 0; u < 8; ++u) sum = add_rn(sum, add_rn(v[u], -origin));
    }
    for (; p < end; ++p) sum = add_rn(sum, add_rn(scaled(x[(u64)rows[p] * dim + j], factors, j), -origin));
    out[(u64)k * dim + j] = mul_rn(sum, mul_rn(sum, div_rn(1.0, (double)(end - begin))));
}

#define CHAIN_ROWS 64 // positions whose squares all warps make, and the first warp adds one after the other
#define CHAIN_WARPS 8

// Σ δ² in the order of rows, the largest |δ|, how many δ are not 0, and the largest |x|; each D, one after the other.
template <class T>
DEVICE void totals(const T* x, const u32* rows, const u32* classes, const u32* starts, u32 count, u32 dim,
                   const double* factors, double* out) {
    SHARED(double, tile, 2 * CHAIN_ROWS * 32);
    u32 lane = threadIdx.x, warp = threadIdx.y, j = blockIdx.x * 32 + lane;
    bool is_mine = j < dim;
    double most = 0.0, far = 0.0, sum = 0.0;
    u32 differ = 0;
    u32 tiles = (count + CHAIN_ROWS - 1) / CHAIN_ROWS;
    for (u32 step = 0; step <= tiles; ++step) {
        if (step < tiles) {
            for (u32 u = 0; u < CHAIN_ROWS / CHAIN_WARPS; ++u) {
                u32 r = warp * (CHAIN_ROWS / CHAIN_WARPS) + u, p = step * CHAIN_ROWS + r;
                double square = 0.0;
                if (is_mine && p < count) {
                    T value = x[(u64)rows[p] * dim + j], origin = x[(u64)rows[starts[classes[p]]] * dim + j];
                    double delta = add_rn(scaled(value, factors, j), -scaled(origin, factors, j));
                    double size = magnitude(widen(value)), distance = magnitude(delta);
                    most = size > most ? size : most;
                    far = distance > far ? distance : far;
                    differ += delta != 0.0;
                    square = mul_rn(delta, delta);
                }
                tile[((step & 1) * CHAIN_ROWS + r) * 32 + lane] = square;
            }
        }
        // Positions past the last add +0 to a sum that is never −0, which changes no bit.
        if (warp == 0 && step > 0) {
            const double* from = tile + ((step - 1) & 1) * CHAIN_ROWS * 32 + lane;
            for (u32 r = 0; r < CHAIN_ROWS; ++r) sum = add_rn(sum, from[r * 32]);
        }
        block_sync();
    }
    tile[warp * 32 + lane] = most;
    tile[(CHAIN_WARPS + warp) * 32 + lane] = far;
    tile[(2 * CHAIN_WARPS + warp) * 32 + lane] = (double)differ;
    block_sync();
    if (warp == 0 && is_mine) {
        double hits = 0.0;
        for (u32 w = 0; w < CHAIN_WARPS; ++w) {
            double size = tile[w * 32 + lane], distance = tile[(CHAIN_WARPS + w) * 32 + lane];
            most = size > most ? size : most;
            far = distance > far ? distance : far;
            hits = add_rn(hits, tile[(2 * CHAIN_WARPS + w) * 32 + lane]);
        }
        out[j] = sum;
        out[(u64)dim + j] = far;
        out[2 * (u64)dim + j] = hits;
        out[3 * (u64)dim + j] = most;
    }
}

// Σ δ² becomes the standard deviation within classes: what belongs to the class means is subtracted, class after class.
KERNEL void sigma(const double* class_squares, u32 classes, u32 dim, double freedom, double* squares) {
    u32 j = blockIdx.x * blockDim.x + threadIdx.x;
    if (j >= dim) return;
    double left = squares[j];
    u32 k = 0;
    for (; k + 8 <= classes; k += 8) {
        double v[8];
        UNROLL for (int u = 0; u < 8; ++u) v[u] = class_squares[(u64)(k + u) * dim + j];
        UNROLL for (int u = 0; u < 8; ++u) left = add_rn(left, -v[u]);
    }
    for (; k < classes; ++k) left = add_rn(left, -class_squares[(u64)k * dim + j]);
    squares[j] = left > 0.0 ? sqrt_rn(div_rn(left, freedom)) : 0.0;
}

// ---------------------------------------------------------------------------------------------------------------------
// Rounding: q = round_ties_even(x / g), δ = q − c / g.

#define MAGIC 6755399441055744.0     // 1.5 · 2^52: added and subtracted again, it rounds to an integer
#define RESIDUAL_MAGIC 6442450944.0  // 1.5 · 2^32: added, it leaves a multiple of 2^-20 in the low bits
#define SHORT_LIMIT 2097152.0        // 2^21
#define NO_SLOT 0xffffffffu
#define LEFTS 25 // how many different `left` there are

DEVICE double rounded(double steps) { return add_rn(add_rn(steps, MAGIC), -MAGIC); }
DEVICE double delta_of(double q, double shift, double inverse) { return add_rn(q, -mul_rn(shift, inverse)); }

// Marks rows with some |δ| ≥ 2^21, which are left to the CPU. A warp has a position.
template <class T>
DEVICE void long_rows(const T* x, const u32* rows, const u32* slots, u32 count, u32 dim, const double* inverse,
                      const double* shifts, u8* is_long) {
    u32 p = blockIdx.x * blockDim.y + threadIdx.y;
    if (p >= count) return;
    const T* row = x + (u64)rows[p] * dim;
    const double* shift = shifts + (u64)slots[p] * dim;
    bool is_beyond = false;
    for (u32 j = threadIdx.x; j < dim; j += 32) {
        double delta = delta_of(rounded(mul_rn(widen(row[j]), inverse[j])), shift[j], inverse[j]);
        is_beyond |= !(magnitude(delta) < SHORT_LIMIT);
    }
    is_beyond = warp_any(is_beyond);
    if (threadIdx.x == 0) is_long[p] = is_beyond;
}

#define ROUND_ROWS 128 // positions of a block
#define WARP_ROWS 16   // positions of a warp, all of whose sums fit 64 bits
#define ROUND_PITCH (ROUND_ROWS + 16)

// Adds short rows to the sums of their slots, and writes the digits of δ for the Gram matrix if `padded_rows` is not 0.
//
// The sums of a slot are Σ δ 2^left, D; Σ residual 2^left, D; and for each band of exponents 128 bits, low word first:
// band b holds Σ δ² 4^(w mod 6) of the dimensions with w / 6 = b. `weights` are w, the exponent of the chunk less the
// finest one of the sums. `changed` is D × LEFTS. `planes` is 3 digits × padded D × padded positions.
template <class T>
DEVICE void round_rows(const T* x, const u32* rows, const u32* slots, const u8* is_long, u32 count, u32 dim,
                       const double* inverse, const double* shifts, const u32* left, const u32* weights, u32 bands,
                       u64* sums, u64* changed, u32 padded_dim, u32 padded_rows, s8* planes) {
    SHARED(s8, digits, 3 * 32 * ROUND_PITCH);
    SHARED(u32, changes, 32);
    u32 lane = threadIdx.x, warp = threadIdx.y, j = blockIdx.y * 32 + lane;
    bool is_mine = j < dim;
    double inv = is_mine ? inverse[j] : 0.0;
    u32 weight = is_mine ? weights[j] : 0, band = weight / 6, moved = is_mine ? left[j] : 0;
    u32 present = warp_or(is_mine ? 1u << band : 0);
    if (warp == 0) changes[lane] = 0;
    block_sync();
    u32 first = blockIdx.x * ROUND_ROWS + warp * WARP_ROWS, differ = 0;
    u32 slot = NO_SLOT;
    s64 sum = 0, low = 0;
    u64 square = 0;
    for (u32 u = 0; u <= WARP_ROWS; ++u) {
        u32 p = first + u;
        bool is_row = u < WARP_ROWS && p < count;
        u32 next = is_row ? slots[p] : NO_SLOT;
        // All lanes of a warp have the same slot.
        if (next != slot) {
            if (slot != NO_SLOT) {
                u64* of_slot = sums + (u64)slot * (2 * dim + 2 * bands);
                if (is_mine && sum) atomic_add(&of_slot[j], (u64)sum << moved);
                if (is_mine && low) atomic_add(&of_slot[dim + j], (u64)low << moved);
                for (u32 b = 0; b < bands; ++b) {
                    if (!(present >> b & 1)) continue;
                    u64 total = warp_sum(band == b ? square : 0);
                    if (lane == 0 && total) add_wide(&of_slot[2 * dim + 2 * b], total);
                }
            }
            slot = next, sum = 0, low = 0, square = 0;
        }
        if (u == WARP_ROWS) break;
        int delta = 0;
        if (is_row && is_mine && !is_long[p]) {
            double steps = mul_rn(widen(x[(u64)rows[p] * dim + j]), inv), q = rounded(steps);
            delta = (int)delta_of(q, shifts[(u64)slot * dim + j], inv);
            differ += q != steps;
            low += (s64)(bits_of(add_rn(add_rn(steps, -q), RESIDUAL_MAGIC)) - bits_of(RESIDUAL_MAGIC));
        }
        sum += delta;
        square += (u64)((s64)delta * delta) << 2 * (weight % 6);
        // δ = d0 + 2^8 d1 + 2^16 d2, each digit between −128 and 127.
        int d0 = (s8)delta, rest = (delta - d0) >> 8, d1 = (s8)rest, d2 = (rest - d1) >> 8;
        s8* at = digits + lane * ROUND_PITCH + warp * WARP_ROWS + u;
        at[0] = (s8)d0, at[32 * ROUND_PITCH] = (s8)d1, at[2 * 32 * ROUND_PITCH] = (s8)d2;
    }
    if (differ) atomic_add(&changes[lane], differ);
    block_sync();
    // 16 bytes a thread.
    for (u32 at = warp * 32 + lane; at < 3 * 32 * (ROUND_ROWS / 16); at += 256) {
        u32 part = at % (ROUND_ROWS / 16), line = at / (ROUND_ROWS / 16), digit = line / 32;
        u32 p = blockIdx.x * ROUND_ROWS + part * 16, d = blockIdx.y * 32 + line % 32;
        if (d < padded_dim && p < padded_rows)
            copy16(planes + ((u64)digit * padded_dim + d) * padded_rows + p, digits + line * ROUND_PITCH + part * 16);
    }
    if (warp == 0 && is_mine && changes[lane]) atomic_add(&changed[(u64)j * LEFTS + moved], (u64)changes[lane]);
}

// ---------------------------------------------------------------------------------------------------------------------
// The exact Gram matrix on tensor cores for integers.

#define TILE 64       // dimensions of a side of a block's tile
#define DEPTH 64      // positions of a stage
#define STAGES 2
#define PITCH (DEPTH + 16) // of a line in shared memory, so that the loads of a warp fall on different banks
#define STAGE_BYTES (2 * 3 * TILE * PITCH)

// G += δᵀ δ over `span` positions a block, on and below the diagonal, by columns of `padded_dim` entries.
//
// Products of digits are summed in 32 bits, those of the same power of 2^8 together: a row adds at most 2^15, so there is
// room for 2^16 − 1 rows.
KERNEL void gram(const s8* planes, u32 dim, u32 padded_dim, u32 padded_rows, u32 span, u64* out) {
    DYNAMIC_SHARED(s8, stage);
    // The n-th tile of the lower triangle: row ti, column tj ≤ ti.
    u32 ti = 0, n = blockIdx.x;
    while (n > ti) n -= ++ti;
    u32 tj = n;
    u32 thread = threadIdx.x, warp = thread / 32, lane = thread % 32, group = lane / 4, member = lane % 4;
    u32 begin = blockIdx.y * span, end = begin + span < padded_rows ? begin + span : padded_rows;
    u32 steps = (end - begin) / DEPTH;
    u32 wi = (warp / 2) * 32, wj = (warp % 2) * 32;

    int acc[5][2][4][4] = {};
    for (u32 step = 0; step < steps + STAGES - 1; ++step) {
        if (step < steps) {
            s8* to = stage + (step % STAGES) * STAGE_BYTES;
            // 2 sides × 3 digits × 64 dimensions × 4 pieces of 16 bytes.
            for (u32 at = thread; at < 2 * 3 * TILE * (DEPTH / 16); at += 128) {
                u32 part = at % (DEPTH / 16), line = at / (DEPTH / 16);
                u32 d = line % TILE, digit = line / TILE % 3, side = line / (3 * TILE);
                u64 dimension = (u64)digit * padded_dim + (side ? tj : ti) * TILE + d;
                copy_async16(to + line * PITCH + part * 16, planes + dimension * padded_rows + begin + step * DEPTH + part * 16);
            }
        }
        copy_commit();
        if (step + 1 < STAGES) continue;
        copy_wait<STAGES - 1>();
        block_sync();
        const s8* from = stage + ((step + 1 - STAGES) % STAGES) * STAGE_BYTES;
        UNROLL for (u32 depth = 0; depth < DEPTH; depth += 32) {
            u32 a[3][2][4];
            UNROLL for (int digit = 0; digit < 3; ++digit)
                UNROLL for (int m = 0; m < 2; ++m)
                    UNROLL for (int r = 0; r < 4; ++r) {
                        u32 line = digit * TILE + wi + m * 16 + group + (r & 1) * 8;
                        a[digit][m][r] = load32(from + line * PITCH + depth + member * 4 + (r >> 1) * 16);
                    }
            UNROLL for (int c = 0; c < 4; ++c) {
                u32 b[3][2];
                UNROLL for (int digit = 0; digit < 3; ++digit)
                    UNROLL for (int r = 0; r < 2; ++r) {
                        u32 line = (3 + digit) * TILE + wj + c * 8 + group;
                        b[digit][r] = load32(from + line * PITCH + depth + member * 4 + r * 16);
                    }
                UNROLL for (int m = 0; m < 2; ++m)
                    UNROLL for (int p = 0; p < 3; ++p)
                        UNROLL for (int q = 0; q < 3; ++q) mma_s8(acc[p + q][m][c], a[p][m], b[q]);
            }
        }
        block_sync();
    }
    UNROLL for (int m = 0; m < 2; ++m)
        UNROLL for (int c = 0; c < 4; ++c)
            UNROLL for (int r = 0; r < 4; ++r) {
                u32 i = ti * TILE + wi + m * 16 + group + (r >> 1) * 8, j = tj * TILE + wj + c * 8 + member * 2 + (r & 1);
                s64 value = 0;
                UNROLL for (int s = 4; s >= 0; --s) value = value * 256 + acc[s][m][c][r];
                if (i < dim && i >= j && value) atomic_add(&out[(u64)j * padded_dim + i], (u64)value);
            }
}

// Q += G · 2^(left_i + left_j) in 128 bits, the lower triangle by columns, and G becomes 0. `found` gets the sums of the
// rows of G, modulo 2^32. A block has 128 rows of a column.
KERNEL void fold(u64* gram, u32 dim, u32 padded_dim, const u32* left, u64* q, u32* found) {
    u32 j = blockIdx.x, i = blockIdx.y * blockDim.x + threadIdx.x;
    bool is_mine = i >= j && i < dim;
    u32 low_word = 0;
    if (is_mine) {
        u64* entry = &gram[(u64)j * padded_dim + i];
        s64 value = (s64)*entry;
        *entry = 0;
        low_word = (u32)value;
        u32 bits = left[i] + left[j]; // below 64
        u64 low = (u64)value << bits, high = bits ? (u64)(value >> (64 - bits)) : (u64)(value >> 63);
        u64* at = &q[2 * ((u64)j * dim - (u64)j * (j - (j > 0)) / 2 + (i - j))];
        u64 sum = at[0] + low;
        at[1] += high + (sum < low);
        at[0] = sum;
        atomic_add(&found[i], low_word);
    }
    // Only the lower triangle is there: the rest of a row stands in its column.
    u32 below = (u32)warp_sum(i > j ? low_word : 0);
    if (threadIdx.x % 32 == 0 && below) atomic_add(&found[j], below);
}

DEVICE u32 delta_at(const s8* planes, u32 padded_dim, u32 padded_rows, u32 j, u32 p) {
    const s8* at = planes + (u64)j * padded_rows + p;
    u64 plane = (u64)padded_dim * padded_rows;
    return (u32)(at[0] + at[plane] * 256 + at[2 * plane] * 65536);
}

// δ · 1 of each position, modulo 2^32.
KERNEL void row_sums(const s8* planes, u32 dim, u32 padded_dim, u32 padded_rows, u32* out) {
    u32 p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= padded_rows) return;
    u32 sum = 0;
    for (u32 j = 0; j < dim; ++j) sum += delta_at(planes, padded_dim, padded_rows, j, p);
    out[p] = sum;
}

// Compares the sums of the rows of G with Σ δ (δ · 1), modulo 2^32, and marks a difference. A warp has a dimension.
KERNEL void guard(const s8* planes, u32 dim, u32 padded_dim, u32 padded_rows, const u32* row_sums, const u32* found,
                  u32* is_wrong) {
    u32 j = blockIdx.x * blockDim.y + threadIdx.y;
    if (j >= dim) return;
    u32 sum = 0;
    for (u32 p = threadIdx.x; p < padded_rows; p += 32) sum += delta_at(planes, padded_dim, padded_rows, j, p) * row_sums[p];
    sum = (u32)warp_sum(sum);
    if (threadIdx.x == 0 && sum != found[j]) atomic_add(is_wrong, 1u);
}

// ---------------------------------------------------------------------------------------------------------------------
// The entries for each type in which features are stored.
#define FOR_TYPE(T, name)                                                                                                  \
    KERNEL void magnitudes_##name(const T* x, u32 count, u32 dim, u64* largest) { magnitudes<T>(x, count, dim, largest); }  \
    KERNEL void class_squares_##name(const T* x, const u32* rows, const u32* starts, u32 classes, u32 dim,                  \
                                     const double* factors, double* out) {                                                 \
        class_squares<T>(x, rows, starts, classes, dim, factors, out);                                                     \
    }                                                                                                                      \
    KERNEL void totals_##name(const T* x, const u32* rows, const u32* classes, const u32* starts, u32 count, u32 dim,       \
                              const double* factors, double* out) {                                                        \
        totals<T>(x, rows, classes, starts, count, dim, factors, out);                                                     \
    }                                                                                                                      \
    KERNEL void long_rows_##name(const T* x, const u32* rows, const u32* slots, u32 count, u32 dim, const double* inverse,  \
                                 const double* shifts, u8* is_long) {                                                      \
        long_rows<T>(x, rows, slots, count, dim, inverse, shifts, is_long);                                                \
    }                                                                                                                      \
    KERNEL void round_rows_##name(const T* x, const u32* rows, const u32* slots, const u8* is_long, u32 count, u32 dim,     \
                                  const double* inverse, const double* shifts, const u32* left, const u32* weights,        \
                                  u32 bands, u64* sums, u64* changed, u32 padded_dim, u32 padded_rows, s8* planes) {        \
        round_rows<T>(x, rows, slots, is_long, count, dim, inverse, shifts, left, weights, bands, sums, changed,           \
                      padded_dim, padded_rows, planes);                                                                    \
    }
FOR_TYPE(half_bits, f16)
FOR_TYPE(float, f32)
FOR_TYPE(double, f64)
