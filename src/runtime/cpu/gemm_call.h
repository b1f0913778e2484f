#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>
#include <vector>

#include "runtime/cpu/call_epilogue.h"
#include "runtime/cpu/gemm_driver.h"
#include "runtime/cpu/pack.h"
#include "runtime/cpu/scratch.h"
#include "runtime/cpu/sum_value.h"
#include "runtime/cpu/thread_grid.h"
#include "runtime/cpu/tile_places.h"
#include "util/thread_pool.h"

namespace gemmsmith {

inline constexpr std::int64_t kLine = 64;  // Bytes of a cache line.
// Of a B in place: what one core keeps on the way from memory, and some.
inline constexpr std::int64_t kBytesAhead = 12288;

inline constexpr std::int64_t kSlabRows = 8;  // Of B, packed together: a multiple of every group.
// Of rows: for more of them a panel of B is worth copying.
inline constexpr std::int64_t kFewTiles = 16;
// For so many more of them, any panel is that L1 does not hold; for fewer, if its rows lie whole pages apart. Bytes.
inline constexpr std::int64_t kManyTiles = 256, kManyTilesOfPages = 128, kFarPanel = 32 << 10;

// Of dot products: more rows of A are copied, lest they share few sets of L1, if so many columns of B pay for it.
inline constexpr std::int64_t kRowsInPlace = 4, kColumnsOfCopy = 256;

// Below it, waking a thread costs more than the thread does. In multiply-adds.
inline constexpr double kWorthWaking = 1e6;

inline ThreadPool::Lease AcquireThreads(const CpuGemmParams& p, int threads) {
  const double work = static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k * p.batch);
  const auto asleep = work < kWorthWaking * threads ? ThreadPool::Asleep::kPass : ThreadPool::Asleep::kWake;
  return ThreadPool::Instance().Acquire(threads, asleep);
}

/// One product on the CPU: the loops around the micro-kernels, and the memory that they need. The parameters and
/// kernels must outlive it.
class GemmCall {
 public:
  GemmCall(const MicroKernelSet& kernels, const CpuGemmParams& params)
      : kernels_(kernels),
        p_(params),
        math_(Info(params.math)),
        a_size_(static_cast<std::int64_t>(SizeOf(params.a_type))),
        b_size_(static_cast<std::int64_t>(SizeOf(params.b_type))),
        d_size_(static_cast<std::int64_t>(SizeOf(params.d_type))),
        sum_size_(static_cast<std::int64_t>(SizeOf(math_.sum))),
        unit_(math_.unit_bytes),
        form_{params.nr, params.math},
        alpha_(math_.sum, params.alpha, params.alpha_pointer),
        beta_(math_.sum, params.beta, params.beta_pointer),
        one_(math_.sum, 1) {
    // A sum of nothing is 0 whatever alpha is, and of the sign that leaves the sign of beta * C alone.
    if (p_.k == 0) alpha_ = SumValue(math_.sum, beta_.is_zero() ? 0.0 : -0.0);
    keeps_sums_ = p_.sums_apart && p_.k > p_.kc && p_.path != CpuPath::kSweep;
    if (p_.has_epilogue) epilogue_ = CallEpilogue(p_, reinterpret_cast<const CpuFusedParams&>(p_));
  }

  void Run() {
    if (p_.threads <= 1 && NeedsNoMemory()) return RunInPlace({}, {0, p_.batch}, {0, p_.m}, {0, p_.n});
    RunThreads();
  }
  bool NeedsNoMemory() const {
    return p_.path == CpuPath::kDirect && !keeps_sums_ && epilogue_.maxima() == 0 && !CopiesPanels();
  }
  /// Notes the calls of micro-kernels instead of making them, in a part for each thread; `ends`: of the parts. They
  /// point into this object. REQUIRES: NeedsNoMemory(), no epilogue.
  void Record(std::vector<SmallGemm::TileCall>& calls, std::vector<std::size_t>& ends) {
    noted_ = &calls;
    grid_ = ChooseGrid(p_, std::max(1, p_.threads));
    for (int index = 0; index < grid_.threads(); ++index) {
      const Share share = ShareOf(index);
      RunInPlace({}, share.batches, share.rows, share.columns);
      ends.push_back(calls.size());
    }
    noted_ = nullptr;
  }

