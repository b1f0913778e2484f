// cp.async.bulk.tensor, its reductions, and what goes with tensor maps.
#include "runtime/emulator/tensor_memory/tensor_copy.h"

#include <algorithm>
#include <cstring>

#include "runtime/emulator/isa/bulk_form.h"
#include "runtime/emulator/isa/collective.h"
#include "runtime/emulator/isa/memory_form.h"

namespace gemmsmith::emulator {
namespace {

using ptx::ScalarType;

/// What an instruction does; kept in Instruction::extra. Operands: the address of the map, `rank` coordinates, the
/// address in shared memory, [barrier], [mask of CTAs].
struct Recipe {
  std::size_t rank = 0;
  bool load = false, reduces = false, multicast = false;
  Window window{};  ///< Of the destination of loads.
  Reduction reduction{};
};

class TensorCopy final : public AsyncOperation {
 public:
  TensorCopy(Warp& warp, const Instruction& i, std::uint32_t lane, const Recipe& recipe, const TensorBox& box)
      : AsyncOperation(warp, i, recipe.load ? AsyncGroup::kNone : AsyncGroup::kBulk, 1u << lane),
        recipe_(recipe),
        box_(box) {
    read_apart = !recipe.load;
    communicates = recipe.reduces;
  }
  void Read() override {
    if (recipe_.load) return;
    CheckAlive(warp().cta());
    const auto window = warp().cta().window();
    shared_.assign(window.begin(), window.begin() + end_);
  }
  void Finish() override {
    if (recipe_.load) {
      for (const SharedPlace& barrier : completion.barriers) {
        CheckAlive(*barrier.cta);
        box_.Load(barrier.cta->window());
      }
    } else if (recipe_.reduces) {
      box_.ReduceInto(shared_, recipe_.reduction);
    } else {
      box_.Store(shared_);
    }
    completion.Tell(*this);
  }
  void ReadUpTo(std::size_t end) { end_ = static_cast<std::ptrdiff_t>(end); }

  Completion completion;

