// What the lanes of a warp do together.
#include <limits>

#include "runtime/emulator/isa/decoder.h"
#include "runtime/emulator/isa/map.h"
#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

using Word = std::uint32_t;

/// The mask that the lanes name, once all of them are here; 0: not yet. They must name the same and be in it.
std::uint32_t Members(Warp& warp, const Instruction& i, const Operand& operand) {
  const auto mask = warp.Get<Word>(operand);
  const int first = std::countr_zero(warp.mask());
  if ((mask[first] >> first & 1) == 0)
    throw warp.Fault(i, first, fmt::format("the lane itself is not in its mask {:#010x}", mask[first]));
  if ((mask[first] & ~warp.live()) != 0)
    throw warp.Fault(
        i, first,
        fmt::format("its mask {:#010x} names lanes that have exited: {:#010x} are left", mask[first], warp.live()));
  if (!warp.Gather(mask[first])) return 0;
  for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1) {
    const int lane = std::countr_zero(m);
    if (mask[lane] != mask[first] && (mask[first] >> lane & 1) != 0)
      throw warp.Fault(
          i, lane, fmt::format("lane {} names the mask {:#010x}, this one {:#010x}", first, mask[first], mask[lane]));
  }
  return mask[first];
}

/// f(members, lanes) for each set of lanes that name one mask.
template <class F>
bool ForEachSet(Warp& warp, const Instruction& i, const Operand& operand, F f) {
  const std::uint32_t members = Members(warp, i, operand);
  if (members == 0) return false;
  const auto mask = warp.Get<Word>(operand);
  std::uint32_t left = warp.mask();
  while (left != 0) {
    const std::uint32_t set = mask[std::countr_zero(left)];
    if ((set & warp.mask()) != (set & warp.live())) {
      warp.Gather(set);
      return false;
    }
    f(set & left);
    left &= ~set;
  }
  return true;
}

enum class Shuffle : std::uint8_t { kUp, kDown, kButterfly, kIndex };

/// Operands: d, p, a, b, c, mask.
template <Shuffle kMode>
void RunShuffle(Warp& warp, const Instruction& i) {
  const std::uint32_t members = Members(warp, i, i.operands[5]);
  if (members == 0) return;
  const auto a = warp.Get<Word>(i.operands[2]), b = warp.Get<Word>(i.operands[3]), c = warp.Get<Word>(i.operands[4]);
  Word out[kLanes] = {};
  std::uint32_t valid = 0;
  for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1) {
    const int lane = std::countr_zero(m);
    const int by = static_cast<int>(b[lane] & 31), segment = static_cast<int>(c[lane] >> 8 & 31);
    const int clamp = static_cast<int>(c[lane] & 31);
    const int last = (lane & segment) | (clamp & ~segment), begin = lane & segment;
    int from = 0;
    bool inside = false;
    switch (kMode) {
      case Shuffle::kUp:
        from = lane - by, inside = from >= last;
        break;
      case Shuffle::kDown:
        from = lane + by, inside = from <= last;
        break;
      case Shuffle::kButterfly:
        from = lane ^ by, inside = from <= last;
        break;
      case Shuffle::kIndex:
        from = begin | (by & ~segment), inside = from <= last;
        break;
    }
    if (!inside) from = lane;
    if ((warp.mask() >> from & 1) == 0)
      throw warp.Fault(i, lane, fmt::format("reads from lane {}, which does not take part", from));
    out[lane] = a[from];
    valid |= static_cast<std::uint32_t>(inside) << lane;
  }
  warp.Put(i.operands[0], out);
  warp.PutPredicate(i.operands[1], valid);
}

enum class Vote : std::uint8_t { kAll, kAny, kUniform, kBallot };

template <Vote kMode>
void RunVote(Warp& warp, const Instruction& i) {
  const std::uint32_t votes = warp.GetPredicate(i.operands[1]);
  std::uint32_t holds = 0;
  Word out[kLanes] = {};
  const bool done = ForEachSet(warp, i, i.operands[2], [&](std::uint32_t set) {
    const std::uint32_t yes = votes & set;
    const bool all = yes == set, any = yes != 0;
    if (kMode == Vote::kAll ? all : kMode == Vote::kAny ? any : all || !any) holds |= set;
    for (std::uint32_t m = set; m != 0; m &= m - 1) out[std::countr_zero(m)] = yes;
  });
  if (!done) return;
  if (kMode == Vote::kBallot)
    warp.Put(i.operands[0], out);
  else
    warp.PutPredicate(i.operands[0], holds);
}