 private:
  /// One thread's memory, and its view of the packed path.
  struct Workplace {
    std::byte* a = nullptr;       ///< (mc / mr, kc, mr) units.
    std::byte* b_copy = nullptr;  ///< (nc, kc): columns for dot products.
    std::byte* panel = nullptr;   ///< Of a B in place: (kc, nr), as it is packed.
    std::byte* sums = nullptr;    ///< (rows, nc).
    float* maxima = nullptr;      ///< As many as there are in all.
    std::byte* b[2] = {};         ///< Panels; two where a group shares them.
    Barrier* barrier = nullptr;
    int m_index = 0;
  };

  void RunThreads() {
    ThreadPool::Lease lease = AcquireThreads(p_, p_.threads);
    grid_ = ChooseGrid(p_, lease.threads());
    Reserve(Scratch::OfThisThread());
    auto task = [this](int index) { RunPart(index); };
    lease.Run(grid_.threads(), task, !PacksTogether());
    if (epilogue_.maxima() > 0)
      epilogue_.MergeMaxima(MaximaOf(0), own_bytes_ / std::int64_t{sizeof(float)}, grid_.threads());
  }

  /// Sets the block sizes and the memory.
  void Reserve(Scratch& scratch) {
    const std::int64_t rows = DivideUp(DivideUp(p_.m, p_.mr), grid_.m_parts) * p_.mr;
    const std::int64_t columns = DivideUp(DivideUp(p_.n, p_.nr), grid_.n_parts) * p_.nr;
    const PackSide flipped = p_.flips_a ? PackSide::kAFlipped : PackSide::kA;
    pack_a_ = FindPackPanel(p_.a_type, p_.math, p_.path == CpuPath::kDots ? PackSide::kAOfDots : flipped);
    pack_b_ = FindPackPanel(p_.b_type, p_.math, PackSide::kB);
    kc_ = p_.kc, nc_ = std::min<std::int64_t>(p_.nc, columns);
    if (p_.path == CpuPath::kPacked) {
      kc_ = BalancedBlock(p_.k, p_.kc, kKGranule);
      // D comes and goes tile by tile where that is as good for memory, and tiles take long enough for their lines to
      // come; else from end to end, a strip as high as one tile after the other.
      const bool in_strips = p_.flat && !(TilesOwnLines() && Units(p_.k) >= kStepsOfD);
      mc_ = in_strips ? p_.mr : BalancedBlock(rows, p_.mc, p_.mr);
      copies_ = 2;
      keeps_a_ = rows * Units(p_.k) * unit_ <= kKeptCopyOfA;
      // Panels are packed one by one, and multiplied before they leave L2, if reading all of A for each is cheap.
      const bool narrow = PacksAlone() && !in_strips && rows * Units(p_.k) * unit_ <= kStreamedCopyOfA;
      nc_ = narrow ? p_.nr : BalancedBlock(columns, p_.nc, p_.nr);
      a_bytes_ = RoundUp(keeps_a_ ? rows * Units(RoundUp(p_.k, kc_)) * unit_ : mc_ * Units(kc_) * unit_, kPage);
      b_bytes_ = p_.packed_b ? 0 : RoundUp(nc_ / p_.nr * form_.panel_bytes(kc_), kPage);
    } else if (CopiesA()) {
      a_bytes_ = p_.path == CpuPath::kDots ? DivideUp(p_.k, p_.kc) * rows * DotRowBytes(p_.kc)
                                           : RoundUp(rows * Units(RoundUp(p_.k, p_.kc)) * unit_, kLine);
    }
    if (p_.path == CpuPath::kSweep) sums_bytes_ = RoundUp(p_.m * SweptRowBytes(), kPage);
    if (keeps_sums_) sums_bytes_ = RoundUp(rows * std::min(nc_, columns) * sum_size_, kPage);
    if (CopiesPanels() || p_.keeps_b())
      panel_bytes_ = RoundUp(form_.panel_bytes(std::min<std::int64_t>(p_.kc, p_.k)), kPage);
    if (CopiesB()) b_copy_bytes_ = RoundUp(std::min<std::int64_t>(p_.nc, columns) * p_.kc * unit_, kLine);
    own_bytes_ = a_bytes_ + b_copy_bytes_ + panel_bytes_ + sums_bytes_ +
                 RoundUp(epilogue_.maxima() * std::int64_t{sizeof(float)}, kPage);
    memory_ = scratch.Memory(static_cast<std::size_t>(grid_.threads() * own_bytes_ + PlacesOfB() * copies_ * b_bytes_));
    if (PacksTogether()) barriers_ = scratch.Barriers(grid_.groups());
  }

