#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "runtime/emulator/check/clocks.h"
#include "runtime/emulator/check/foreign.h"
#include "runtime/emulator/check/interner.h"
#include "runtime/emulator/check/shared_shadow.h"
#include "runtime/emulator/machine/launch.h"

namespace gemmsmith::emulator {

/// Agents of a whole grid in one number: the cluster, and the agent within it.
struct GridAgent {
  static constexpr int kLocalBits = 12;
  static constexpr std::uint32_t kMostLocal = 1u << kLocalBits, kMostClusters = 1u << (31 - kLocalBits);

  static constexpr int Make(std::uint32_t cluster, int agent) {
    return static_cast<int>(cluster << kLocalBits) | agent;
  }
  static constexpr std::uint32_t ClusterOf(int agent) { return static_cast<std::uint32_t>(agent) >> kLocalBits; }
  static constexpr std::uint32_t LocalOf(int agent) { return static_cast<std::uint32_t>(agent) & (kMostLocal - 1); }
};

/// For whom an access is atomic, or volatile, relaxed and stronger.
enum class Atomicity : std::uint16_t { kNone, kCluster, kGrid };

/// Who accessed global memory, when, and by which instruction.
struct GridAccess {
  std::uint64_t epoch = 0;  ///< Of a GridAgent.
  std::uint32_t what = 0;
  std::uint16_t warp = 0;  ///< Of its cluster: the agent itself, or the issuer of the operation.
  Atomicity atomicity = Atomicity::kNone;

  int agent() const { return Epoch::FromBits(epoch).agent(); }
  bool by_warp() const { return GridAgent::LocalOf(agent()) == warp; }
  /// Each atomic for the other: they do not race.
  bool AtomicWith(const GridAccess& other) const {
    const Atomicity less = std::min(atomicity, other.atomicity);
    return less == Atomicity::kGrid ||
           (less == Atomicity::kCluster && GridAgent::ClusterOf(agent()) == GridAgent::ClusterOf(other.agent()));
  }
};

/// What an agent knew at an access.
struct GridKnowledge {
  std::uint32_t cluster = 0;
  const std::uint32_t* times = nullptr;  ///< Of the agents of its own cluster.
  std::size_t agents = 0;
  const Foreign* foreign = nullptr;

  bool Has(Epoch then) const {
    const std::uint32_t of = GridAgent::ClusterOf(then.agent()), agent = GridAgent::LocalOf(then.agent());
    if (of == cluster) return agent < agents && times[agent] >= then.time();
    const Foreign::Times* const known = foreign == nullptr ? nullptr : foreign->Of(of);
    return known != nullptr && agent < known->size() && (*known)[agent] >= then.time();
  }
};

/// Shadow of the global memory that one launch uses, by pages that come into being when they are touched: who wrote
/// each byte last, and the ranges that were read since. Pages that nobody writes, most of all, are lists of ranges
/// alone.
class GlobalShadow {
 public:
  struct Conflict {
    ViolationKind kind;
    std::uint64_t address;  ///< First byte.
    GridAccess other;
  };
  /// The first conflict with an access that `knowledge` has not heard of; the access counts either way.
  std::optional<Conflict> OnAccess(const GridAccess& by, AccessKind kind, std::uint64_t address, std::uint64_t bytes,
                                   const GridKnowledge& knowledge);

  std::size_t pages() const { return pages_.size(); }
  std::size_t writers() const { return writers_.size() + mixed_.size(); }

 private:
  static constexpr std::uint32_t kPageBytes = 4096, kWords = kPageBytes / 4;
  struct Read {
    GridAccess by;
    std::uint16_t begin, end;  // bytes of the page
  };
  struct Page {
    std::vector<Read> reads;
    std::vector<std::uint32_t> writers;  // of each word; none before the first write
  };
  struct Mixed {
    std::uint32_t bytes[4];
  };
  /// The access that is being worked on.
  struct Current {
    GridAccess by;
    bool writes;
    const GridKnowledge& knowledge;
    std::uint32_t number = 0;  // of `by` among the writers
    std::uint32_t passed = 0;  // the writer that was looked at last
    std::optional<Conflict> conflict = std::nullopt;
  };

  Page& PageAt(std::uint64_t number);
  void OnPage(Current& current, std::uint64_t number, std::uint32_t begin, std::uint32_t end);
  void OnWriters(Current& current, Page& page, std::uint64_t base, std::uint32_t begin, std::uint32_t end);
  void OnWord(Current& current, std::uint32_t& word, std::uint64_t address, unsigned mask);
  void OnReaders(Current& current, Page& page, std::uint64_t base, std::uint32_t begin, std::uint32_t end);
  void CheckWriter(Current& current, std::uint32_t writer, std::uint64_t address);
  static void NoteRead(const GridAccess& by, Page& page, std::uint32_t begin, std::uint32_t end);
  void Compact();

  std::unordered_map<std::uint64_t, Page> pages_;
  std::array<std::pair<std::uint64_t, Page*>, 256> recent_{};  // pages by their last bits
  Interner<GridAccess> writers_;
  Interner<Mixed> mixed_;
  std::size_t compact_at_ = 1 << 20;
};

}  // namespace gemmsmith::emulator
