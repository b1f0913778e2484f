// cp.async.bulk and cp.reduce.async.bulk of contiguous bytes.
#include <cstring>

#include "runtime/emulator/isa/bulk_form.h"
#include "runtime/emulator/isa/collective.h"

namespace gemmsmith::emulator {
namespace {

using ptx::ScalarType;

constexpr std::uint32_t kUnit = 16;  // Bytes: sizes and addresses are multiples of it.

/// What an instruction does; kept in Instruction::extra. Operands: to, from, bytes, [barrier], [mask of CTAs].
struct Recipe {
  bool from_global = false, to_global = false, reduces = false, multicast = false;
  Window to_window{};
  Reduction reduction{};
  MemoryType type{};
};

class BulkCopy final : public AsyncOperation {
 public:
  BulkCopy(Warp& warp, const Instruction& i, std::uint32_t lane, const Recipe& recipe)
      : AsyncOperation(warp, i, recipe.to_global ? AsyncGroup::kBulk : AsyncGroup::kNone, 1u << lane), recipe_(recipe) {
    read_apart = recipe.to_global;
    communicates = recipe.to_global && recipe.reduces;
  }
  void Read() override {
    if (!recipe_.from_global) CheckAlive(warp().cta());
    bytes.assign(from, from + size);
  }
  void Finish() override {
    for (std::byte* const at : to) {
      if (recipe_.reduces)
        Reduce(recipe_.reduction, recipe_.type, bytes.data(), at, size);
      else if (size != 0)
        std::memcpy(at, bytes.data(), size);
    }
    for (const SharedPlace& barrier : completion.barriers) CheckAlive(*barrier.cta);
    completion.Tell(*this);
  }

  const std::byte* from = nullptr;
  std::vector<std::byte*> to;
  std::uint32_t size = 0;
  Completion completion;