  /// Of the sums of a sweep. Rows that lie a power of 2 apart would share few sets of L1.
  std::int64_t SweptRowBytes() const { return RoundUp(nc_, kSweepColumns) * sum_size_ + kLine; }
  bool PacksTogether() const { return gemmsmith::PacksTogether(p_, grid_); }
  /// Whether each thread packs the blocks of B that it multiplies, and no others.
  bool PacksAlone() const { return p_.path == CpuPath::kPacked && !p_.packed_b && !PacksTogether(); }
  int PlacesOfB() const { return PacksTogether() ? grid_.groups() : grid_.threads(); }
  /// Whether the whole of A is copied before B is read in place.
  bool CopiesA() const {
    if (p_.path != CpuPath::kDots || p_.a_col != 1) return p_.path == CpuPath::kStream || p_.path == CpuPath::kDots;
    return !CopiesB() && (p_.m > p_.mr || (p_.m > kRowsInPlace && p_.n >= kColumnsOfCopy));
  }
  /// Whether the few columns of B are copied, to be contiguous.
  bool CopiesB() const { return p_.path == CpuPath::kDots && p_.b_row != 1; }

  /// Whether each panel of B is copied before tiles of rows read it: always; or in place rows begin inside lines, two
  /// for every vector; or L2 has to bring them again and again, which it does faster from end to end.
  bool CopiesPanels() const {
    if (p_.path == CpuPath::kPanels) return true;
    const bool in_place = p_.path == CpuPath::kDirect || p_.path == CpuPath::kStream;
    if (!in_place || p_.packed_b || math_.group != 1 || p_.m <= kFewTiles * p_.mr || p_.k < kLine) return false;
    const std::int64_t many = p_.b_row * b_size_ % kPage == 0 ? kManyTilesOfPages : kManyTiles;
    if (p_.m > many * p_.mr && std::min<std::int64_t>(p_.kc, p_.k) * p_.nr * unit_ >= kFarPanel) return true;
    return ((reinterpret_cast<std::uintptr_t>(p_.b) | static_cast<std::uintptr_t>(p_.b_row * b_size_)) % kLine) != 0;
  }

  /// Whether rows of a tile of D are several lines, and share none with the next tile.
  bool TilesOwnLines() const {
    const std::int64_t row = p_.d_row * d_size_, tile = p_.nr / p_.columns_per_d * d_size_;
    return tile > kLine &&
           (reinterpret_cast<std::uintptr_t>(p_.d) | static_cast<std::uintptr_t>(row | tile)) % kLine == 0;
  }

  float* MaximaOf(int thread) const {
    const std::int64_t before = a_bytes_ + b_copy_bytes_ + panel_bytes_ + sums_bytes_;
    return reinterpret_cast<float*>(memory_ + thread * own_bytes_ + before);
  }

  /// What one thread computes.
  struct Share {
    int m_index, group;
    Range batches, rows, columns;
  };
  Share ShareOf(int index) const {
    const int m_index = index % grid_.m_parts, group = index / grid_.m_parts;
    const int n_index = group % grid_.n_parts, batch_index = group / grid_.n_parts;
    return {m_index, group, Part(p_.batch, 1, grid_.batch_parts, batch_index),
            Part(p_.m, p_.mr, grid_.m_parts, m_index), Part(p_.n, p_.nr, grid_.n_parts, n_index)};
  }

  void RunPart(int index) const {
    const auto [m_index, group, batches, rows, columns] = ShareOf(index);
    std::byte* const own = memory_ + index * own_bytes_;
    std::byte* const b =
        memory_ + grid_.threads() * own_bytes_ + (PacksTogether() ? group : index) * copies_ * b_bytes_;
    Workplace place;
    place.a = own;
    place.b_copy = place.a + a_bytes_;
    place.panel = place.b_copy + b_copy_bytes_;
    place.sums = place.panel + panel_bytes_;
    place.maxima = MaximaOf(index);
    place.b[0] = b;
    place.b[1] = b + (copies_ - 1) * b_bytes_;
    if (PacksTogether()) place.barrier = barriers_ + group;
    place.m_index = m_index;
    if (epilogue_.maxima() > 0) std::fill_n(place.maxima, epilogue_.maxima(), 0.0f);
    if (p_.path == CpuPath::kPacked)
      RunPacked(place, batches, rows, columns);
    else if (p_.path == CpuPath::kSweep)
      RunSweeps(place, batches, rows, columns);
    else
      RunInPlace(place, batches, rows, columns);
  }