void ActiveMask(Warp& warp, const Instruction& i) {
  Word out[kLanes];
  for (Word& o : out) o = warp.mask();
  warp.Put(i.operands[0], out);
}

/// Operands: d, p (of match.all), a, mask.
template <class T, bool kAll>
void Match(Warp& warp, const Instruction& i) {
  const auto a = warp.Get<T>(i.operands[2]);
  Word out[kLanes] = {};
  std::uint32_t equal = 0;
  const bool done = ForEachSet(warp, i, i.operands[3], [&](std::uint32_t set) {
    for (std::uint32_t m = set; m != 0; m &= m - 1) {
      const int lane = std::countr_zero(m);
      std::uint32_t same = 0;
      for (std::uint32_t n = set; n != 0; n &= n - 1)
        if (a[std::countr_zero(n)] == a[lane]) same |= n & (0 - n);
      out[lane] = !kAll || same == set ? same : 0;
      if (same == set) equal |= std::uint32_t{1} << lane;
    }
  });
  if (!done) return;
  warp.Put(i.operands[0], out);
  if (kAll) warp.PutPredicate(i.operands[1], equal);
}

enum class Reduction : std::uint8_t { kAdd, kMin, kMax, kAnd, kOr, kXor };

template <class T>
T Combine(Reduction operation, T x, T y) {
  switch (operation) {
    case Reduction::kAdd:
      return static_cast<T>(static_cast<Word>(x) + static_cast<Word>(y));
    case Reduction::kMin:
      return y < x ? y : x;
    case Reduction::kMax:
      return x < y ? y : x;
    case Reduction::kAnd:
      return static_cast<T>(static_cast<Word>(x) & static_cast<Word>(y));
    case Reduction::kOr:
      return static_cast<T>(static_cast<Word>(x) | static_cast<Word>(y));
    case Reduction::kXor:
      return static_cast<T>(static_cast<Word>(x) ^ static_cast<Word>(y));
  }
  return x;
}

/// Operands: d, a, mask.
template <class T>
void Reduce(Warp& warp, const Instruction& i) {
  const auto a = warp.Get<T>(i.operands[1]);
  const auto operation = static_cast<Reduction>(i.options[0]);
  T out[kLanes] = {};
  const bool done = ForEachSet(warp, i, i.operands[2], [&](std::uint32_t set) {
    T sum = a[std::countr_zero(set)];
    for (std::uint32_t m = set & (set - 1); m != 0; m &= m - 1) sum = Combine(operation, sum, a[std::countr_zero(m)]);
    for (std::uint32_t m = set; m != 0; m &= m - 1) out[std::countr_zero(m)] = sum;
  });
  if (done) warp.Put(i.operands[0], out);
}

/// redux of f32: options[1]: absolute values, options[2]: NaN is kept.
void ReduceFloat(Warp& warp, const Instruction& i) {
  const auto a = warp.Get<float>(i.operands[1]);
  const bool lowest = static_cast<Reduction>(i.options[0]) == Reduction::kMin;
  float out[kLanes] = {};
  const bool done = ForEachSet(warp, i, i.operands[2], [&](std::uint32_t set) {
    float best = std::numeric_limits<float>::quiet_NaN();
    bool nan = false;
    for (std::uint32_t m = set; m != 0; m &= m - 1) {
      float x = a[std::countr_zero(m)];
      if (i.options[1] != 0) x = std::abs(x);
      nan = nan || x != x;
      if (best != best || (lowest ? x < best : x > best)) best = x;
    }
    if (nan && i.options[2] != 0) best = std::bit_cast<float>(0x7fffffffu);
    for (std::uint32_t m = set; m != 0; m &= m - 1) out[std::countr_zero(m)] = best;
  });
  if (done) warp.Put(i.operands[0], out);
}

void PrepareReduce(Decoder& decoder, Instruction& out) {
  constexpr std::string_view kNames[] = {"add", "min", "max", "and", "or", "xor"};
  const Form& form = decoder.form();
  for (std::size_t k = 0; k < std::size(kNames); ++k)
    if (form.Has(kNames[k])) out.options[0] = static_cast<std::uint8_t>(k);
  out.options[1] = form.Has("abs") ? 1 : 0;
  out.options[2] = form.Has("NaN") ? 1 : 0;
}

