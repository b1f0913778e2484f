#include "runtime/emulator/check/global_shadow.h"

#include <algorithm>

namespace gemmsmith::emulator {
namespace {

constexpr std::uint32_t kMixed = 1u << 31;  // of a word's writer: it counts in mixed_
// Ranges of a page that were read; more are not kept. A page that is read that often is most often written by nobody.
constexpr std::size_t kMostReads = 1024;
constexpr std::size_t kRecentReads = 4;  // among which one that goes on is looked for

}  // namespace

std::optional<GlobalShadow::Conflict> GlobalShadow::OnAccess(const GridAccess& by, AccessKind kind,
                                                             std::uint64_t address, std::uint64_t bytes,
                                                             const GridKnowledge& knowledge) {
  if (writers() > compact_at_) Compact();
  Current current{by, kind != AccessKind::kRead, knowledge};
  if (current.writes) current.number = writers_.Number(by);
  for (const std::uint64_t end = address + bytes; address < end;) {
    const std::uint64_t number = address / kPageBytes, next = std::min(end, (number + 1) * kPageBytes);
    OnPage(current, number, static_cast<std::uint32_t>(address % kPageBytes),
           static_cast<std::uint32_t>(next - number * kPageBytes));
    address = next;
  }
  return current.conflict;
}

GlobalShadow::Page& GlobalShadow::PageAt(std::uint64_t number) {
  auto& [recent, page] = recent_[number % recent_.size()];
  if (recent != number) {
    recent = number;
    page = &pages_[number];
  }
  return *page;
}

void GlobalShadow::OnPage(Current& current, std::uint64_t number, std::uint32_t begin, std::uint32_t end) {
  Page& page = PageAt(number);
  const std::uint64_t base = number * kPageBytes;
  if (current.writes && page.writers.empty()) page.writers.resize(kWords);
  if (!page.writers.empty()) OnWriters(current, page, base, begin, end);
  if (current.writes)
    OnReaders(current, page, base, begin, end);
  else
    NoteRead(current.by, page, begin, end);
}

void GlobalShadow::OnWriters(Current& current, Page& page, std::uint64_t base, std::uint32_t begin, std::uint32_t end) {
  for (std::uint32_t at = begin; at < end;) {
    std::uint32_t& word = page.writers[at / 4];
    const std::uint32_t next = std::min(end, (at / 4 + 1) * 4);
    const unsigned mask = ((1u << (next - at)) - 1) << (at % 4);
    if (mask == 15 && (word & kMixed) == 0) {
      if (word != current.passed) CheckWriter(current, word, base + at);
      if (current.writes) word = current.number;
    } else {
      OnWord(current, word, base + at / 4 * 4, mask);
    }
    at = next;
  }
}

void GlobalShadow::OnWord(Current& current, std::uint32_t& word, std::uint64_t address, unsigned mask) {
  Mixed mixed{{word, word, word, word}};
  if ((word & kMixed) != 0) mixed = mixed_[word & ~kMixed];
  for (unsigned i = 0; i < 4; ++i) {
    if ((mask >> i & 1) == 0) continue;
    CheckWriter(current, mixed.bytes[i], address + i);
    if (current.writes) mixed.bytes[i] = current.number;
  }
  if (!current.writes) return;
  const bool same = std::all_of(mixed.bytes, mixed.bytes + 4, [&](std::uint32_t b) { return b == mixed.bytes[0]; });
  word = same ? mixed.bytes[0] : kMixed | mixed_.Number(mixed);
}

void GlobalShadow::CheckWriter(Current& current, std::uint32_t writer, std::uint64_t address) {
  current.passed = writer;
  if (writer == 0 || current.conflict) return;
  const GridAccess& other = writers_[writer];
  if (current.by.AtomicWith(other)) return;
  if (current.knowledge.Has(Epoch::FromBits(other.epoch))) return;
  const bool in_flight = !other.by_warp() && GridAgent::ClusterOf(other.agent()) == current.knowledge.cluster;
  const ViolationKind kind = current.writes
                                 ? in_flight ? ViolationKind::kOverwriteInFlight : ViolationKind::kWriteAfterWrite
                             : in_flight ? ViolationKind::kReadBeforeCompletion
                                         : ViolationKind::kReadAfterWrite;
  current.conflict = Conflict{kind, address, other};
}

/// A write ends what it knows of and covers: who comes after it comes after those reads.
void GlobalShadow::OnReaders(Current& current, Page& page, std::uint64_t base, std::uint32_t begin, std::uint32_t end) {
  std::erase_if(page.reads, [&](const Read& read) {
    if (read.end <= begin || read.begin >= end) return false;
    if (current.knowledge.Has(Epoch::FromBits(read.by.epoch))) return read.begin >= begin && read.end <= end;
    if (current.conflict || current.by.AtomicWith(read.by)) return false;
    const bool in_flight = !read.by.by_warp() && GridAgent::ClusterOf(read.by.agent()) == current.knowledge.cluster;
    current.conflict = Conflict{in_flight ? ViolationKind::kOverwriteInFlight : ViolationKind::kWriteAfterRead,
                                base + std::max<std::uint32_t>(begin, read.begin), read.by};
    return false;
  });
}

void GlobalShadow::NoteRead(const GridAccess& by, Page& page, std::uint32_t begin, std::uint32_t end) {
  const std::size_t count = page.reads.size();
  // Who polls reads the same again and again, and so do others meanwhile.
  const std::size_t looked_at = by.atomicity != Atomicity::kNone ? count : std::min(count, kRecentReads);
  for (std::size_t i = count; i > count - looked_at; --i) {
    Read& read = page.reads[i - 1];
    if (read.by.agent() != by.agent() || read.by.what != by.what || read.by.atomicity != by.atomicity) continue;
    if (read.begin == begin && read.end == end) {
      read.by.epoch = by.epoch;  // The later one: who knows of it knows of both.
      return;
    }
    if (read.by.epoch == by.epoch && read.end == begin) {
      read.end = static_cast<std::uint16_t>(end);
      return;
    }
  }
  if (count < kMostReads)
    page.reads.push_back({by, static_cast<std::uint16_t>(begin), static_cast<std::uint16_t>(end)});
}

/// Gives new numbers to the writers that are still some byte's last.
void GlobalShadow::Compact() {
  Interner<GridAccess> writers;
  Interner<Mixed> mixed;
  const auto moved = [&](std::uint32_t number) { return writers.Number(writers_[number]); };
  for (auto& [number, page] : pages_)
    for (std::uint32_t& word : page.writers) {
      if ((word & kMixed) == 0) {
        word = moved(word);
        continue;
      }
      Mixed value = mixed_[word & ~kMixed];
      for (std::uint32_t& byte : value.bytes) byte = moved(byte);
      word = kMixed | mixed.Number(value);
    }
  writers_ = std::move(writers);
  mixed_ = std::move(mixed);
  compact_at_ = std::max<std::size_t>(1 << 20, 2 * this->writers());
}

}  // namespace gemmsmith::emulator