  /// Reads B where it is, and A too or a copy of it.
  void RunInPlace(const Workplace& place, Range batches, Range rows, Range columns) const {
    if (rows.size() == 0 || columns.size() == 0) return;  // More threads than tiles.
    const bool dots = p_.path == CpuPath::kDots, copies = CopiesA();
    MicroKernelArgs args = CommonArgs();
    args.a_row = p_.a_row * a_size_;
    args.a_col = p_.a_col * a_size_ * math_.group;
    args.b_step = p_.packed_b ? p_.nr * unit_ : (dots ? p_.b_col : p_.b_row * math_.group) * b_size_;
    if (copies && !dots) {
      args.a_row = unit_;
      args.a_col = p_.mr * unit_;
    }
    for (std::int64_t batch = batches.begin; batch < batches.end; ++batch) {
      if (copies) CopyA(place.a, batch, rows);
      for (std::int64_t jc = columns.begin; jc < columns.end; jc += p_.nc) {
        const Range block{jc, std::min<std::int64_t>(jc + p_.nc, columns.end)};
        std::int64_t pc = 0;
        do {  // Once for k = 0.
          const std::int64_t k = std::min<std::int64_t>(p_.kc, p_.k - pc);
          args.k = dots ? k : Units(k);
          if (copies && dots) args.a_row = DotRowBytes(k);
          const std::byte* const a =
              copies ? CopyOfA(place.a, rows, pc) : A(batch) + (rows.begin * p_.a_row + pc * p_.a_col) * a_size_;
          const std::int64_t a_tile = p_.mr * (copies && !dots ? args.k * unit_ : args.a_row);
          const TileSource b = InPlaceB(place, batch, block, columns, {pc, pc + k});
          if (CopiesB()) args.b_step = k * b_size_;
          RunTiles(args, place, batch, pc, pc + k == p_.k, rows, block, {a, a_tile}, b);
          pc += p_.kc;
        } while (pc < p_.k);
      }
    }
  }

  /// Reads B where it is, in rows as long as the sums' cache allows. Then each tile of D is made of its sums.
  void RunSweeps(const Workplace& place, Range batches, Range rows, Range columns) const {
    if (rows.size() == 0 || columns.size() == 0) return;  // More threads than tiles.
    MicroKernelArgs args = CommonArgs();
    const std::int64_t sums_row = SweptRowBytes();
    for (std::int64_t batch = batches.begin; batch < batches.end; ++batch) {
      for (std::int64_t jc = columns.begin; jc < columns.end; jc += nc_) {
        const Range block{jc, std::min(jc + nc_, columns.end)};
        args.a = A(batch) + rows.begin * p_.a_row * a_size_;
        args.a_row = p_.a_row * a_size_;
        args.b = BlockOfB(batch, block, {0, p_.k});
        args.b_step = p_.b_row * b_size_;
        args.d = place.sums;
        args.d_row = sums_row;
        args.k = Units(p_.k);
        args.columns = std::min(block.end, p_.n) - block.begin;
        std::memset(place.sums, 0, static_cast<std::size_t>(rows.size() * sums_row));
        kernels_.sweep(&args);
        args.a_row = sums_row;
        RunTiles(args, place, batch, 0, true, rows, block,
                 {place.sums, p_.mr * sums_row, nullptr, false, p_.nr * sum_size_}, {place.sums, 0});
      }
    }
  }

  /// The tiles of B in place, of a packed B, or of a copy that is made here.
  TileSource InPlaceB(const Workplace& place, std::int64_t batch, Range block, Range columns, Range k) const {
    if (CopiesB()) {
      const std::byte* const from = B(batch) + (k.begin * p_.b_row + block.begin * p_.b_col) * b_size_;
      pack_b_(from, p_.b_row, p_.b_col, k.size(), k.size(), block.size(), place.b_copy, nullptr);
      return {place.b_copy, p_.nr * k.size() * b_size_};
    }
    TileSource b = p_.packed_b ? PackedB(batch, block.begin, k.begin) : UnpackedB(batch, block.begin, k.begin);
    const bool more = k.end < p_.k;
    const std::int64_t j = more ? block.begin : std::min(block.end, columns.end - 1);
    b.next = p_.packed_b ? PackedB(batch, j / p_.nr * p_.nr, more ? k.end : 0).first
                         : UnpackedB(batch, j, more ? k.end : 0).first;
    return b;
  }
  /// The copy of A from k = `pc` on.
  std::byte* CopyOfA(std::byte* copy, Range rows, std::int64_t pc) const {
    if (p_.path == CpuPath::kDots) return copy + pc / p_.kc * rows.size() * DotRowBytes(p_.kc);
    return copy + Units(pc) * RoundUp(rows.size(), p_.mr) * unit_;
  }
  /// From row to row of a copy of A for dot products: odd in lines, lest rows and columns share few sets of L1.
  std::int64_t DotRowBytes(std::int64_t k) const { return (DivideUp(k * a_size_, kLine) | 1) * kLine; }
  /// Block after block of k: tiles (mr, k), k contiguous, for dot products; (k, mr) else.
  void CopyA(std::byte* to, std::int64_t batch, Range rows) const {
    for (std::int64_t pc = 0; pc < p_.k; pc += p_.kc) {
      const Range k{pc, std::min<std::int64_t>(pc + p_.kc, p_.k)};
      if (p_.path == CpuPath::kDots)
        pack_a_(A(batch) + (rows.begin * p_.a_row + pc * p_.a_col) * a_size_, p_.a_col, p_.a_row, k.size(),
                DotRowBytes(k.size()) / a_size_, rows.size(), CopyOfA(to, rows, pc), nullptr);
      else
        PackA(CopyOfA(to, rows, pc), batch, rows, k);
    }
  }

