#include "runtime/cpu/gemm_driver.h"

#include <algorithm>
#include <cstddef>

#include "runtime/cpu/pack.h"
#include "runtime/cpu/scratch.h"
#include "runtime/cpu/thread_pool.h"

namespace gemmsmith {
namespace {

constexpr std::int64_t kLine = 64;           // Bytes of a cache line.
constexpr std::int64_t kBytesAhead = 12288;  // Of a B in place: what one core keeps on the way from memory, and some.
constexpr std::int64_t kPanelAhead = 1024;   // Bytes of a panel of B that are fetched ahead.

// Below it, waking a thread costs more than the thread does. In multiply-adds.
constexpr double kWorthWaking = 1e6;

std::int64_t DivideUp(std::int64_t x, std::int64_t y) { return (x + y - 1) / y; }
std::int64_t RoundUp(std::int64_t x, std::int64_t granule) { return DivideUp(x, granule) * granule; }

struct Range {
  std::int64_t begin, end;
  std::int64_t size() const { return end - begin; }
};

/// Part `index` of [0, size) cut into `parts` of nearly equal numbers of granules.
Range Part(std::int64_t size, std::int64_t granule, int parts, int index) {
  const std::int64_t granules = DivideUp(size, granule);
  return {std::min(size, granules * index / parts * granule), std::min(size, granules * (index + 1) / parts * granule)};
}

/// The block length at most `limit` that cuts [0, size) into equal blocks, in whole granules.
std::int64_t BalancedBlock(std::int64_t size, std::int64_t limit, std::int64_t granule) {
  const std::int64_t blocks = std::max<std::int64_t>(1, DivideUp(size, std::max(limit, granule)));
  return std::max(granule, RoundUp(DivideUp(size, blocks), granule));
}

/// How threads share the work: by matrices of the batch, or by columns of D, then by rows. Threads that differ in their
/// rows only are a group: they pack a block of B together.
struct Grid {
  int batch_parts = 1, n_parts = 1, m_parts = 1;
  int groups() const { return batch_parts * n_parts; }
  int threads() const { return groups() * m_parts; }
};

Grid ChooseGrid(const CpuGemmParams& p, int threads) {
  if (p.batch >= threads) return {threads, 1, 1};
  // Per unit of k: products of the largest part, and what packing costs, in products.
  constexpr double kPackCost = 16;
  Grid best;
  double best_cost = 0;
  for (int n_parts = 1; n_parts <= threads; ++n_parts) {
    if (threads % n_parts != 0) continue;
    const int m_parts = threads / n_parts;
    const auto rows = static_cast<double>(DivideUp(DivideUp(p.m, p.mr), m_parts) * p.mr);
    const auto columns = static_cast<double>(DivideUp(DivideUp(p.n, p.nr), n_parts) * p.nr);
    const bool packs_b = p.path == CpuPath::kPacked && !p.packed_b;
    const double copies = p.path == CpuPath::kDirect ? 0 : rows + (packs_b ? columns / m_parts : 0);
    // What is read once comes from memory, and should by one thread alone.
    const bool streams = p.path == CpuPath::kStream || p.path == CpuPath::kDots;
    const double cost = rows * columns + kPackCost * (copies + (streams ? columns : 0));
    if (best_cost == 0 || cost < best_cost) {
      best = {1, n_parts, m_parts};
      best_cost = cost;
    }
  }
  return best;
}

/// Where the tiles of an operand are: the first one, and bytes from each to the next.
struct TileSource {
  const std::byte* first;
  std::int64_t step;
  bool is_panel;                    ///< Packed: a tile is contiguous.
  const std::byte* next = nullptr;  ///< Of B, not packed: the tile to be read after the last.
};

/// Into L2. Returns the line after the last.
inline const std::byte* PrefetchLines(const std::byte* from, std::int64_t lines) {
  for (; lines > 0; --lines, from += kLine) __builtin_prefetch(from, 0, 2);
  return from;
}

template <class T>
class Call {
 public:
  Call(const MicroKernelSet& kernels, const CpuGemmParams& params)
      : kernels_(kernels),
        p_(params),
        alpha_(params.alpha_pointer != nullptr ? *static_cast<const T*>(params.alpha_pointer)
                                               : static_cast<T>(params.alpha)),
        beta_(params.beta_pointer != nullptr ? *static_cast<const T*>(params.beta_pointer)
                                             : static_cast<T>(params.beta)) {}

  void Run() {
    if (p_.k == 0) return ScaleC();
    if (p_.threads <= 1 && p_.path == CpuPath::kDirect) return RunInPlace(nullptr, {0, p_.batch}, {0, p_.m}, {0, p_.n});
    RunThreads();
  }

 private:
  static constexpr std::int64_t kSize = sizeof(T);

