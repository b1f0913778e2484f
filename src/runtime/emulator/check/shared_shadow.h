#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/emulator/check/clocks.h"
#include "runtime/emulator/check/interner.h"

namespace gemmsmith::emulator {

/// What was wrong with an access, given an earlier one that it does not know of.
enum class ViolationKind {
  kUninitialisedRead,     ///< Nothing was written there.
  kWriteAfterWrite,       ///< Races of two writes,
  kWriteAfterRead,        ///< of a write with an earlier read,
  kReadAfterWrite,        ///< of a read with an earlier write.
  kReadBeforeCompletion,  ///< A read of what an asynchronous operation writes, before a wait for it.
  kOverwriteInFlight,     ///< A write over what an asynchronous operation reads or writes, before a wait for it.
  kMissingProxyFence,     ///< The async proxy meets a write of the generic proxy without fence.proxy.async after it.
};
std::string_view ToString(ViolationKind kind);

enum class Proxy : std::uint8_t { kGeneric, kAsync };

/// Who accesses, and how. `what` is the caller's number for the instruction, for reports.
struct Access {
  int agent = 0;
  std::uint32_t what = 0;
  Proxy proxy = Proxy::kGeneric;
  bool atomic =
      false;  ///< atom, red, and volatile, relaxed, acquire and release accesses: they do not race with each other.

  bool operator==(const Access&) const = default;
};

struct Violation {
  ViolationKind kind;
  std::uint32_t address;  ///< First byte.
  int other_agent;        ///< -1 where there is none.
  std::uint32_t other_what;
};

/// Shadow of the shared memory of one CTA: who wrote each byte last, and who read it since.
///
/// Every 4 bytes have one number, which stands for their whole history. Equal histories have equal numbers, so that an
/// access works out once what becomes of each history that it meets, and for the rest replaces numbers.
/// Of several atomic accesses the last is kept: a plain access must know of that one.
class SharedShadow {
 public:
  SharedShadow(std::size_t bytes, const Clocks& clocks);

  /// The first violation, if any; the access counts either way. Addresses are within the memory.
  std::optional<Violation> OnRead(const Access& access, std::uint32_t address, std::uint32_t bytes);
  std::optional<Violation> OnWrite(const Access& access, std::uint32_t address, std::uint32_t bytes);
  /// Both at once.
  std::optional<Violation> OnReadModifyWrite(const Access& access, std::uint32_t address, std::uint32_t bytes);
  /// `bytes` at the address of each lane in the mask.
  std::optional<Violation> OnRead(const Access& access, const std::uint32_t* addresses, std::uint32_t lanes,
                                  std::uint32_t bytes);
  std::optional<Violation> OnWrite(const Access& access, const std::uint32_t* addresses, std::uint32_t lanes,
                                   std::uint32_t bytes);

  /// `bytes` at each address: what a tensor core reads of a factor.
  std::optional<Violation> OnReadPieces(const Access& access, std::span<const std::uint32_t> addresses,
                                        std::uint32_t bytes);

  /// As if written before the kernel began, by nobody in particular.
  void MarkInitialised(std::uint32_t address, std::uint32_t bytes);
  /// As if never written: memory that another CTA had before.
  void Clear();
  /// The same of whole words alone.
  void Forget(std::uint32_t address, std::uint32_t bytes);

  /// Different histories kept; they are cleared away as they fall out of use.
  std::size_t histories() const { return histories_.size() + readers_.size() + mixed_.size(); }

 private:
  enum class Operation : std::uint8_t { kRead, kWrite, kReadModifyWrite };
  /// Of one byte.
  struct History {
    std::uint64_t writer;  // Epoch; 0: nobody
    std::uint32_t writer_what, readers;
    std::uint64_t flags;
  };
  /// One of those who read since the last write, and the number of the rest.
  struct Reader {
    std::uint64_t epoch_and_atomic;
    std::uint32_t what, rest;
  };
  /// Of 4 bytes with different histories.
  struct Mixed {
    std::uint32_t bytes[4];
  };
  struct Step {
    std::uint32_t from, to;
    std::uint64_t serial;
  };
  struct Compaction;
  static constexpr std::size_t kSteps = 64;

  std::optional<Violation> Lanes(Operation operation, const Access& access, const std::uint32_t* addresses,
                                 std::uint32_t lanes, std::uint32_t bytes);
  std::optional<Violation> Range(Operation operation, const Access& access, std::uint32_t address, std::uint32_t bytes);
  void Begin(Operation operation, const Access& access);
  void Span(std::uint32_t address, std::uint32_t bytes);
  void Words(std::size_t first, std::size_t last);
  void PartOfWord(std::uint32_t address, std::uint32_t bytes);
  std::uint32_t Remembered(std::uint32_t number, std::uint32_t address);
  std::uint32_t AfterBytes(std::uint32_t number, std::uint32_t address, unsigned mask);
  std::uint32_t AfterByte(std::uint32_t history, std::uint32_t address);
  void CheckWriter(const History& history, bool writes, std::uint32_t address);
  void CheckReaders(const History& history, std::uint32_t address);
  std::uint32_t WithReader(std::uint32_t readers);
  std::uint32_t Prepend(const Reader& reader, std::uint32_t rest);
  void Report(ViolationKind kind, std::uint32_t address, Epoch other, std::uint32_t other_what);
  void Compact();

  const Clocks& clocks_;
  std::vector<std::uint32_t> words_;
  Interner<History> histories_;
  Interner<Reader> readers_;
  Interner<Mixed> mixed_;
  std::size_t compact_at_;

  // The access that is being worked on, and what became of histories under it.
  Access access_;
  Operation operation_ = Operation::kRead;
  std::uint64_t version_ = 0, serial_ = 0;
  Epoch now_;
  std::optional<Violation> violation_;
  Step steps_[kSteps] = {};
};

}  // namespace gemmsmith::emulator