  /// A block of B: columns of it, and a slice of k.
  struct Block {
    std::int64_t batch = 0;
    Range columns{0, 0}, k{0, 0};
  };

  /// The block of B that comes after this one. It is packed piece by piece between the micro-kernels of this one, which
  /// bring the lines of later pieces nearer: so neither memory nor the multiplier waits for the other.
  class Coming {
   public:
    /// `calls` of micro-kernels, over `steps` of k each, are there to do it in.
    Coming(const GemmCall& call, const Block& block, std::byte* packed, std::int64_t calls, std::int64_t steps)
        : call_(call), block_(block), packed_(packed), calls_(std::max<std::int64_t>(calls, 1)) {
      const CpuGemmParams& p = call.p_;
      along_k_ = p.b_col == 1;
      piece_of_k_ = along_k_ ? kPieceRows : p.fetch * kLine / call.b_size_;
      pieces_of_panel_ = std::max<std::int64_t>(1, DivideUp(block.k.size(), piece_of_k_));
      pieces_ = DivideUp(block.columns.size(), p.nr) * pieces_of_panel_;
      rows_of_call_ = DivideUp(steps, p.fetch_every);
      calls_ahead_ = DivideUp(along_k_ ? kPieceRows : p.nr, std::max<std::int64_t>(rows_of_call_, 1));
    }

    void BringNearer(MicroKernelArgs& args) {
      if (brought_ >= PiecesAfter(done_ + 1 + calls_ahead_)) return;
      const auto [columns, k] = PieceAt(brought_);
      args.ahead_step = (along_k_ ? call_.p_.b_row : call_.p_.b_col) * call_.b_size_;
      args.ahead = call_.BlockOfB(block_.batch, columns, k) + row_ * args.ahead_step;
      const std::int64_t rows = std::max<std::int64_t>(1, (along_k_ ? k : columns).size());
      for (row_ += rows_of_call_; row_ >= rows;)  // On into the next piece, if that follows along k.
        row_ = ++brought_ % pieces_of_panel_ == 0 || !along_k_ ? 0 : row_ - rows;
    }
    void Advance() {
      for (const std::int64_t due = PiecesAfter(++done_); packed_pieces_ < due; ++packed_pieces_) {
        const auto [columns, k] = PieceAt(packed_pieces_);
        call_.PackPanelOfB(packed_, block_, columns, k);
      }
    }

   private:
    struct Piece {
      Range columns, k;
    };
    std::int64_t PiecesAfter(std::int64_t calls) const { return std::min(pieces_, DivideUp(pieces_ * calls, calls_)); }
    Piece PieceAt(std::int64_t index) const {
      const std::int64_t j = block_.columns.begin + index / pieces_of_panel_ * call_.p_.nr;
      const std::int64_t k = block_.k.begin + index % pieces_of_panel_ * piece_of_k_;
      return {{j, std::min<std::int64_t>(j + call_.p_.nr, block_.columns.end)},
              {k, std::min<std::int64_t>(k + piece_of_k_, block_.k.end)}};
    }

    const GemmCall& call_;
    const Block block_;
    std::byte* const packed_;
    const std::int64_t calls_;
    bool along_k_;  // Rows of B, of columns or of slices, lie along k.
    std::int64_t piece_of_k_, pieces_of_panel_, pieces_, rows_of_call_, calls_ahead_;
    std::int64_t done_ = 0, brought_ = 0, row_ = 0, packed_pieces_ = 0;
  };