 private:
  const Recipe& recipe_;
  std::vector<std::byte> bytes;
};

std::byte* At(Warp& warp, const Instruction& i, int lane, std::uint64_t address, Window window, AccessKind kind,
              std::uint32_t bytes) {
  std::uint64_t addresses[kLanes];
  std::fill(std::begin(addresses), std::end(addresses), address);
  std::byte* out[kLanes];
  ResolveAt(warp, i, addresses, window, kind, bytes, kUnit, 1u << lane, out);
  return out[lane];
}

/// To shared memory: of each CTA that is meant, with the barrier at the same place of each.
void Aim(Warp& warp, const Instruction& i, int lane, const Recipe& recipe, std::uint64_t to, std::uint64_t barrier,
         BulkCopy& copy) {
  const SharedPlace place = PlaceOf(warp, i, lane, to, recipe.to_window);
  const SharedPlace signal = PlaceOf(warp, i, lane, barrier, recipe.to_window);
  if (signal.cta != place.cta) throw warp.Fault(i, lane, "its barrier lies in another CTA than its destination");
  for (Cta* const cta : Destinations(warp, i, lane, place, recipe.multicast ? &i.operands[4] : nullptr)) {
    const std::uint64_t address = place.address | static_cast<std::uint64_t>(cta->rank() + 1) << kClusterRankShift;
    copy.to.push_back(At(warp, i, lane, address, Window::kSharedCluster, AccessKind::kWrite, copy.size));
    copy.completion.barriers.push_back({cta, signal.address});
  }
  copy.completion.bytes = copy.size;
}

void Copy(Warp& warp, const Instruction& i) {
  const Recipe& recipe = *static_cast<const Recipe*>(i.extra);
  std::uint64_t to[kLanes], from[kLanes], barriers[kLanes] = {};
  warp.GetAddresses(i.operands[0], to);
  warp.GetAddresses(i.operands[1], from);
  if (!recipe.to_global) warp.GetAddresses(i.operands[3], barriers);
  const auto sizes = warp.Get<std::uint32_t>(i.operands[2]);
  for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1) {
    const int lane = std::countr_zero(m);
    if (sizes[lane] % kUnit != 0)
      throw warp.Fault(i, lane, fmt::format("copies {} bytes, which is not a multiple of {}", sizes[lane], kUnit));
    auto copy = std::make_unique<BulkCopy>(warp, i, static_cast<std::uint32_t>(lane), recipe);
    copy->size = sizes[lane];
    copy->from = At(warp, i, lane, from[lane], recipe.from_global ? Window::kGlobal : Window::kShared,
                    AccessKind::kRead, sizes[lane]);
    if (recipe.to_global)
      copy->to = {At(warp, i, lane, to[lane], Window::kGlobal,
                     recipe.reduces ? AccessKind::kAtomic : AccessKind::kWrite, sizes[lane])};
    else
      Aim(warp, i, lane, recipe, to[lane], barriers[lane], *copy);
    warp.cta().cluster().async().Add(std::move(copy));
  }
}

void CommitGroup(Warp& warp, const Instruction&) {
  warp.cta().cluster().async().Commit(warp, AsyncGroup::kBulk, warp.mask());
  if (Observer* const observer = warp.observer()) observer->OnCommit(warp, AsyncGroup::kBulk);
}
void WaitGroup(Warp& warp, const Instruction& i) {
  const auto pending = static_cast<std::uint32_t>(warp.Get<std::uint64_t>(i.operands[0])[0]);
  if (!warp.cta().cluster().async().Ended(warp, AsyncGroup::kBulk, warp.mask(), pending, i.options[0] != 0))
    return warp.Block("bulk copies");
  if (Observer* const observer = warp.observer()) observer->OnGroupsEnded(warp, AsyncGroup::kBulk, pending, false);
}
void PrepareWait(Decoder& decoder, Instruction& out) { out.options[0] = decoder.form().Has("read") ? 1 : 0; }

MemoryType TypeOf(Decoder& decoder, ScalarType type) {
  switch (type) {
    case ScalarType::kU32:
    case ScalarType::kB32:
      return MemoryType::kU32;
    case ScalarType::kS32:
      return MemoryType::kS32;
    case ScalarType::kU64:
    case ScalarType::kB64:
      return MemoryType::kU64;
    case ScalarType::kS64:
      return MemoryType::kS64;
    case ScalarType::kF16:
      return MemoryType::kF16;
    case ScalarType::kBf16:
      return MemoryType::kBf16;
    case ScalarType::kF32:
      return MemoryType::kF32;
    case ScalarType::kF64:
      return MemoryType::kF64;
    default:
      throw decoder.Refuse("its type is none that bulk copies reduce");
  }
}

void PrepareCopy(Decoder& decoder, Instruction& out) {
  const Form& form = decoder.form();
  const auto& words = form.instruction->modifiers;
  Recipe recipe;
  recipe.reduces = words[0] == "reduce";
  const std::size_t spaces = recipe.reduces ? 3 : 2;  // cp.async.bulk.TO.FROM, cp.reduce.async.bulk.TO.FROM
  const std::string &to = words[spaces], &from = words[spaces + 1];
  recipe.to_global = to == "global";
  recipe.from_global = from == "global";
  recipe.to_window = to == "shared::cta" ? Window::kShared : Window::kSharedCluster;
  recipe.multicast = form.Has("multicast::cluster");
  if (recipe.reduces) {
    recipe.reduction = ReductionOf(form);
    recipe.type = TypeOf(decoder, form.type());
    try {
      CheckReduction(recipe.reduction, recipe.type);
    } catch (const Error& error) {
      throw decoder.Refuse(error.what());
    }
  }
  const std::size_t needed = 3 + (recipe.to_global ? 0 : 1) + (recipe.multicast ? 1 : 0);
  const std::size_t count = decoder.operand_count();
  if (count != needed + (form.Has("L2::cache_hint") ? 1 : 0))
    throw decoder.Refuse("it has operands too many or too few");
  decoder.Push(decoder.Address(decoder.operand(0)));
  decoder.Push(decoder.Address(decoder.operand(1)));
  decoder.Push(decoder.Source(decoder.operand(2), ScalarType::kB32));
  if (!recipe.to_global) decoder.Push(decoder.Address(decoder.operand(3)));
  if (recipe.multicast) decoder.Push(decoder.Source(decoder.operand(4), ScalarType::kB16));
  out.extra = decoder.Keep(recipe);
}

void Nothing(Warp&, const Instruction&) {}
void IgnoreOperands(Decoder&, Instruction&) {}

constexpr Category kCategory = Category::kCopy;
#define GEMMSMITH_EXECUTE(f) [](const Form&) -> Execute { return f; }
#define GEMMSMITH_HINT "[.L2::cache_hint]"
#define GEMMSMITH_COPY GEMMSMITH_EXECUTE(Copy), PrepareCopy

constexpr Row kRows[] = {
    {"cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes[.multicast::cluster]" GEMMSMITH_HINT, "",
     kCategory, 80, 90, GEMMSMITH_COPY},
    {"cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes" GEMMSMITH_HINT, "", kCategory, 86, 90,
     GEMMSMITH_COPY},
    {"cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes", "", kCategory, 80, 90, GEMMSMITH_COPY},
    {"cp.async.bulk.global.shared::cta.bulk_group" GEMMSMITH_HINT, "", kCategory, 80, 90, GEMMSMITH_COPY},
    {"cp.async.bulk.prefetch.L2.global" GEMMSMITH_HINT, "", kCategory, 80, 90, GEMMSMITH_EXECUTE(Nothing),
     IgnoreOperands},
    {"cp.async.bulk.commit_group", "", kCategory, 80, 90, GEMMSMITH_EXECUTE(CommitGroup)},
    {"cp.async.bulk.wait_group[.read]", "i", kCategory, 80, 90, GEMMSMITH_EXECUTE(WaitGroup), PrepareWait},
    {"cp.reduce.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes.{and,or,xor,add,inc,dec,min,max}"
     ".{s32,u32,s64,u64}",
     "", kCategory, 80, 90, GEMMSMITH_COPY},
    {"cp.reduce.async.bulk.global.shared::cta.bulk_group" GEMMSMITH_HINT ".{and,or,xor,add,inc,dec,min,max}"
     ".{f16,bf16,b32,u32,s32,b64,u64,s64,f32,f64}",
     "", kCategory, 80, 90, GEMMSMITH_COPY},
    {"cp.reduce.async.bulk.global.shared::cta.bulk_group" GEMMSMITH_HINT ".add.noftz.{f16,bf16}", "", kCategory, 80, 90,
     GEMMSMITH_COPY},
};

}  // namespace

std::span<const Row> BulkCopyRows() { return kRows; }

}  // namespace gemmsmith::emulator
