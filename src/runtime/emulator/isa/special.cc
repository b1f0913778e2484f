#include "runtime/emulator/isa/special.h"

namespace gemmsmith::emulator {
namespace {

constexpr SpecialRow kRows[] = {
    {"%tid.x", Special::kTidX},
    {"%tid.y", Special::kTidY},
    {"%tid.z", Special::kTidZ},
    {"%ntid.x", Special::kNtidX},
    {"%ntid.y", Special::kNtidY},
    {"%ntid.z", Special::kNtidZ},
    {"%ctaid.x", Special::kCtaidX},
    {"%ctaid.y", Special::kCtaidY},
    {"%ctaid.z", Special::kCtaidZ},
    {"%nctaid.x", Special::kNctaidX},
    {"%nctaid.y", Special::kNctaidY},
    {"%nctaid.z", Special::kNctaidZ},
    {"%laneid", Special::kLaneid},
    {"%warpid", Special::kWarpid},
    {"%nwarpid", Special::kNwarpid},
    {"%smid", Special::kSmid},
    {"%nsmid", Special::kNsmid},
    {"%gridid", Special::kGridid, 64},
    {"%lanemask_eq", Special::kLanemaskEq},
    {"%lanemask_lt", Special::kLanemaskLt},
    {"%lanemask_le", Special::kLanemaskLe},
    {"%lanemask_gt", Special::kLanemaskGt},
    {"%lanemask_ge", Special::kLanemaskGe},
    {"%clusterid.x", Special::kClusteridX},
    {"%clusterid.y", Special::kClusteridY},
    {"%clusterid.z", Special::kClusteridZ},
    {"%nclusterid.x", Special::kNclusteridX},
    {"%nclusterid.y", Special::kNclusteridY},
    {"%nclusterid.z", Special::kNclusteridZ},
    {"%cluster_ctaid.x", Special::kClusterCtaidX},
    {"%cluster_ctaid.y", Special::kClusterCtaidY},
    {"%cluster_ctaid.z", Special::kClusterCtaidZ},
    {"%cluster_nctaid.x", Special::kClusterNctaidX},
    {"%cluster_nctaid.y", Special::kClusterNctaidY},
    {"%cluster_nctaid.z", Special::kClusterNctaidZ},
    {"%cluster_ctarank", Special::kClusterCtarank},
    {"%cluster_nctarank", Special::kClusterNctarank},
    {"%dynamic_smem_size", Special::kDynamicSmemSize},
    {"%total_smem_size", Special::kTotalSmemSize},
    {"%aggr_smem_size", Special::kAggrSmemSize},
    {"%reserved_smem_offset_begin", Special::kReservedBegin},
    {"%reserved_smem_offset_end", Special::kReservedEnd},
    {"%reserved_smem_offset_cap", Special::kReservedCap},
    {"%envreg0", Special::kEnvreg0},
    {"%envreg1", Special::kEnvreg1},
    {"%envreg2", Special::kEnvreg2},
    {"%clock", Special::kClock, 32, true},
    {"%clock_hi", Special::kClockHi, 32, true},
    {"%clock64", Special::kClock64, 64, true},
    {"%globaltimer", Special::kGlobaltimer, 64, true},
    {"%globaltimer_lo", Special::kGlobaltimerLo, 32, true},
    {"%globaltimer_hi", Special::kGlobaltimerHi, 32, true},
};

}  // namespace

std::span<const SpecialRow> SpecialRegisters() { return kRows; }

const SpecialRow* FindSpecialRegister(std::string_view name) {
  for (const SpecialRow& row : kRows)
    if (row.name == name) return &row;
  return nullptr;
}

}  // namespace gemmsmith::emulator