/// The lowest lane of the mask. Operands: d, p, mask.
void Elect(Warp& warp, const Instruction& i) {
  const std::uint32_t members = Members(warp, i, i.operands[2]);
  if (members == 0) return;
  const auto leader = static_cast<Word>(std::countr_zero(members));
  Word out[kLanes];
  for (Word& o : out) o = leader;
  warp.Put(i.operands[0], out);
  warp.PutPredicate(i.operands[1], std::uint32_t{1} << leader);
}

/// How many registers a warp owns changes nothing here; the count must be one that devices take.
void SetMaxRegisters(Warp& warp, const Instruction&) { warp.Gather(kAllLanes); }
void PrepareSetMaxRegisters(Decoder& decoder, Instruction&) {
  const std::uint64_t count = decoder.Immediate(decoder.operand(0));
  if (count < 24 || count > 256 || count % 8 != 0)
    throw decoder.Refuse(fmt::format("{} registers: the number must be a multiple of 8 from 24 to 256", count));
}

#define GEMMSMITH_EXECUTE(...) [](const Form&) -> Execute { return __VA_ARGS__; }
constexpr Category kCategory = Category::kWarp;

constexpr Row kRows[] = {
    {"shfl.sync.up.b32", "d|dpred s sb32 sb32 sb32", kCategory, 60, 30, GEMMSMITH_EXECUTE(RunShuffle<Shuffle::kUp>)},
    {"shfl.sync.down.b32", "d|dpred s sb32 sb32 sb32", kCategory, 60, 30,
     GEMMSMITH_EXECUTE(RunShuffle<Shuffle::kDown>)},
    {"shfl.sync.bfly.b32", "d|dpred s sb32 sb32 sb32", kCategory, 60, 30,
     GEMMSMITH_EXECUTE(RunShuffle<Shuffle::kButterfly>)},
    {"shfl.sync.idx.b32", "d|dpred s sb32 sb32 sb32", kCategory, 60, 30,
     GEMMSMITH_EXECUTE(RunShuffle<Shuffle::kIndex>)},
    {"vote.sync.all.pred", "d spred sb32", kCategory, 60, 30, GEMMSMITH_EXECUTE(RunVote<Vote::kAll>)},
    {"vote.sync.any.pred", "d spred sb32", kCategory, 60, 30, GEMMSMITH_EXECUTE(RunVote<Vote::kAny>)},
    {"vote.sync.uni.pred", "d spred sb32", kCategory, 60, 30, GEMMSMITH_EXECUTE(RunVote<Vote::kUniform>)},
    {"vote.sync.ballot.b32", "d spred sb32", kCategory, 60, 30, GEMMSMITH_EXECUTE(RunVote<Vote::kBallot>)},
    {"activemask.b32", "d", kCategory, 62, 30, GEMMSMITH_EXECUTE(ActiveMask)},
    {"match.any.sync.b32", "db32|dpred s sb32", kCategory, 60, 70, GEMMSMITH_EXECUTE(Match<std::uint32_t, false>)},
    {"match.any.sync.b64", "db32|dpred s sb32", kCategory, 60, 70, GEMMSMITH_EXECUTE(Match<std::uint64_t, false>)},
    {"match.all.sync.b32", "db32|dpred s sb32", kCategory, 60, 70, GEMMSMITH_EXECUTE(Match<std::uint32_t, true>)},
    {"match.all.sync.b64", "db32|dpred s sb32", kCategory, 60, 70, GEMMSMITH_EXECUTE(Match<std::uint64_t, true>)},
    {"redux.sync.{add,min,max,and,or,xor}.{u32,b32}", "d s sb32", kCategory, 70, 80, GEMMSMITH_EXECUTE(Reduce<Word>),
     PrepareReduce},
    {"redux.sync.{add,min,max}.s32", "d s sb32", kCategory, 70, 80, GEMMSMITH_EXECUTE(Reduce<std::int32_t>),
     PrepareReduce},
    {"redux.sync.{min,max}[.abs][.NaN].f32", "d s sb32", kCategory, 86, 100, GEMMSMITH_EXECUTE(ReduceFloat),
     PrepareReduce},
    {"elect.sync", "db32|dpred sb32", kCategory, 80, 90, GEMMSMITH_EXECUTE(Elect)},
    {"setmaxnreg.{inc,dec}.sync.aligned.u32", "i", kCategory, 80, 90, GEMMSMITH_EXECUTE(SetMaxRegisters),
     PrepareSetMaxRegisters},
};

}  // namespace

std::span<const Row> WarpRows() { return kRows; }

}  // namespace gemmsmith::emulator