  /// One thread's view of the packed path.
  struct Workplace {
    T* a;     ///< (mc / mr, kc, mr)
    T* b[2];  ///< (nc / nr, kc, nr); two where a group shares them.
    Barrier* barrier;
    int m_index;
  };

  /// A sum of nothing: D = beta * C.
  void ScaleC() const {
    for (std::int64_t batch = 0; batch < p_.batch; ++batch) {
      for (std::int64_t i = 0; i < p_.m; ++i) {
        T* const d = D(batch) + i * p_.d_row;
        const T* const c = C(batch) + i * p_.c_row;
        if (beta_ == 0)
          std::fill_n(d, p_.n, T(0));
        else
          for (std::int64_t j = 0; j < p_.n; ++j) d[j] = beta_ * c[j];
      }
    }
  }

  void RunThreads() {
    const double work = static_cast<double>(p_.m) * static_cast<double>(p_.n) * static_cast<double>(p_.k * p_.batch);
    const auto asleep = work < kWorthWaking * p_.threads ? ThreadPool::Asleep::kPass : ThreadPool::Asleep::kWake;
    ThreadPool::Lease lease = ThreadPool::Instance().Acquire(p_.threads, asleep);
    grid_ = ChooseGrid(p_, lease.threads());
    Scratch& scratch = Scratch::OfThisThread();
    if (p_.path == CpuPath::kPacked)
      Reserve(scratch);
    else if (CopiesA())
      ReserveA(scratch);
    barriers_ = grid_.m_parts > 1 ? scratch.Barriers(grid_.groups()) : nullptr;
    auto task = [this](int index) { RunPart(index); };
    lease.Run(grid_.threads(), task, p_.path != CpuPath::kPacked);
  }

  /// Sets the block sizes and the memory of the packed path.
  void Reserve(Scratch& scratch) {
    kc_ = BalancedBlock(p_.k, p_.kc, 4);
    mc_ = BalancedBlock(DivideUp(DivideUp(p_.m, p_.mr), grid_.m_parts) * p_.mr, p_.mc, p_.mr);
    nc_ = BalancedBlock(DivideUp(DivideUp(p_.n, p_.nr), grid_.n_parts) * p_.nr, p_.nc, p_.nr);
    copies_ = grid_.m_parts > 1 ? 2 : 1;
    constexpr std::int64_t kPage = 4096;
    a_bytes_ = RoundUp(mc_ * kc_ * kSize, kPage);
    b_bytes_ = p_.packed_b ? 0 : RoundUp(nc_ * kc_ * kSize, kPage);
    memory_ =
        scratch.Memory(static_cast<std::size_t>(grid_.threads() * a_bytes_ + grid_.groups() * copies_ * b_bytes_));
  }

  /// Whether the whole of A is copied before B is read in place.
  bool CopiesA() const {
    return p_.path == CpuPath::kStream || (p_.path == CpuPath::kDots && (p_.a_col != 1 || p_.m > p_.mr));
  }
  void ReserveA(Scratch& scratch) {
    a_bytes_ = RoundUp(RoundUp(p_.m, p_.mr) * p_.k * kSize, kLine);
    memory_ = scratch.Memory(static_cast<std::size_t>(grid_.threads() * a_bytes_));
  }

  void RunPart(int index) const {
    const int m_index = index % grid_.m_parts, group = index / grid_.m_parts;
    const int n_index = group % grid_.n_parts, batch_index = group / grid_.n_parts;
    const Range batches = Part(p_.batch, 1, grid_.batch_parts, batch_index);
    const Range rows = Part(p_.m, p_.mr, grid_.m_parts, m_index), columns = Part(p_.n, p_.nr, grid_.n_parts, n_index);
    if (p_.path != CpuPath::kPacked)
      return RunInPlace(reinterpret_cast<T*>(memory_ + index * a_bytes_), batches, rows, columns);
    std::byte* const b = memory_ + grid_.threads() * a_bytes_ + group * copies_ * b_bytes_;
    const Workplace place{reinterpret_cast<T*>(memory_ + index * a_bytes_),
                          {reinterpret_cast<T*>(b), reinterpret_cast<T*>(b + (copies_ - 1) * b_bytes_)},
                          barriers_ + group,
                          m_index};
    RunPacked(place, batches, rows, columns);
  }

