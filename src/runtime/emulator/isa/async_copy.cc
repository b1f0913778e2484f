// cp.async: copies of 4, 8 and 16 bytes from global to shared memory.
#include <cstring>

#include "runtime/emulator/isa/collective.h"
#include "runtime/emulator/machine/access.h"
#include "runtime/emulator/machine/async_work.h"
#include "runtime/emulator/machine/cta.h"

namespace gemmsmith::emulator {
namespace {

using ptx::ScalarType;

constexpr std::uint32_t kMaxBytes = 16;

class LaneCopies final : public AsyncOperation {
 public:
  LaneCopies(Warp& warp, const Instruction& i) : AsyncOperation(warp, i, AsyncGroup::kCopy) {}

  void Finish() override {
    for (std::uint32_t m = lanes(); m != 0; m &= m - 1) {
      const int l = std::countr_zero(m);
      std::byte value[kMaxBytes] = {};
      if (from_bytes[l] != 0) std::memcpy(value, from[l], from_bytes[l]);
      std::memcpy(to[l], value, bytes);
    }
  }

  std::byte *to[kLanes], *from[kLanes];
  std::uint8_t from_bytes[kLanes];
  std::uint32_t bytes = 0;
};

/// What options[1] says of operand 2.
enum class Limit : std::uint8_t { kNone, kSourceBytes, kIgnore };

/// How many bytes of each lane's source are read; the rest is filled with zeros.
void SourceBytes(Warp& warp, const Instruction& i, std::uint32_t bytes, std::uint8_t (&out)[kLanes]) {
  const auto limit = static_cast<Limit>(i.options[1]);
  for (std::uint8_t& o : out) o = static_cast<std::uint8_t>(bytes);
  if (limit == Limit::kIgnore) {
    const std::uint32_t ignored = warp.GetPredicate(i.operands[2]);
    for (int l = 0; l < kLanes; ++l)
      if ((ignored >> l & 1) != 0) out[l] = 0;
  } else if (limit == Limit::kSourceBytes) {
    const auto given = warp.Get<std::uint32_t>(i.operands[2]);
    for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1) {
      const int l = std::countr_zero(m);
      if (given[l] > bytes)
        throw warp.Fault(i, l, fmt::format("a source of {} bytes for a copy of {}", given[l], bytes));
      out[l] = static_cast<std::uint8_t>(given[l]);
    }
  }
}

/// Operands: to, from, and what limits the source.
void Copy(Warp& warp, const Instruction& i) {
  const std::uint32_t bytes = i.options[0];
  auto copies = std::make_unique<LaneCopies>(warp, i);
  copies->bytes = bytes;
  SourceBytes(warp, i, bytes, copies->from_bytes);
  std::uint64_t from[kLanes];
  warp.GetAddresses(i.operands[1], from);
  std::uint32_t whole = 0;
  for (int l = 0; l < kLanes; ++l) whole |= static_cast<std::uint32_t>(copies->from_bytes[l] == bytes) << l;
  const auto resolve = [&](std::uint32_t lanes, std::uint32_t count) {
    std::byte* at[kLanes];
    std::uint64_t addresses[kLanes];
    std::copy(std::begin(from), std::end(from), addresses);
    ResolveAt(warp, i, addresses, Window::kGlobal, AccessKind::kRead, count, 1, lanes, at);
    for (std::uint32_t m = lanes; m != 0; m &= m - 1) copies->from[std::countr_zero(m)] = at[std::countr_zero(m)];
  };
  for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1) {
    const int l = std::countr_zero(m);
    if (copies->from_bytes[l] != 0 && from[l] % bytes != 0)
      throw warp.Fault(i, l,
                       fmt::format("copies {} bytes from {:#x}, which is not a multiple of {}", bytes, from[l], bytes));
  }
  if ((whole & warp.mask()) != 0) resolve(whole & warp.mask(), bytes);
  for (std::uint32_t m = warp.mask() & ~whole; m != 0; m &= m - 1)
    if (const std::uint32_t part = copies->from_bytes[std::countr_zero(m)]; part != 0) resolve(m & (0 - m), part);
  std::byte* to[kLanes];
  Resolve(warp, i, i.operands[0], Window::kShared, AccessKind::kWrite, bytes, bytes, to);
  std::copy(std::begin(to), std::end(to), copies->to);
  warp.cta().cluster().async().Add(std::move(copies));
}

