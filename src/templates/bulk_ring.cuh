#pragma once

#include "tile_walk.cuh"

// A ring of stages in shared memory, which one thread fills by bulk copies, tile of D after tile of D.

namespace gemmsmith {

/// A tile of A and one of B in each stage. full: the loads of all blocks of the cluster tell the consumers of this one.
/// empty: kConsumers arrivals, of those of all blocks, tell the loading thread of this one, as what it loads goes to
/// all.
template <class Config, int kConsumers>
class BulkRing {
 public:
  using TileA = BulkTile<BulkA<Config>>;
  using TileB = BulkTile<BulkB<Config>>;
  static_assert(int{TileA::kDepth} == int{TileB::kDepth}, "operands of one width");
  enum : int {
    kDepth = TileA::kDepth,
    kStageBytes = TileA::kBytes + TileB::kBytes,
    kBytes = Config::kStages * kStageBytes,
    kBarrierBytes = Config::kStages * 16
  };

  /// A stage, and the parity of the lap around the ring.
  struct Position {
    int stage = 0;
    unsigned parity = 0;

    __device__ __forceinline__ void Advance() {
      if (++stage < Config::kStages) return;
      stage = 0;
      parity ^= 1;
    }
  };

  /// `tiles`: kBytes, a multiple of 1024; `barriers`: kBarrierBytes.
  __device__ __forceinline__ BulkRing(unsigned tiles, unsigned barriers) : tiles_(tiles), full_(barriers) {}

  __device__ __forceinline__ void Init() const {
#pragma unroll 1
    for (int stage = 0; stage < Config::kStages; ++stage) {
      ptx::InitBarrier(full(stage), 1);
      ptx::InitBarrier(empty(stage), kConsumers);
    }
  }
  __device__ __forceinline__ unsigned a(int stage) const { return tiles_ + stage * kStageBytes; }
  __device__ __forceinline__ unsigned b(int stage) const { return a(stage) + TileA::kBytes; }
  __device__ __forceinline__ unsigned full(int stage) const { return full_ + stage * 16; }
  __device__ __forceinline__ unsigned empty(int stage) const { return full(stage) + 8; }

  /// What the loading thread does.
  __device__ __forceinline__ void Fill(const Sm90Params& params, unsigned rank) const {
    ptx::PrefetchMap(&params.map_a), ptx::PrefetchMap(&params.map_b);
    TileWalk<Config> walk(params, rank);
    Position at;
    typename TileWalk<Config>::Place place;
#pragma unroll 1
    while (walk.Next(place)) {
      const TileSteps steps = walk.Steps(place);
      const int entry = walk.Entry(place);
      const int of_a = params.batch_a != 0 ? entry : 0, of_b = params.batch_b != 0 ? entry : 0;
#pragma unroll 1
      for (int step = 0, k = steps.first_k; step < steps.count; ++step, k += kDepth, at.Advance()) {
        ptx::WaitFor(empty(at.stage), at.parity ^ 1);  // the first lap passes at once
        ptx::ArriveExpecting(full(at.stage), kStageBytes);
        TileA::Load(a(at.stage), &params.map_a, full(at.stage), place.row, k, of_a, rank);
        TileB::Load(b(at.stage), &params.map_b, full(at.stage), place.column, k, of_b, rank);
      }
    }
  }

 private:
  unsigned tiles_, full_;
};

}  // namespace gemmsmith