 private:
  const Recipe& recipe_;
  TensorBox box_;
  std::ptrdiff_t end_ = 0;
  std::vector<std::byte> shared_;  // of a store, as it was when it was read
};

TensorMap MapAt(Warp& warp, const Instruction& i, int lane, std::uint64_t address) {
  if (address % 64 != 0)
    throw warp.Fault(i, lane, fmt::format("a tensor map at {:#x}; it takes 64-byte alignment", address));
  const std::byte* const at = ResolveGeneric(warp, i, lane, address, AccessKind::kRead, TensorMap::kOpaqueBytes);
  return TensorMap::Decode(std::span<const std::byte, TensorMap::kOpaqueBytes>(at, TensorMap::kOpaqueBytes));
}

/// All rows of the box within allocations.
void CheckRows(Warp& warp, const Instruction& i, int lane, const TensorBox& box, AccessKind kind) {
  std::uint64_t low = ~std::uint64_t{0}, high = 0;
  for (std::uint32_t r = 0; r < box.rows(); ++r) {
    const TensorBox::Row row = box.RowAt(r);
    if (row.first == row.last) continue;
    low = std::min(low, row.global);
    high = std::max(high, row.global + (row.last - row.first));
    if (!warp.region.Holds(low, high) || (kind != AccessKind::kRead && !warp.region.writable))
      ResolveGeneric(warp, i, lane, row.global, kind, row.last - row.first);
    TellAccess(warp, i, lane, row.global, kind, row.last - row.first);
  }
}

/// What the box takes up in the shared memory of a CTA. Rows that are shorter than the swizzle leave gaps.
void TellShared(Warp& warp, const Instruction& i, int lane, const TensorBox& box, const SharedPlace& place,
                AccessKind kind) {
  constexpr std::uint32_t kPiece = 16;
  if (warp.observer() == nullptr) return;
  const std::uint64_t base = kSharedWindow | static_cast<std::uint64_t>(place.cta->rank() + 1) << kClusterRankShift;
  if (box.bytes() == box.shared_bytes())
    return TellAccess(warp, i, lane, base | place.address, kind, box.shared_bytes());
  for (std::uint32_t r = 0; r < box.rows(); ++r) {
    const TensorBox::Row row = box.RowAt(r);
    for (std::uint32_t piece = 0; piece * kPiece < box.row_bytes(); ++piece)
      TellAccess(warp, i, lane, base | box.PieceAddress(row, piece), kind,
                 std::min(kPiece, box.row_bytes() - piece * kPiece));
  }
}

void Issue(Warp& warp, const Instruction& i, int lane, const Recipe& recipe, std::uint64_t map_address,
           const std::vector<std::int32_t>& coordinates, std::uint64_t shared, std::uint64_t barrier) {
  const TensorMap map = MapAt(warp, i, lane, map_address);
  const SharedPlace place = PlaceOf(warp, i, lane, shared, recipe.load ? recipe.window : Window::kShared);
  const TensorBox box(map, coordinates, place.address);
  const auto window = place.cta->window();
  if (place.address < kSharedBegin || place.address + std::size_t{box.shared_bytes()} > window.size())
    throw warp.Fault(i, lane,
                     fmt::format("a box of {} bytes at {:#x}, outside of shared memory ({:#x} to {:#x})",
                                 box.shared_bytes(), place.address, kSharedBegin, window.size()));
  CheckRows(warp, i, lane, box,
            recipe.load      ? AccessKind::kRead
            : recipe.reduces ? AccessKind::kAtomic
                             : AccessKind::kWrite);
  auto copy = std::make_unique<TensorCopy>(warp, i, static_cast<std::uint32_t>(lane), recipe, box);
  copy->completion.bytes = box.bytes();
  copy->ReadUpTo(place.address + std::size_t{box.shared_bytes()});
  if (recipe.load) {
    const SharedPlace signal = PlaceOf(warp, i, lane, barrier, recipe.window);
    if (signal.cta != place.cta) throw warp.Fault(i, lane, "its barrier lies in another CTA than its destination");
    const Operand* const mask = recipe.multicast ? &i.operands[recipe.rank + 3] : nullptr;
    for (Cta* const cta : Destinations(warp, i, lane, place, mask)) {
      copy->completion.barriers.push_back({cta, signal.address});
      TellShared(warp, i, lane, box, {cta, place.address}, AccessKind::kWrite);
    }
  } else {
    if (recipe.reduces) CheckReduction(recipe.reduction, map.type);
    TellShared(warp, i, lane, box, place, AccessKind::kRead);
  }
  warp.cta().cluster().async().Add(std::move(copy));
}

void Copy(Warp& warp, const Instruction& i) {
  const Recipe& recipe = *static_cast<const Recipe*>(i.extra);
  std::uint64_t maps[kLanes], shared[kLanes], barriers[kLanes] = {};
  warp.GetAddresses(i.operands[0], maps);
  warp.GetAddresses(i.operands[recipe.rank + 1], shared);
  if (recipe.load) warp.GetAddresses(i.operands[recipe.rank + 2], barriers);
  for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1) {
    const int lane = std::countr_zero(m);
    std::vector<std::int32_t> coordinates;
    for (std::size_t d = 0; d < recipe.rank; ++d)
      coordinates.push_back(warp.Get<std::int32_t>(i.operands[d + 1])[lane]);
    Guarded(warp, i, lane,
            [&] { Issue(warp, i, lane, recipe, maps[lane], coordinates, shared[lane], barriers[lane]); });
  }
}

void PrepareCopy(Decoder& decoder, Instruction& out) {
  const Form& form = decoder.form();
  const auto& words = form.instruction->modifiers;
  Recipe recipe;
  recipe.reduces = words[0] == "reduce";
  const std::size_t first = recipe.reduces ? 3 : 2;  // Of cp.async.bulk.tensor.2d.TO.FROM the word "tensor".
  recipe.rank = static_cast<std::size_t>(words[first + 1][0] - '0');
  recipe.load = words[first + 2] != "global";
  recipe.window = words[first + 2] == "shared::cta" ? Window::kShared : Window::kSharedCluster;
  recipe.multicast = form.Has("multicast::cluster");
  recipe.reduction = ReductionOf(form);
  const std::size_t needed = 2 + (recipe.load ? 1 : 0) + (recipe.multicast ? 1 : 0);
  if (decoder.operand_count() != needed + (form.Has("L2::cache_hint") ? 1 : 0))
    throw decoder.Refuse("it has operands too many or too few");
  const ptx::Operand& tensor = decoder.operand(recipe.load ? 1 : 0);
  const bool formed = tensor.kind == ptx::Operand::Kind::kAddress && tensor.parts.size() == 1 &&
                      tensor.parts[0].kind == ptx::Operand::Kind::kVector;
  if (!formed || tensor.parts[0].parts.size() != recipe.rank)
    throw decoder.Refuse(
        fmt::format("[map, {{coordinates}}] with {} coordinates belongs in the place of an operand", recipe.rank));
  ptx::Operand map = tensor;
  map.parts.clear();
  decoder.Push(decoder.Address(map));
  for (const ptx::Operand& coordinate : tensor.parts[0].parts)
    decoder.Push(decoder.Source(coordinate, ScalarType::kB32));
  decoder.Push(decoder.Address(decoder.operand(recipe.load ? 0 : 1)));
  if (recipe.load) decoder.Push(decoder.Address(decoder.operand(2)));
  if (recipe.multicast) decoder.Push(decoder.Source(decoder.operand(3), ScalarType::kB16));
  out.extra = decoder.Keep(recipe);
}

void PrepareImageToColumn(Decoder& decoder, Instruction&) {
  throw decoder.Refuse("im2col boxes are none of the emulator's: encode the tensor map for tiles");
}

/// tensormap.cp_fenceproxy: 128 bytes from shared to global memory, by a whole warp. Operands: to, from, bytes.
void CopyMap(Warp& warp, const Instruction& i) {
  if (!GatherWarp(warp, i)) return;
  constexpr std::uint32_t kBytes = TensorMap::kOpaqueBytes;
  std::byte *to[kLanes], *from[kLanes];
  Resolve(warp, i, i.operands[0], Window::kGlobal, AccessKind::kWrite, kBytes, kBytes, to);
  Resolve(warp, i, i.operands[1], Window::kShared, AccessKind::kRead, kBytes, kBytes, from);
  std::memcpy(to[0], from[0], kBytes);
}
void PrepareCopyMap(Decoder& decoder, Instruction&) {
  if (decoder.Immediate(decoder.operand(2)) != TensorMap::kOpaqueBytes)
    throw decoder.Refuse("a tensor map has 128 bytes");
}

void Nothing(Warp&, const Instruction&) {}
void IgnoreOperands(Decoder&, Instruction&) {}

constexpr Category kCategory = Category::kCopy;
#define GEMMSMITH_EXECUTE(f) [](const Form&) -> Execute { return f; }
#define GEMMSMITH_RANKS ".{1d,2d,3d,4d,5d}"
#define GEMMSMITH_HINT "[.L2::cache_hint]"
#define GEMMSMITH_IMAGE ".{im2col,im2col::w,im2col::w::128,im2col_no_offs}"
#define GEMMSMITH_REFUSE GEMMSMITH_EXECUTE(Nothing), PrepareImageToColumn

constexpr Row kRows[] = {
    {"cp.async.bulk.tensor" GEMMSMITH_RANKS ".shared::cluster.global[.tile].mbarrier::complete_tx::bytes"
     "[.multicast::cluster]" GEMMSMITH_HINT,
     "", kCategory, 80, 90, GEMMSMITH_EXECUTE(Copy), PrepareCopy},
    {"cp.async.bulk.tensor" GEMMSMITH_RANKS ".shared::cta.global[.tile].mbarrier::complete_tx::bytes" GEMMSMITH_HINT,
     "", kCategory, 86, 90, GEMMSMITH_EXECUTE(Copy), PrepareCopy},
    {"cp.async.bulk.tensor" GEMMSMITH_RANKS ".global.shared::cta[.tile].bulk_group" GEMMSMITH_HINT, "", kCategory, 80,
     90, GEMMSMITH_EXECUTE(Copy), PrepareCopy},
    {"cp.reduce.async.bulk.tensor" GEMMSMITH_RANKS ".global.shared::cta.{add,min,max,inc,dec,and,or,xor}[.tile]"
     ".bulk_group" GEMMSMITH_HINT,
     "", kCategory, 80, 90, GEMMSMITH_EXECUTE(Copy), PrepareCopy},
    {"cp.async.bulk.tensor.{3d,4d,5d}.{shared::cluster,shared::cta}.global" GEMMSMITH_IMAGE
     ".mbarrier::complete_tx::bytes[.multicast::cluster]" GEMMSMITH_HINT,
     "", kCategory, 80, 90, GEMMSMITH_REFUSE},
    {"cp.async.bulk.tensor.{3d,4d,5d}.global.shared::cta" GEMMSMITH_IMAGE ".bulk_group" GEMMSMITH_HINT, "", kCategory,
     80, 90, GEMMSMITH_REFUSE},
    {"cp.async.bulk.prefetch.tensor" GEMMSMITH_RANKS ".L2.global[.tile]" GEMMSMITH_HINT, "", kCategory, 80, 90,
     GEMMSMITH_EXECUTE(Nothing), IgnoreOperands},
    {"tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.{cta,cluster,gpu,sys}.sync.aligned",
     "a a i", kCategory, 83, 90, GEMMSMITH_EXECUTE(CopyMap), PrepareCopyMap},
};

}  // namespace

std::span<const Row> TensorCopyRows() { return kRows; }

}  // namespace gemmsmith::emulator
