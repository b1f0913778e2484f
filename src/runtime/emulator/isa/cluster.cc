// CTAs of a cluster: their shared memory by address, and their common barrier.
#include "runtime/emulator/isa/collective.h"
#include "runtime/emulator/isa/memory_form.h"
#include "runtime/emulator/isa/shared_place.h"

namespace gemmsmith::emulator {
namespace {

using ptx::ScalarType;

/// Operands: d, the address, the rank. The same place in the memory of another CTA of the cluster.
void MapAddress(Warp& warp, const Instruction& i) {
  std::uint64_t addresses[kLanes];
  warp.GetBits(i.operands[1], addresses);
  const auto rank = warp.Get<std::uint32_t>(i.operands[2]);
  const auto window = static_cast<Window>(i.options[0]);
  for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1) {
    const int lane = std::countr_zero(m);
    if (rank[lane] >= warp.cta().cluster().size())
      throw warp.Fault(i, lane, fmt::format("CTA {} of a cluster of {}", rank[lane], warp.cta().cluster().size()));
    const std::uint32_t within = PlaceOf(warp, i, lane, addresses[lane], window).address;
    addresses[lane] = (window == Window::kGeneric ? kSharedWindow : 0) |
                      static_cast<std::uint64_t>(rank[lane] + 1) << kClusterRankShift | within;
  }
  warp.PutBits(i.operands[0], addresses);
}

void GetRank(Warp& warp, const Instruction& i) {
  std::uint64_t values[kLanes];
  warp.GetBits(i.operands[1], values);
  for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1) {
    const int lane = std::countr_zero(m);
    values[lane] = PlaceOf(warp, i, lane, values[lane], static_cast<Window>(i.options[0])).cta->rank();
  }
  warp.PutBits(i.operands[0], values);
}

template <bool kMap>
void PrepareAddress(Decoder& decoder, Instruction& out) {
  const Form& form = decoder.form();
  out.options[0] = static_cast<std::uint8_t>(FindWindow(form));
  if (decoder.operand_count() != (kMap ? 3u : 2u)) throw decoder.Refuse("it has operands too many or too few");
  decoder.Push(decoder.Destination(decoder.operand(0), kMap ? form.type() : ScalarType::kB32));
  decoder.Push(decoder.Source(decoder.operand(1), form.type()));
  if (kMap) decoder.Push(decoder.Source(decoder.operand(2), ScalarType::kB32));
}

Meeting MeetingAt(const Cluster& cluster) { return {Meeting::Kind::kClusterBarrier, 0, 0, cluster.barrier().phase}; }

void Arrive(Warp& warp, const Instruction& i) {
  if (i.options[0] != 0 && !warp.Gather(kAllLanes)) return;
  if (const std::uint32_t again = warp.cluster_arrived & warp.mask(); again != 0)
    throw warp.Fault(i, std::countr_zero(again), "arrives a second time without barrier.cluster.wait between");
  Cluster& cluster = warp.cta().cluster();
  for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1)
    warp.cluster_phases[static_cast<std::size_t>(std::countr_zero(m))] = cluster.barrier().phase;
  warp.cluster_arrived |= warp.mask();
  if (Observer* const observer = warp.observer()) observer->OnArrive(warp, i, MeetingAt(cluster), i.options[1] == 0);
  cluster.Arrive(static_cast<std::uint32_t>(std::popcount(warp.mask())));
}

void Wait(Warp& warp, const Instruction& i) {
  if (i.options[0] != 0 && !warp.Gather(kAllLanes)) return;
  if (const std::uint32_t without = warp.mask() & ~warp.cluster_arrived; without != 0)
    throw warp.Fault(i, std::countr_zero(without), "waits without barrier.cluster.arrive before");
  const std::uint64_t phase = warp.cta().cluster().barrier().phase;
  for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1)
    if (warp.cluster_phases[static_cast<std::size_t>(std::countr_zero(m))] == phase)
      return warp.Block("the barrier of its cluster", MeetingAt(warp.cta().cluster()));
  warp.cluster_arrived &= ~warp.mask();
  if (Observer* const observer = warp.observer()) observer->OnWaited(warp, i, MeetingAt(warp.cta().cluster()));
}

void PrepareBarrier(Decoder& decoder, Instruction& out) {
  out.options[0] = decoder.form().Has("aligned") ? 1 : 0;
  out.options[1] = decoder.form().Has("relaxed") ? 1 : 0;
}

constexpr Category kCategory = Category::kBarrier;
#define GEMMSMITH_EXECUTE(f) [](const Form&) -> Execute { return f; }

constexpr Row kRows[] = {
    {"mapa[.shared::cluster].{u32,u64}", "", Category::kMove, 78, 90, GEMMSMITH_EXECUTE(MapAddress),
     PrepareAddress<true>},
    {"getctarank[.shared::cluster].{u32,u64}", "", Category::kMove, 78, 90, GEMMSMITH_EXECUTE(GetRank),
     PrepareAddress<false>},
    {"barrier.cluster.arrive[.{release,relaxed}][.aligned]", "", kCategory, 78, 90, GEMMSMITH_EXECUTE(Arrive),
     PrepareBarrier},
    {"barrier.cluster.wait[.acquire][.aligned]", "", kCategory, 78, 90, GEMMSMITH_EXECUTE(Wait), PrepareBarrier},
};

}  // namespace

std::span<const Row> ClusterRows() { return kRows; }

}  // namespace gemmsmith::emulator