void CommitGroup(Warp& warp, const Instruction&) {
  warp.cta().cluster().async().Commit(warp, AsyncGroup::kCopy, warp.mask());
  if (Observer* const observer = warp.observer()) observer->OnCommit(warp, AsyncGroup::kCopy);
}
void WaitGroup(Warp& warp, const Instruction& i) {
  const auto pending = static_cast<std::uint32_t>(warp.Get<std::uint64_t>(i.operands[0])[0]);
  const AsyncWork& work = warp.cta().cluster().async();
  if (!work.Ended(warp, AsyncGroup::kCopy, warp.mask(), pending)) return warp.Block("copies of cp.async");
  if (Observer* const observer = warp.observer()) observer->OnGroupsEnded(warp, AsyncGroup::kCopy, pending, false);
}
void WaitAll(Warp& warp, const Instruction&) {
  const AsyncWork& work = warp.cta().cluster().async();
  if (work.Pending(warp, AsyncGroup::kCopy, warp.mask(), work.issued())) return warp.Block("copies of cp.async");
  if (Observer* const observer = warp.observer()) observer->OnGroupsEnded(warp, AsyncGroup::kCopy, 0, true);
}

void PrepareCopy(Decoder& decoder, Instruction& out) {
  const Form& form = decoder.form();
  const bool hint = form.Has("L2::cache_hint");
  const std::size_t count = decoder.operand_count();
  if (count < 3 || count > (hint ? 5u : 4u)) throw decoder.Refuse("it takes two addresses and a number of bytes");
  const std::uint64_t bytes = decoder.Immediate(decoder.operand(2));
  if (bytes != 16 && (form.Has("cg") || (bytes != 4 && bytes != 8)))
    throw decoder.Refuse(form.Has("cg") ? "it copies 16 bytes" : "it copies 4, 8 or 16 bytes");
  out.options[0] = static_cast<std::uint8_t>(bytes);
  decoder.Push(decoder.Address(decoder.operand(0)));
  decoder.Push(decoder.Address(decoder.operand(1)));
  // With a hint, the last operand is a cache policy, which is of no consequence.
  if (count - (hint ? 1 : 0) < 4) return;
  const ptx::Operand& limit = decoder.operand(3);
  const bool named = limit.kind == ptx::Operand::Kind::kName && decoder.IsRegister(limit.name);
  const bool ignore = named && decoder.Register(limit).second == ScalarType::kPred;
  out.options[1] = static_cast<std::uint8_t>(ignore ? Limit::kIgnore : Limit::kSourceBytes);
  decoder.Push(decoder.Source(limit, ignore ? ScalarType::kPred : ScalarType::kB32));
}

constexpr Category kCategory = Category::kCopy;
#define GEMMSMITH_EXECUTE(f) [](const Form&) -> Execute { return f; }
#define GEMMSMITH_HINTS "[.L2::cache_hint][.{L2::64B,L2::128B,L2::256B}]"

constexpr Row kRows[] = {
    {"cp.async.{ca,cg}.{shared,shared::cta}.global" GEMMSMITH_HINTS, "", kCategory, 70, 80, GEMMSMITH_EXECUTE(Copy),
     PrepareCopy},
    {"cp.async.commit_group", "", kCategory, 70, 80, GEMMSMITH_EXECUTE(CommitGroup)},
    {"cp.async.wait_group", "i", kCategory, 70, 80, GEMMSMITH_EXECUTE(WaitGroup)},
    {"cp.async.wait_all", "", kCategory, 70, 80, GEMMSMITH_EXECUTE(WaitAll)},
};

}  // namespace

std::span<const Row> AsyncCopyRows() { return kRows; }

}  // namespace gemmsmith::emulator
