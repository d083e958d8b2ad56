// Which candidates may have the largest score of a row: few of them, and never one too few.
//
// The score of a row is y · v + o: y is the row less the origin, v a candidate and o its offset. Three steps find the
// candidates that may have the largest, or the two largest:
//
// 1. Rows and candidates are rounded to integers of 16 bits, two digits of 8 bits each (`round_vectors`).
// 2. Tensor cores multiply them exactly. Of each row and each tile of 64 candidates the two largest scores are kept
//    (`tile_scores`).
// 3. Each of these, less a bound on its error, is a lower bound on the score of its candidate. Plus the bound, it is an
//    upper bound on all scores of the tile, or on all but the largest. So there is a score that the best candidate of the
//    row reaches at least, and most tiles lie below it. Where more candidates are left than places, their scores are
//    computed in f64 and bounded more closely (`select_candidates`).
//
// The bound. Let ŷ = u q, where u = max |y_j| / 32512 and q_j = y_j / u, rounded to an integer: |q_j| ≤ 32512 = 127 · 256.
// With q = 256 h + l, −127 ≤ h ≤ 127 and −128 ≤ l < 128, and the same for a candidate,
//
//     ŷ · v̂ = u u' (2^16 Σ h h' + 2^8 Σ (h l' + l h') + Σ l l').
//
// Each of the three sums is an integer below 2 · 127 · 128 · D, which is below 2^31 for D ≤ 2^16. All of them together are
// below 2^46. So only the last steps round: u u', times the integer, plus o. And since
//
//     y · v = ŷ · v̂ + (y − ŷ) · v + ŷ · (v − v̂),
//
// by Cauchy and Schwarz the products differ by at most ‖y − ŷ‖ ‖v‖ + ‖ŷ‖ ‖v − v̂‖. These norms are computed, not
// estimated: they are small where vectors lie near multiples of their u. Rounding adds the following, where ε is 2^-52.
//
// - y itself: ½ ε ‖y‖ ‖v‖, as for the CPU.
// - ‖y − ŷ‖: each y_j − u q_j is off by ½ ε |u q_j| and by ½ ε of itself. So `relative` ‖y‖ is added, and `relative` ‖v‖ to
//   ‖v − v̂‖. `relative` is the CPU's (D + 8) · 0.51 ε, at least 4.5 ε.
// - The score and its lower or upper bound: four roundings, each of ½ ε of at most ‖ŷ‖ ‖v̂‖ + |o|. So another `relative`
//   ‖y‖ ‖v‖ is added. For |o| the CPU's `slack` of a candidate has `relative` |o|, of which the offset itself takes D ε / 2.
// - Norms and the bound itself: sums of at most 2^16 terms that are not negative, off by less than 2^16 ε = 1.5e-11 of
//   themselves. So they are multiplied by 1 + 1e-9.
// - Numbers below the range of f64: a vector is 0 or has a number of at least 1e-100, so neither u nor u u' is one of them.
//   A square that is lost is below 2^-1022, and changes a norm by less than 1e-150: `relative` times a norm is far more.
//   Products that are lost in step 3 are in `slack`, as for the CPU.
// - Numbers beyond the range: vectors have none above 1e100. The host gives candidates with offsets above 1e200 to the CPU.
//
// A tile has one bound for all its candidates, from the largest norms and the largest `slack` among them. `slack` and `blur`
// are the CPU's: beside rounding, they hold what the errors of the vectors themselves add to a bound.
#include "device.h"

#define LOWEST -1.7976931348623157e308 // below every score, and above the offset -inf of what does not compete
#define LEAST_ROW 1e-100               // rows beyond these go to the CPU
#define LARGEST_ROW 1e100
#define GREATEST_INTEGER 32512.0
#define ROUND_UP 1.000000001
#define NOT_LISTED 0xffffffffu         // instead of a count: the CPU looks at this row
#define NEAR_MAGIC 6755399441055744.0  // 1.5 · 2^52: added and subtracted again, it rounds to an integer

// Sums and maxima over the lanes of a warp: all lanes get the same bits.
DEVICE double warp_total(double x) {
    for (u32 mask = 16; mask; mask /= 2) x += warp_other(x, mask);
    return x;
}
DEVICE double warp_most(double x) {
    for (u32 mask = 16; mask; mask /= 2) {
        double other = warp_other(x, mask);
        x = other > x ? other : x;
    }
    return x;
}

// The two largest of numbers.
struct Two {
    double first, second;
};
DEVICE void enter(Two& two, double x) {
    if (x > two.first) two.second = two.first, two.first = x;
    else if (x > two.second) two.second = x;
}

// ---------------------------------------------------------------------------------------------------------------------
// Rounding. A warp has a vector.

