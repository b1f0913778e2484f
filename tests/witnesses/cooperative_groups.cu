// Cooperative groups: tiles, labelled and coalesced groups, copies, the grid, clusters.
#include <cooperative_groups.h>
#include <cooperative_groups/memcpy_async.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>

namespace cg = cooperative_groups;

// out, a word per thread each: sums of tiles of 8; largest of 32; inclusive sums of tiles of 16; or of those that agree
// in two bits; the rank within the odd ones.
extern "C" __global__ void tiles(const unsigned* in, unsigned* out) {
  const cg::thread_block block = cg::this_thread_block();
  const unsigned i = block.thread_rank(), n = block.size(), value = in[i];
  const auto eight = cg::tiled_partition<8>(block);
  const auto warp = cg::tiled_partition<32>(block);
  const auto half = cg::tiled_partition<16>(warp);
  out[i] = cg::reduce(eight, value, cg::plus<unsigned>());
  out[n + i] = cg::reduce(warp, value, cg::greater<unsigned>());
  out[2 * n + i] = cg::inclusive_scan(half, value);
  const auto alike = cg::labeled_partition(warp, value % 4);
  out[3 * n + i] = cg::reduce(alike, value, cg::bit_or<unsigned>());
  out[4 * n + i] = 0;
  if (value % 2 != 0) {
    const cg::coalesced_group odd = cg::coalesced_threads();
    out[4 * n + i] = odd.thread_rank() + 100 * odd.size() + 10000 * odd.shfl(i, 0);
  }
}

// out: in turned back to front in chunks of the block's size, by asynchronous copies.
extern "C" __global__ void block_copies(const unsigned* in, unsigned* out) {
  constexpr int kWords = 512;
  __shared__ alignas(16) unsigned stage[2][kWords];
  const cg::thread_block block = cg::this_thread_block();
  cg::memcpy_async(block, stage[0], in, sizeof stage[0]);
  for (int chunk = 0; chunk < 4; ++chunk) {
    if (chunk + 1 < 4) {
      cg::memcpy_async(block, stage[(chunk + 1) % 2], in + (chunk + 1) * kWords, sizeof stage[0]);
      cg::wait_prior<1>(block);
    } else {
      cg::wait(block);
    }
    for (int i = block.thread_rank(); i < kWords; i += block.size())
      out[chunk * kWords + i] = stage[chunk % 2][kWords - 1 - i];
    block.sync();
  }
}

// Four steps in each of which a thread reads what a thread of another CTA wrote: out[i] = in[i + 4 * 129 mod n] + 4.
extern "C" __global__ void grid_steps(const unsigned* in, unsigned* out) {
  const cg::grid_group grid = cg::this_grid();
  const unsigned n = grid.size(), i = grid.thread_rank();
  unsigned* const other = out + n;
  out[i] = in[i];
  grid.sync();
  for (int step = 0; step < 4; ++step) {
    const unsigned* const from = step % 2 == 0 ? out : other;
    unsigned* const to = step % 2 == 0 ? other : out;
    to[i] = from[(i + 129) % n] + 1;
    grid.sync();
  }
}

#if __CUDA_ARCH__ >= 900
// Each CTA of the cluster adds what all have in shared memory, at the places of its threads.
extern "C" __global__ void cluster_sums(const unsigned* in, unsigned* out) {
  __shared__ unsigned words[128];
  const cg::cluster_group cluster = cg::this_cluster();
  const unsigned i = threadIdx.x, place = blockIdx.x * blockDim.x + i;
  words[i] = in[place];
  cluster.sync();
  unsigned sum = 0;
  for (unsigned rank = 0; rank < cluster.num_blocks(); ++rank) sum += cluster.map_shared_rank(words, rank)[i];
  out[place] = sum * (1 + cluster.block_rank());
  cluster.sync();
}
#endif