  /// The block after `block`, in the order in which they are multiplied; empty after the last one.
  Block BlockAfter(Block block, Range batches, Range columns) const {
    if (block.k.end < p_.k) {
      block.k = {block.k.end, std::min(block.k.end + kc_, p_.k)};
      return block;
    }
    block.k = {0, std::min(kc_, p_.k)};
    std::int64_t j = block.columns.end;
    if (j >= columns.end) j = columns.begin, ++block.batch;
    if (block.batch >= batches.end) return {};
    block.columns = {j, std::min(j + nc_, columns.end)};
    return block;
  }

  void RunPacked(const Workplace& place, Range batches, Range rows, Range columns) const {
    MicroKernelArgs args = CommonArgs();
    args.a_row = unit_;
    args.a_col = p_.mr * unit_;
    args.b_step = p_.nr * unit_;
    const bool a_stays = keeps_a_ || (rows.size() <= mc_ && p_.k <= kc_);  // One copy of A serves all columns.
    const bool alone = PacksAlone(), together = PacksTogether();
    int step = 0;
    Block block{batches.begin, {columns.begin, std::min(columns.begin + nc_, columns.end)}, {0, std::min(kc_, p_.k)}};
    if (block.columns.size() == 0 || batches.size() == 0) return;
    if (alone) PackB(place.b[0], block, 0);
    for (;;) {
      const Block next = BlockAfter(block, batches, columns);
      args.k = Units(block.k.size());
      // Whoever passes the barrier of a step has left the step before: its copy of B may be written again.
      std::byte* const packed_b = place.b[step++ % 2];
      if (together) {
        PackB(packed_b, block, place.m_index);
        place.barrier->Wait(static_cast<std::uint32_t>(grid_.m_parts));
      }
      const TileSource b = p_.packed_b ? PackedB(block.batch, block.columns.begin, block.k.begin)
                                       : Panels(packed_b, form_.panel_bytes(block.k.size()), true);
      const std::int64_t calls = DivideUp(rows.size(), p_.mr) * DivideUp(block.columns.size(), p_.nr);
      Coming coming(*this, next, place.b[step % 2], calls, args.k);
      for (std::int64_t ic = rows.begin; ic < rows.end; ic += mc_) {
        const Range strip{ic, std::min(ic + mc_, rows.end)};
        const std::int64_t done_rows =
            keeps_a_ ? RoundUp(rows.size(), p_.mr) * Units(block.k.begin) + (ic - rows.begin) * args.k : 0;
        std::byte* const a = place.a + done_rows * unit_;
        if (!a_stays || block.columns.begin == columns.begin) PackA(a, block.batch, strip, block.k);
        Workplace strip_place = place;
        strip_place.sums += (ic - rows.begin) * nc_ * sum_size_;
        RunTiles(args, strip_place, block.batch, block.k.begin, block.k.end == p_.k, strip, block.columns,
                 {a, p_.mr * args.k * unit_}, b, alone ? &coming : nullptr);
      }
      if (next.columns.size() == 0) return;
      block = next;
    }
  }

  void PackA(std::byte* to, std::int64_t batch, Range rows, Range k) const {
    const std::byte* const from = A(batch) + k.begin * p_.a_col * a_size_;
    for (std::int64_t i = rows.begin; i < rows.end; i += p_.mr, to += p_.mr * Units(k.size()) * unit_)
      pack_a_(from + i * p_.a_row * a_size_, p_.a_row, p_.a_col, std::min<std::int64_t>(p_.mr, rows.end - i), p_.mr,
              k.size(), to, nullptr);
  }