  /// Reads B where it is, and A too or a copy of it in `copy`.
  void RunInPlace(T* copy, Range batches, Range rows, Range columns) const {
    if (rows.size() == 0 || columns.size() == 0) return;  // More threads than tiles.
    const bool dots = p_.path == CpuPath::kDots, copies = CopiesA();
    MicroKernelArgs args = CommonArgs();
    args.a_row = p_.a_row * kSize;
    args.a_col = p_.a_col * kSize;
    args.b_step = (p_.packed_b ? p_.nr : dots ? p_.b_col : p_.b_row) * kSize;
    if (copies && !dots) {
      args.a_row = kSize;
      args.a_col = p_.mr * kSize;
    }
    for (std::int64_t batch = batches.begin; batch < batches.end; ++batch) {
      if (copies) CopyA(copy, batch, rows);
      for (std::int64_t jc = columns.begin; jc < columns.end; jc += p_.nc) {
        const Range block{jc, std::min<std::int64_t>(jc + p_.nc, columns.end)};
        for (std::int64_t pc = 0; pc < p_.k; pc += p_.kc) {
          args.k = std::min<std::int64_t>(p_.kc, p_.k - pc);
          if (copies && dots) args.a_row = args.k * kSize;
          const T* const a =
              copies ? copy + pc * RoundUp(rows.size(), p_.mr) : A(batch) + rows.begin * p_.a_row + pc * p_.a_col;
          const std::int64_t a_tile = p_.mr * (copies ? args.k : p_.a_row) * kSize;
          TileSource b = p_.packed_b ? PackedB(batch, jc, pc) : UnpackedB(batch, jc, pc);
          b.next = pc + p_.kc < p_.k ? UnpackedB(batch, jc, pc + p_.kc).first
                                     : UnpackedB(batch, std::min(block.end, columns.end - 1), 0).first;
          RunTiles(args, batch, pc, rows, block, {Bytes(a), a_tile, false}, b);
        }
      }
    }
  }

  /// Block after block of k: tiles (mr, k), k contiguous, for dot products; (k, mr) else.
  void CopyA(T* to, std::int64_t batch, Range rows) const {
    for (std::int64_t pc = 0; pc < p_.k; pc += p_.kc) {
      const Range k{pc, std::min<std::int64_t>(pc + p_.kc, p_.k)};
      T* const block = to + pc * RoundUp(rows.size(), p_.mr);
      if (p_.path == CpuPath::kDots)
        pack_(A(batch) + rows.begin * p_.a_row + pc * p_.a_col, p_.a_col, p_.a_row, k.size(), k.size(), rows.size(),
              block);
      else
        PackA(block, batch, rows, k);
    }
  }

  void RunPacked(const Workplace& place, Range batches, Range rows, Range columns) const {
    MicroKernelArgs args = CommonArgs();
    args.a_row = kSize;
    args.a_col = p_.mr * kSize;
    args.b_step = p_.nr * kSize;
    const bool a_stays = rows.size() <= mc_ && p_.k <= kc_;  // One block of A serves all columns.
    int step = 0;
    for (std::int64_t batch = batches.begin; batch < batches.end; ++batch) {
      for (std::int64_t jc = columns.begin; jc < columns.end; jc += nc_) {
        const Range block{jc, std::min(jc + nc_, columns.end)};
        for (std::int64_t pc = 0; pc < p_.k; pc += kc_, ++step) {
          args.k = std::min(kc_, p_.k - pc);
          // Whoever passes the barrier of a step has left the step before: its copy of B may be written again.
          T* const packed_b = place.b[step % 2];
          const TileSource b =
              p_.packed_b ? PackedB(batch, jc, pc) : TileSource{Bytes(packed_b), p_.nr * args.k * kSize, true};
          if (!p_.packed_b) {
            PackB(packed_b, batch, block, {pc, pc + args.k}, place.m_index);
            if (grid_.m_parts > 1) place.barrier->Wait(static_cast<std::uint32_t>(grid_.m_parts));
          }
          for (std::int64_t ic = rows.begin; ic < rows.end; ic += mc_) {
            const Range strip{ic, std::min(ic + mc_, rows.end)};
            if (!a_stays || jc == columns.begin) PackA(place.a, batch, strip, {pc, pc + args.k});
            RunTiles(args, batch, pc, strip, block, {Bytes(place.a), p_.mr * args.k * kSize, true}, b);
          }
        }
      }
    }
  }

  void PackA(T* to, std::int64_t batch, Range rows, Range k) const {
    const T* const from = A(batch) + k.begin * p_.a_col;
    for (std::int64_t i = rows.begin; i < rows.end; i += p_.mr, to += p_.mr * k.size())
      pack_(from + i * p_.a_row, p_.a_row, p_.a_col, std::min<std::int64_t>(p_.mr, rows.end - i), p_.mr, k.size(), to);
  }

  /// This thread's share of the panels.
  void PackB(T* to, std::int64_t batch, Range columns, Range k, int m_index) const {
    const Range share = Part(columns.size(), p_.nr, grid_.m_parts, m_index);
    const T* const from = B(batch) + k.begin * p_.b_row + columns.begin * p_.b_col;
    for (std::int64_t j = share.begin; j < share.end; j += p_.nr)
      pack_(from + j * p_.b_col, p_.b_col, p_.b_row, std::min<std::int64_t>(p_.nr, columns.size() - j), p_.nr, k.size(),
            to + j * k.size());
  }

