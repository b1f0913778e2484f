#pragma once

#include <cstdint>
#include <string_view>

namespace gemmsmith::emulator {

/// What the emulated device says of a kernel, as bits of a mask.
enum Report : std::uint32_t {
  kNothing = 0,
  kRace = 1,
  kUninitialised = 2,
  kMissingFence = 4,    ///< Of the async proxy.
  kEarlyRead = 8,       ///< Of what an asynchronous operation writes.
  kOverwrite = 16,      ///< Of what an asynchronous operation uses.
  kEarlyRegister = 32,  ///< Of a wgmma.
  kDeadlock = 64,
  kBytes = 128,         ///< That an mbarrier did not expect.
  kMisuse = 256,        ///< Of barriers, or no wgmma.fence.
  kUnfinished = 512,    ///< Work, or uses of its memory, at the end of a CTA.
  kOutside = 1024,      ///< Of memory, or not aligned, or of the cluster.
  kWrongResult = 2048,  ///< None of them: the numbers are wrong.
  kOther = 4096,
};

struct ReportKind {
  Report report;
  const char* name;
  const char* text;  ///< What such messages hold.
};
/// The first whose text is there: messages name instructions, too, and deadlocks tell of bytes.
inline constexpr ReportKind kReportKinds[] = {
    {kDeadlock, "deadlock", "deadlock: "},
    {kUnfinished, "unfinished at the end", " ends while "},
    {kUnfinished, "unfinished at the end", "has ended, whose shared memory"},
    {kUnfinished, "unfinished at the end", ", which has ended"},
    {kRace, "race", ": race: "},
    {kUninitialised, "uninitialised read", ": uninitialised read: "},
    {kMissingFence, "missing proxy fence", ": missing fence.proxy.async"},
    {kEarlyRead, "early read", "read before the asynchronous operation completed"},
    {kOverwrite, "overwrite in flight", "overwrite of what an asynchronous operation still uses"},
    {kEarlyRegister, "early use of registers", "wgmma.wait_group belongs before it"},
    {kBytes, "unexpected bytes", "bytes more than were expected"},
    {kOutside, "outside of memory", ", outside of "},
    {kOutside, "outside of memory", " bytes past the end of "},
    {kOutside, "outside of memory", " bytes before the "},
    {kOutside, "outside of memory", "which is not a multiple of"},
    {kOutside, "outside of memory", ": matrix descriptor "},
    {kOutside, "outside of memory", "which its cluster does not have"},
    {kOutside, "outside of memory", " of a cluster of "},
    {kMisuse, "misuse of a barrier", "mbarrier.arrive: "},
    {kMisuse, "misuse of a barrier", "mbarrier.init: "},
    {kMisuse, "misuse of a barrier", "no barrier was initialised"},
    {kMisuse, "misuse of a barrier", "is in use (phase"},
    {kMisuse, "misuse of a barrier", "is waited for by"},
    {kMisuse, "misuse of a barrier", "without barrier.cluster"},
    {kMisuse, "misuse of a barrier", "no wgmma.fence was executed"},
    {kMisuse, "misuse of a barrier", "have accessed since the last wgmma.fence"},
    {kWrongResult, "wrong result", "wrong result: "},
};
inline ReportKind KindOf(std::string_view message) {
  if (message.empty()) return {kNothing, "nothing", ""};
  for (const ReportKind& kind : kReportKinds)
    if (message.find(kind.text) != message.npos) return kind;
  return {kOther, "other", ""};
}

}  // namespace gemmsmith::emulator