// Digits are int8, [high or low][vector][dimension], padded with zeros. `units` are u, −1 for a vector beyond the range;
// `lengths` are ‖y‖, and `rests` ‖y − ŷ‖, both rounded up.
KERNEL void round_vectors(const double* x, const double* origin, u32 count, u32 padded_count, u32 dim, u32 padded_dim,
                          double relative, s8* digits, double* units, double* lengths, double* rests) {
    u32 lane = threadIdx.x, vector = blockIdx.x * blockDim.y + threadIdx.y;
    if (vector >= padded_count) return;
    const double* at = x + (u64)vector * dim;
    double most = 0.0;
    if (vector < count)
        for (u32 j = lane; j < dim; j += 32) {
            double size = magnitude(add_rn(at[j], -origin[j]));
            most = size > most ? size : most;
        }
    most = warp_most(most);
    bool fits = most == 0.0 || (most >= LEAST_ROW && most <= LARGEST_ROW);
    bool rounds = fits && most > 0.0;
    double unit = rounds ? div_rn(most, GREATEST_INTEGER) : 0.0, inverse = rounds ? div_rn(GREATEST_INTEGER, most) : 0.0;
    double squares = 0.0, rest = 0.0;
    for (u32 j = 4 * lane; j < padded_dim; j += 128) {
        u32 high = 0, low = 0;
        for (u32 c = 0; c < 4 && rounds; ++c) {
            if (j + c >= dim) break;
            double y = add_rn(at[j + c], -origin[j + c]), q = add_rn(add_rn(mul_rn(y, inverse), NEAR_MAGIC), -NEAR_MAGIC);
            double left = add_rn(y, -mul_rn(unit, q));
            squares += y * y, rest += left * left;
            int l = (s8)(int)q, h = ((int)q - l) >> 8;
            high |= (u32)(u8)h << (8 * c), low |= (u32)(u8)l << (8 * c);
        }
        store32(digits + (u64)vector * padded_dim + j, high);
        store32(digits + ((u64)padded_count + vector) * padded_dim + j, low);
    }
    squares = warp_total(squares), rest = warp_total(rest);
    if (lane == 0) {
        double length = sqrt_rn(squares) * ROUND_UP;
        units[vector] = fits ? unit : -1.0;
        lengths[vector] = length;
        rests[vector] = sqrt_rn(rest) * ROUND_UP + relative * length;
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Scores of 64 rows with 64 candidates a block, of 32 with 32 a warp.

#define NEAR_TILE 64
#define NEAR_DEPTH 64 // dimensions a stage
#define NEAR_STAGES 2
#define NEAR_PITCH (NEAR_DEPTH + 16)
#define NEAR_STAGE_BYTES (2 * 2 * NEAR_TILE * NEAR_PITCH)
#define SCORE_PITCH (NEAR_TILE + 1)

// For each rule, row and tile, the largest score, which candidate of the tile has it, and the next largest score.
// `offsets` are rules × padded candidates: -inf in the padding, and for candidates that another one represents. The block's
// memory holds two stages of digits, and then a tile of scores and what each thread has found in it.
KERNEL void tile_scores(const s8* rows, u32 padded_rows, const s8* candidates, u32 padded_count, u32 padded_dim,
                        const double* row_units, const double* candidate_units, const double* offsets, u32 rules, double* best,
                        double* next, u32* which) {
    DYNAMIC_SHARED(s8, stage);
    u32 tile = blockIdx.x, tiles = gridDim.x, first_row = blockIdx.y * NEAR_TILE, first_candidate = tile * NEAR_TILE;
    u32 thread = threadIdx.x, warp = thread / 32, lane = thread % 32, group = lane / 4, member = lane % 4;
    u32 row_at = (warp / 2) * 32, candidate_at = (warp % 2) * 32;
    u32 steps = padded_dim / NEAR_DEPTH;
    int high[2][4][4] = {}, middle[2][4][4] = {}, low[2][4][4] = {};
    for (u32 step = 0; step < steps + NEAR_STAGES - 1; ++step) {
        if (step < steps) {
            s8* to = stage + (step % NEAR_STAGES) * NEAR_STAGE_BYTES;
            // Rows and candidates, two digits, 64 vectors, 4 pieces of 16 bytes.
            for (u32 at = thread; at < 2 * 2 * NEAR_TILE * (NEAR_DEPTH / 16); at += 128) {
                u32 piece = at % (NEAR_DEPTH / 16), line = at / (NEAR_DEPTH / 16), vector = line % NEAR_TILE;
                u32 digit = line / NEAR_TILE % 2, of_candidates = line / (2 * NEAR_TILE);
                u64 from = of_candidates ? (u64)digit * padded_count + first_candidate : (u64)digit * padded_rows + first_row;
                copy_async16(to + line * NEAR_PITCH + piece * 16, (of_candidates ? candidates : rows) +
                                                                      (from + vector) * padded_dim + step * NEAR_DEPTH +
                                                                      piece * 16);
            }
        }
        copy_commit();
        if (step + 1 < NEAR_STAGES) continue;
        copy_wait<NEAR_STAGES - 1>();
        block_sync();
        const s8* from = stage + ((step + 1 - NEAR_STAGES) % NEAR_STAGES) * NEAR_STAGE_BYTES;
        UNROLL for (u32 depth = 0; depth < NEAR_DEPTH; depth += 32) {
            u32 a[2][2][4];
            UNROLL for (int digit = 0; digit < 2; ++digit)
                UNROLL for (int m = 0; m < 2; ++m)
                    UNROLL for (int r = 0; r < 4; ++r)
                        a[digit][m][r] = load32(from + (digit * NEAR_TILE + row_at + m * 16 + group + (r & 1) * 8) * NEAR_PITCH +
                                                depth + member * 4 + (r >> 1) * 16);
            UNROLL for (int c = 0; c < 4; ++c) {
                u32 b[2][2];
                UNROLL for (int digit = 0; digit < 2; ++digit)
                    UNROLL for (int r = 0; r < 2; ++r)
                        b[digit][r] = load32(from + ((2 + digit) * NEAR_TILE + candidate_at + c * 8 + group) * NEAR_PITCH +
                                             depth + member * 4 + r * 16);
                UNROLL for (int m = 0; m < 2; ++m) {
                    mma_s8(high[m][c], a[0][m], b[0]);
                    mma_s8(middle[m][c], a[0][m], b[1]);
                    mma_s8(middle[m][c], a[1][m], b[0]);
                    mma_s8(low[m][c], a[1][m], b[1]);
                }
            }
        }
        block_sync();
    }
    double* scores = (double*)stage;
    double* found = scores + NEAR_TILE * SCORE_PITCH;
    u32* found_at = (u32*)(found + 2 * 128);
    for (u32 rule = 0; rule < rules; ++rule) {
        UNROLL for (int m = 0; m < 2; ++m)
            UNROLL for (int c = 0; c < 4; ++c)
                UNROLL for (int r = 0; r < 4; ++r) {
                    u32 i = row_at + m * 16 + group + (r >> 1) * 8, k = candidate_at + c * 8 + member * 2 + (r & 1);
                    s64 product = ((s64)high[m][c][r] * 256 + middle[m][c][r]) * 256 + low[m][c][r];
                    double units = mul_rn(row_units[first_row + i], candidate_units[first_candidate + k]);
                    double offset = offsets[(u64)rule * padded_count + first_candidate + k];
                    scores[i * SCORE_PITCH + k] = add_rn(mul_rn(units, (double)product), offset);
                }
        block_sync();
        // Two threads look at a row, at half of the tile each.
        u32 i = thread / 2, half = thread % 2 * (NEAR_TILE / 2), at = half;
        Two two = {LOWEST, LOWEST};
        for (u32 k = half; k < half + NEAR_TILE / 2; ++k) {
            double score = scores[i * SCORE_PITCH + k];
            at = score > two.first ? k : at;
            enter(two, score);
        }
        found[thread * 2] = two.first, found[thread * 2 + 1] = two.second, found_at[thread] = at;
        block_sync();
        if (half == 0) {
            at = found[thread * 2 + 2] > two.first ? found_at[thread + 1] : at;
            enter(two, found[thread * 2 + 2]), enter(two, found[thread * 2 + 3]);
            u64 entry = ((u64)rule * padded_rows + first_row + i) * tiles + tile;
            best[entry] = two.first, next[entry] = two.second, which[entry] = at;
        }
        // Nobody writes to `found` again before all have passed the first barrier of the next rule.
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The choice. A warp has a row under one rule.

#define SELECT_WARPS 4
#define KEPT 64 // candidates that a warp keeps while it looks for better ones

// Lists of at most `capacity` candidates, ascending, rows × rules × capacity; `counts` are their lengths, or NOT_LISTED.
// `tile_norms` and `tile_rests` are the largest ‖v‖ and ‖v − v̂‖ of tiles, `tile_slacks` (rules × tiles) the largest slack.
KERNEL void select_candidates(const double* x, const double* origin, u32 rows, u32 padded_rows, u32 dim,
                              const double* vectors, u32 padded_count, const double* norms, const double* offsets,
                              const double* slacks, const double* tile_norms, const double* tile_rests,
                              const double* tile_slacks, double relative, double blur, const double* units,
                              const double* lengths, const double* rests, const double* best, const double* next,
                              const u32* which, u32 places, u32 capacity, u32* counts, u32* lists) {
    SHARED(double, all_highest, SELECT_WARPS * KEPT);
    SHARED(u32, all_kept, SELECT_WARPS * KEPT);
    u32 lane = threadIdx.x, row = blockIdx.x * SELECT_WARPS + threadIdx.y, rule = blockIdx.y;
    if (row >= rows) return;
    u64 list = (u64)row * gridDim.y + rule;
    if (units[row] < 0.0) {
        if (lane == 0) counts[list] = NOT_LISTED;
        return;
    }
    u32 tiles = padded_count / NEAR_TILE;
    u64 first_entry = ((u64)rule * padded_rows + row) * tiles;
    offsets += (u64)rule * padded_count, slacks += (u64)rule * padded_count, tile_slacks += (u64)rule * tiles;
    double length = lengths[row], of_rest = rests[row] + relative * length, of_length = length + rests[row];
    auto error = [&](u32 tile) {
        return (of_rest * tile_norms[tile] + of_length * tile_rests[tile] + (tile_slacks[tile] + blur * length)) * ROUND_UP;
    };

    // The score that the best candidates, as many as there are places, reach at least.
    Two least = {LOWEST, LOWEST};
    for (u32 tile = lane; tile < tiles; tile += 32) {
        double off = error(tile);
        enter(least, best[first_entry + tile] - off), enter(least, next[first_entry + tile] - off);
    }
    for (u32 mask = 16; mask; mask /= 2) {
        Two other = {warp_other(least.first, mask), warp_other(least.second, mask)};
        enter(least, other.first), enter(least, other.second);
    }
    double threshold = places > 1 ? least.second : least.first;

    // How many tiles have one candidate above it, or more.
    u32 ones = 0, more = 0;
    for (u32 tile = lane; tile < tiles; tile += 32) {
        double off = error(tile);
        ones += best[first_entry + tile] > LOWEST && best[first_entry + tile] + off >= threshold;
        more += next[first_entry + tile] > LOWEST && next[first_entry + tile] + off >= threshold;
    }
    ones = (u32)warp_sum(ones), more = (u32)warp_sum(more);
    bool is_certain = more == 0 && ones <= places;

    double* highest = all_highest + threadIdx.y * KEPT;
    u32* kept = all_kept + threadIdx.y * KEPT;
    Two closer = {LOWEST, LOWEST};
    u32 count = 0;
    for (u32 base = 0; base < tiles && count <= KEPT; base += 32) {
        u32 mine = base + lane;
        double off = mine < tiles ? error(mine) : 0.0;
        bool one = mine < tiles && best[first_entry + mine] > LOWEST && best[first_entry + mine] + off >= threshold;
        bool whole = mine < tiles && next[first_entry + mine] > LOWEST && next[first_entry + mine] + off >= threshold;
        u32 with_one = warp_or((u32)one << lane), with_more = warp_or((u32)whole << lane);
        for (u32 at = 0; at < 32 && count <= KEPT; ++at) {
            if (!(with_one >> at & 1)) continue;
            u32 k = (base + at) * NEAR_TILE, end = k + NEAR_TILE;
            if (!(with_more >> at & 1)) k += which[first_entry + base + at], end = k + 1;
            for (; k < end && count <= KEPT; ++k) {
                if (offsets[k] < LOWEST) continue;
                double high = threshold;
                if (!is_certain) {
                    double sum = 0.0;
                    for (u32 j = lane; j < dim; j += 32) sum += (x[(u64)row * dim + j] - origin[j]) * vectors[(u64)k * dim + j];
                    double score = warp_total(sum) + offsets[k];
                    // As the CPU bounds it.
                    double off_by = relative * length * norms[k] + (slacks[k] + blur * length);
                    high = score + off_by;
                    enter(closer, score - off_by);
                    double closest = places > 1 ? closer.second : closer.first;
                    threshold = closest > threshold ? closest : threshold;
                }
                if (high < threshold) continue;
                if (count == KEPT) {
                    // Those that have fallen behind make room.
                    u32 left = 0;
                    if (lane == 0)
                        for (u32 n = 0; n < KEPT; ++n)
                            if (highest[n] >= threshold) highest[left] = highest[n], kept[left] = kept[n], ++left;
                    count = (u32)warp_sum(left);
                }
                if (lane == 0 && count < KEPT) highest[count] = high, kept[count] = k;
                ++count;
            }
        }
    }
    if (lane == 0) {
        u32 listed = count <= KEPT ? 0 : NOT_LISTED;
        for (u32 n = 0; n < count && listed != NOT_LISTED; ++n) {
            if (highest[n] < threshold) continue;
            if (listed == capacity) listed = NOT_LISTED;
            else lists[list * capacity + listed++] = kept[n];
        }
        counts[list] = listed;
    }
}