  const std::byte* BlockOfB(std::int64_t batch, Range columns, Range k) const {
    return B(batch) + (k.begin * p_.b_row + columns.begin * p_.b_col) * b_size_;
  }
  /// Slices `k` of one panel of the block. The first of them clear what the sums of columns are added to.
  void PackPanelOfB(std::byte* to, const Block& block, Range columns, Range k) const {
    const std::int64_t sums_bytes = SumsRowBytes();
    std::byte* const panel = to + (columns.begin - block.columns.begin) / p_.nr * form_.panel_bytes(block.k.size());
    if (p_.flips_a && k.begin == block.k.begin) std::memset(panel, 0, sums_bytes);
    pack_b_(BlockOfB(block.batch, columns, k), p_.b_col, p_.b_row, columns.size(), p_.nr, k.size(),
            panel + sums_bytes + Units(k.begin - block.k.begin) * p_.nr * unit_,
            p_.flips_a ? reinterpret_cast<std::int32_t*>(panel) : nullptr);
  }
  /// This thread's share of the panels. Rows of B go by few at a time, from end to end, as the hardware follows them.
  void PackB(std::byte* to, const Block& block, int m_index) const {
    const Range share =
        PacksTogether() ? Part(block.columns.size(), p_.nr, grid_.m_parts, m_index) : Range{0, block.columns.size()};
    const std::int64_t slab = p_.b_col == 1 ? kSlabRows : std::max(block.k.size(), kSlabRows);
    std::int64_t p = block.k.begin;
    do {  // Once for k = 0.
      for (std::int64_t j = block.columns.begin + share.begin; j < block.columns.begin + share.end; j += p_.nr)
        PackPanelOfB(to, block, {j, std::min<std::int64_t>(j + p_.nr, block.columns.end)},
                     {p, std::min(p + slab, block.k.end)});
      p += slab;
    } while (p < block.k.end);
  }

  /// All tiles of D in rows x columns, for the slices of A and B from k = `pc` on that `args` and the sources name;
  /// `last`: no more slices follow.
  void RunTiles(MicroKernelArgs& args, const Workplace& place, std::int64_t batch, std::int64_t pc, bool last,
                Range rows, Range columns, TileSource a, TileSource b, Coming* coming = nullptr) const {
    if (rows.size() == 0) return;  // More threads than tiles.
    const bool first = pc == 0;
    args.beta = first ? beta_.data() : one_.data();
    args.c_is_sum = first ? 0 : 1;
    args.d_is_sum = last || !keeps_sums_ ? 0 : 1;
    const Place sums{place.sums, nc_ * sum_size_, sum_size_, rows.begin, columns.begin};
    const Place whole_d{D(batch), p_.d_row * d_size_, d_size_, 0, 0, p_.columns_per_d};
    const Place d = args.d_is_sum != 0 ? sums : whole_d;
    const Place c = !first ? (keeps_sums_ ? sums : whole_d) : Place{C(batch), p_.c_row * d_size_, d_size_, 0, 0};
    args.c_row = c.row_bytes;
    args.d_row = d.row_bytes;
    const std::byte* panel = b.first;
    CpuEpilogue epilogue;
    if (p_.has_epilogue) {
      epilogue = epilogue_.Of(batch, place.maxima);
      args.epilogue = &epilogue;
    }
    const std::int64_t share_bytes = p_.path == CpuPath::kDots ? 0 : p_.fetch * kLine;
    const std::int64_t ahead = TilesAhead(args.k), b_step = args.b_step;
    const bool keeps = p_.keeps_b(), copies_panels = panel_bytes_ != 0 && !keeps;
    if (keeps) args.kept = place.panel + SumsRowBytes();
    std::int64_t left = DivideUp(columns.size(), p_.nr);
    for (std::int64_t j = columns.begin; j < columns.end; j += p_.nr, --left) {
      args.column = j;
      args.columns = std::min<std::int64_t>(p_.nr, p_.n - j);
      const bool whole = args.columns == p_.nr;
      const MicroKernel full = whole ? kernels_.full_full : kernels_.full_last;
      const MicroKernel tail = whole ? kernels_.last_full : kernels_.last_last;
      args.a = a.first;
      args.b = panel;
      args.b_step = b_step;
      args.start = StartsOf(args.b, b.starts);
      // Each tile of a column brings its share of the next column's B. Of lines that both have this one brought the
      // end.
      std::int64_t share = 0;
      const std::byte* const tile_ahead =
          ahead < left || b.next == nullptr ? panel + ahead * b.step : b.next + (ahead - left) * b.step;
      if (copies_panels) {
        pack_b_(panel, p_.b_col, p_.b_row, args.columns, p_.nr, args.k * math_.group, place.panel, nullptr);
        args.b = place.panel, args.b_step = p_.nr * unit_;
      }
      MicroKernel keeping = keeps ? (whole ? kernels_.keep_full : kernels_.keep_last) : nullptr;
      const std::byte* c_tile = c.At(rows.begin, j);
      std::byte* d_tile = d.At(rows.begin, j);
      for (std::int64_t i = rows.begin; i < rows.end; i += p_.mr) {
        args.row = i;
        args.c = std::exchange(c_tile, c_tile + p_.mr * c.row_bytes);
        args.d = std::exchange(d_tile, d_tile + p_.mr * d.row_bytes);
        args.ahead = share < p_.nr * unit_ ? tile_ahead + share + kLine - unit_ : panel;
        args.ahead_step = b_step;
        share += share_bytes;
        if (coming != nullptr) coming->BringNearer(args);
        const MicroKernel kernel = keeping != nullptr ? keeping : p_.m - i >= p_.mr ? full : tail;
        if (noted_ == nullptr) [[likely]]
          kernel(&args);
        else
          noted_->push_back({kernel, args});
        if (coming != nullptr) coming->Advance();
        if (std::exchange(keeping, nullptr) != nullptr) {
          args.b = args.kept, args.b_step = p_.nr * unit_;
          args.start = StartsOf(args.b, true);
        }
        args.a = Bytes(args.a) + a.step;
      }
      panel += b.step;
      a.first += a.column_step;
    }
    args.b_step = b_step;
  }

