// Nothing but products on tensor cores: what the Gram matrix is measured beside.
#include "device.h"

// `count` times 8 products of 16 × 32 by 32 × 8 integers of 8 bits a warp. The sums go to `out`, one a thread, so that no
// product can be left out.
KERNEL void products(u32 count, int* out) {
    u32 thread = blockIdx.x * blockDim.x + threadIdx.x;
    u32 a[4] = {thread, thread * 3, thread * 5, thread * 7}, b[2] = {thread * 11, thread * 13};
    int acc[8][4] = {};
    for (u32 n = 0; n < count; ++n) {
        UNROLL for (int c = 0; c < 8; ++c) mma_s8(acc[c], a, b);
    }
    int sum = 0;
    UNROLL for (int c = 0; c < 8; ++c)
        UNROLL for (int r = 0; r < 4; ++r) sum ^= acc[c][r];
    out[thread] = sum;
}