  /// All tiles of D in rows x columns, for the slices of A and B that `args` and the sources name.
  void RunTiles(MicroKernelArgs args, std::int64_t batch, std::int64_t pc, Range rows, Range columns, TileSource a,
                TileSource b) const {
    if (rows.size() == 0) return;  // More threads than tiles.
    const bool first = pc == 0;
    args.beta = first ? &beta_ : &kOne;
    const T* const c = first ? C(batch) : D(batch);
    const std::int64_t c_row = first ? p_.c_row : p_.d_row;
    args.c_row = c_row * kSize;
    args.b = b.first;
    // While one panel is worked on, the next comes nearer, some lines per tile.
    const std::int64_t lines = b.is_panel ? DivideUp(args.b_step * args.k, kLine * DivideUp(rows.size(), p_.mr)) : 0;
    for (std::int64_t j = columns.begin; j < columns.end; j += p_.nr) {
      args.columns = std::min<std::int64_t>(p_.nr, p_.n - j);
      const bool whole = args.columns == p_.nr;
      const MicroKernel full = whole ? kernels_.full_full : kernels_.full_last;
      const MicroKernel last = whole ? kernels_.last_full : kernels_.last_last;
      args.a = a.first;
      const std::byte* next_panel = Bytes(args.b) + b.step;
      args.ahead = b.is_panel ? Bytes(args.b) + kPanelAhead : TileAhead(b, Bytes(args.b), j, columns, args.k);
      for (std::int64_t i = rows.begin; i < rows.end; i += p_.mr) {
        args.c = c + i * c_row + j;
        args.d = D(batch) + i * p_.d_row + j;
        next_panel = PrefetchLines(next_panel, lines);
        (p_.m - i >= p_.mr ? full : last)(&args);
        args.a = Bytes(args.a) + a.step;
        if (!b.is_panel) args.ahead = args.b;  // Once is enough.
      }
      args.b = Bytes(args.b) + b.step;
    }
  }

  /// Where the tile of B is that memory should bring while the one at `now`, of column j, is worked on.
  const std::byte* TileAhead(const TileSource& b, const std::byte* now, std::int64_t j, Range columns,
                             std::int64_t k) const {
    const std::int64_t tiles =
        p_.path == CpuPath::kDots ? 1 : std::clamp<std::int64_t>(kBytesAhead / (p_.nr * k * kSize), 3, 8);
    const std::int64_t left = DivideUp(columns.end - j, p_.nr);
    return tiles < left || b.next == nullptr ? now + tiles * b.step : b.next + (tiles - left) * b.step;
  }

  MicroKernelArgs CommonArgs() const {
    MicroKernelArgs args{};
    args.alpha = &alpha_;
    args.d_row = p_.d_row * kSize;
    return args;
  }
  TileSource UnpackedB(std::int64_t batch, std::int64_t j, std::int64_t pc) const {
    return {Bytes(B(batch) + pc * p_.b_row + j * p_.b_col), p_.nr * p_.b_col * kSize, false};
  }
  /// `j` is a multiple of nr, or the parts of a packed B would start inside a panel.
  TileSource PackedB(std::int64_t batch, std::int64_t j, std::int64_t pc) const {
    return {Bytes(B(batch) + j * p_.k + pc * p_.nr), p_.nr * p_.k * kSize, true};
  }
  static const std::byte* Bytes(const void* p) { return static_cast<const std::byte*>(p); }
  const T* A(std::int64_t batch) const { return static_cast<const T*>(p_.a) + batch * p_.batch_a; }
  const T* B(std::int64_t batch) const { return static_cast<const T*>(p_.b) + batch * p_.batch_b; }
  const T* C(std::int64_t batch) const { return static_cast<const T*>(p_.c) + batch * p_.batch_c; }
  T* D(std::int64_t batch) const { return static_cast<T*>(p_.d) + batch * p_.batch_d; }

  static constexpr T kOne = 1;
  const MicroKernelSet& kernels_;
  const CpuGemmParams& p_;
  const T alpha_, beta_;

  // The packed path, the same for all threads.
  Grid grid_;
  std::int64_t kc_ = 0, mc_ = 0, nc_ = 0;
  std::int64_t a_bytes_ = 0, b_bytes_ = 0, copies_ = 1;
  std::byte* memory_ = nullptr;
  Barrier* barriers_ = nullptr;
  PackPanel<T> pack_ = FindPackPanel<T>();
};

}  // namespace

void RunGemm(const MicroKernelSet& kernels, const CpuGemmParams& params) {
  if (params.m <= 0 || params.n <= 0 || params.batch <= 0) return;
  if (params.dtype == DType::kF64)
    Call<double>(kernels, params).Run();
  else
    Call<float>(kernels, params).Run();
}

}  // namespace gemmsmith