  /// How many tiles of B memory should be ahead, for tiles of `k` units.
  std::int64_t TilesAhead(std::int64_t k) const {
    if (p_.path == CpuPath::kDots) return 1;
    return std::clamp<std::int64_t>(kBytesAhead / (p_.nr * std::max<std::int64_t>(k, 1) * unit_), 1, 8);
  }

  MicroKernelArgs CommonArgs() const {
    MicroKernelArgs args{};
    args.alpha = alpha_.data();
    args.recipe = kernels_.recipe;
    return args;
  }
  std::int64_t Units(std::int64_t k) const {
    return math_.group == 1 ? k : math_.group == 2 ? (k + 1) >> 1 : (k + 3) >> 2;  // Divisions take long.
  }
  TileSource UnpackedB(std::int64_t batch, std::int64_t j, std::int64_t pc) const {
    return {B(batch) + (pc * p_.b_row + j * p_.b_col) * b_size_, p_.nr * p_.b_col * b_size_};
  }
  /// Of what precedes each panel.
  std::int64_t SumsRowBytes() const { return form_.has_sums() ? p_.nr * unit_ : 0; }
  /// Panels whose first row, where the form has it, says what sums start with.
  TileSource Panels(const std::byte* first, std::int64_t step, bool starts) const {
    return {first + SumsRowBytes(), step, nullptr, starts};
  }
  const std::int32_t* StartsOf(const void* panel, bool starts) const {
    return starts && p_.flips_a ? reinterpret_cast<const std::int32_t*>(Bytes(panel) - p_.nr * unit_) : nullptr;
  }
  /// `j` is a multiple of nr, or the parts of a packed B would start inside a panel.
  TileSource PackedB(std::int64_t batch, std::int64_t j, std::int64_t pc) const {
    const std::int64_t panel = form_.panel_bytes(p_.k);
    TileSource b = Panels(B(batch) + j / p_.nr * panel, panel, pc == 0);
    b.first += Units(pc) * p_.nr * unit_;
    return b;
  }
  const std::byte* A(std::int64_t batch) const { return Bytes(p_.a) + batch * p_.batch_a * a_size_; }
  const std::byte* B(std::int64_t batch) const { return Bytes(p_.b) + batch * p_.batch_b * b_size_; }
  const std::byte* C(std::int64_t batch) const { return Bytes(p_.c) + batch * p_.batch_c * d_size_; }
  const std::byte* D(std::int64_t batch) const { return Bytes(p_.d) + batch * p_.batch_d * d_size_; }

  static constexpr std::int64_t kPage = 4096;
  const MicroKernelSet& kernels_;
  const CpuGemmParams& p_;
  const CpuMathInfo& math_;
  const std::int64_t a_size_, b_size_, d_size_, sum_size_, unit_;  // Bytes.
  const PackedForm form_;
  SumValue alpha_, beta_;
  const SumValue one_;
  CallEpilogue epilogue_;

  // The same for all threads.
  bool keeps_sums_ = false, keeps_a_ = false;
  Grid grid_;
  PackPanel pack_a_ = nullptr, pack_b_ = nullptr;
  std::int64_t kc_ = 0, mc_ = 0, nc_ = 0;
  std::int64_t panel_bytes_ = 0, a_bytes_ = 0, b_bytes_ = 0, b_copy_bytes_ = 0, sums_bytes_ = 0, own_bytes_ = 0,
               copies_ = 1;
  std::byte* memory_ = nullptr;
  Barrier* barriers_ = nullptr;
  std::vector<SmallGemm::TileCall>* noted_ = nullptr;  ///< Set only while calls are recorded.
};

}  // namespace gemmsmith
