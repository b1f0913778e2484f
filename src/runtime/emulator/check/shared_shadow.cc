#include "runtime/emulator/check/shared_shadow.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace gemmsmith::emulator {
namespace {

constexpr std::uint32_t kMixed = 1u << 31;  // of a word's number: it counts in mixed_, not in histories_
constexpr std::uint64_t kInitialised = 1, kByGenericProxy = 2, kByAtomic = 4;
constexpr std::uint64_t kReadAtomically = std::uint64_t{1} << 63;
constexpr std::size_t kFewHistories = 1 << 14;
constexpr int kMostReaders = 255;  // who do not know of each other; more are not kept

constexpr const char* kNames[] = {"uninitialised read",
                                  "race: write after write",
                                  "race: write after read",
                                  "race: read after write",
                                  "read before the asynchronous operation completed",
                                  "overwrite of what an asynchronous operation still uses",
                                  "missing fence.proxy.async"};

Epoch EpochOf(std::uint64_t epoch_and_atomic) { return Epoch::FromBits(epoch_and_atomic & ~kReadAtomically); }

}  // namespace

std::string_view ToString(ViolationKind kind) { return kNames[static_cast<int>(kind)]; }

SharedShadow::SharedShadow(std::size_t bytes, const Clocks& clocks)
    : clocks_(clocks), words_((bytes + 3) / 4), compact_at_(kFewHistories) {}

std::optional<Violation> SharedShadow::OnRead(const Access& access, std::uint32_t address, std::uint32_t bytes) {
  return Range(Operation::kRead, access, address, bytes);
}
std::optional<Violation> SharedShadow::OnWrite(const Access& access, std::uint32_t address, std::uint32_t bytes) {
  return Range(Operation::kWrite, access, address, bytes);
}
std::optional<Violation> SharedShadow::OnReadModifyWrite(const Access& access, std::uint32_t address,
                                                         std::uint32_t bytes) {
  return Range(Operation::kReadModifyWrite, access, address, bytes);
}
std::optional<Violation> SharedShadow::OnRead(const Access& access, const std::uint32_t* addresses, std::uint32_t lanes,
                                              std::uint32_t bytes) {
  return Lanes(Operation::kRead, access, addresses, lanes, bytes);
}
std::optional<Violation> SharedShadow::OnWrite(const Access& access, const std::uint32_t* addresses,
                                               std::uint32_t lanes, std::uint32_t bytes) {
  return Lanes(Operation::kWrite, access, addresses, lanes, bytes);
}

std::optional<Violation> SharedShadow::OnReadPieces(const Access& access, std::span<const std::uint32_t> addresses,
                                                    std::uint32_t bytes) {
  Begin(Operation::kRead, access);
  for (std::size_t i = 0; i < addresses.size();) {
    const std::uint32_t start = addresses[i];
    std::uint32_t length = 0;
    do {
      length += bytes;
      ++i;
    } while (i < addresses.size() && addresses[i] == start + length);
    Span(start, length);
  }
  return violation_;
}

/// Lanes whose bytes follow each other are one span.
std::optional<Violation> SharedShadow::Lanes(Operation operation, const Access& access, const std::uint32_t* addresses,
                                             std::uint32_t lanes, std::uint32_t bytes) {
  Begin(operation, access);
  while (lanes != 0) {
    int lane = std::countr_zero(lanes);
    const std::uint32_t start = addresses[lane];
    std::uint32_t length = 0;
    do {
      lanes &= lanes - 1;
      length += bytes;
      ++lane;
    } while (lane < 32 && (lanes >> lane & 1) != 0 && addresses[lane] == start + length);
    Span(start, length);
  }
  return violation_;
}

std::optional<Violation> SharedShadow::Range(Operation operation, const Access& access, std::uint32_t address,
                                             std::uint32_t bytes) {
  Begin(operation, access);
  Span(address, bytes);
  return violation_;
}

void SharedShadow::Span(std::uint32_t address, std::uint32_t bytes) {
  assert(address + std::size_t{bytes} <= words_.size() * 4);
  const std::uint32_t end = address + bytes;
  const std::uint32_t first = (address + 3) / 4, last = end / 4;
  if (first > last) {  // within one word
    PartOfWord(address, bytes);
    return;
  }
  if (first * 4 > address) PartOfWord(address, first * 4 - address);
  Words(first, last);
  if (end > last * 4) PartOfWord(last * 4, end - last * 4);
}

/// Keeps what was worked out as long as the same access goes on, at other addresses.
void SharedShadow::Begin(Operation operation, const Access& access) {
  violation_.reset();
  const std::uint64_t version = clocks_.Version(access.agent);
  if (access == access_ && operation == operation_ && version == version_ && serial_ != 0) return;
  if (histories() > compact_at_) Compact();
  access_ = access;
  operation_ = operation;
  version_ = version;
  now_ = clocks_.Now(access.agent);
  ++serial_;
}

void SharedShadow::Words(std::size_t first, std::size_t last) {
  constexpr std::size_t kBlock = 8;
  std::uint32_t* words = words_.data();
  std::size_t i = first;
  while (i < last) {
    const std::uint32_t from = words[i];
    const std::uint32_t to = Remembered(from, static_cast<std::uint32_t>(i * 4));
    words[i++] = to;
    // Most neighbours have one history.
    for (; i + kBlock <= last; i += kBlock) {
      std::uint32_t differs = 0;
      for (std::size_t j = 0; j < kBlock; ++j) differs |= words[i + j] ^ from;
      if (differs != 0) break;
      for (std::size_t j = 0; j < kBlock; ++j) words[i + j] = to;
    }
    for (; i < last && words[i] == from; ++i) words[i] = to;
  }
}

void SharedShadow::PartOfWord(std::uint32_t address, std::uint32_t bytes) {
  std::uint32_t& word = words_[address / 4];
  word = AfterBytes(word, address & ~3u, ((1u << bytes) - 1) << (address % 4));
}

/// What becomes of a whole word. A violation is not remembered: the next word shall report its own.
std::uint32_t SharedShadow::Remembered(std::uint32_t number, std::uint32_t address) {
  Step& step = steps_[number % kSteps];
  if (step.serial == serial_ && step.from == number) return step.to;
  const bool clean = !violation_;
  const std::uint32_t to = AfterBytes(number, address, 15);
  if (clean && !violation_) step = {number, to, serial_};
  return to;
}

std::uint32_t SharedShadow::AfterBytes(std::uint32_t number, std::uint32_t address, unsigned mask) {
  if ((number & kMixed) == 0 && mask == 15) return AfterByte(number, address);
  Mixed mixed{{number, number, number, number}};
  if ((number & kMixed) != 0) mixed = mixed_[number & ~kMixed];
  for (unsigned i = 0; i < 4; ++i)
    if ((mask >> i & 1) != 0) mixed.bytes[i] = AfterByte(mixed.bytes[i], address + i);
  if (std::all_of(mixed.bytes, mixed.bytes + 4, [&](std::uint32_t byte) { return byte == mixed.bytes[0]; }))
    return mixed.bytes[0];
  return kMixed | mixed_.Number(mixed);
}

std::uint32_t SharedShadow::AfterByte(std::uint32_t number, std::uint32_t address) {
  History history = histories_[number];
  const bool reads = operation_ != Operation::kWrite, writes = operation_ != Operation::kRead;
  if (reads && (history.flags & kInitialised) == 0) {
    Report(ViolationKind::kUninitialisedRead, address, {}, 0);
    history.flags |= kInitialised;  // said once
  }
  CheckWriter(history, writes, address);
  if (writes) {
    CheckReaders(history, address);
    history.writer = now_.bits();
    history.writer_what = access_.what;
    history.readers = 0;
    history.flags =
        kInitialised | (access_.proxy == Proxy::kGeneric ? kByGenericProxy : 0) | (access_.atomic ? kByAtomic : 0);
  } else {
    history.readers = WithReader(history.readers);
  }
  return histories_.Number(history);
}

void SharedShadow::CheckWriter(const History& history, bool writes, std::uint32_t address) {
  const Epoch writer = Epoch::FromBits(history.writer);
  if (!writer || (access_.atomic && (history.flags & kByAtomic) != 0)) return;
  if (!clocks_.Knows(access_.agent, writer)) {
    const bool in_flight = !clocks_.is_warp(writer.agent());
    Report(writes      ? in_flight ? ViolationKind::kOverwriteInFlight : ViolationKind::kWriteAfterWrite
           : in_flight ? ViolationKind::kReadBeforeCompletion
                       : ViolationKind::kReadAfterWrite,
           address, writer, history.writer_what);
  } else if (access_.proxy == Proxy::kAsync && (history.flags & kByGenericProxy) != 0 &&
             !clocks_.KnowsFenced(access_.agent, writer)) {
    Report(ViolationKind::kMissingProxyFence, address, writer, history.writer_what);
  }
}

void SharedShadow::CheckReaders(const History& history, std::uint32_t address) {
  for (std::uint32_t number = history.readers; number != 0; number = readers_[number].rest) {
    const Reader& reader = readers_[number];
    if (access_.atomic && (reader.epoch_and_atomic & kReadAtomically) != 0) continue;
    const Epoch then = EpochOf(reader.epoch_and_atomic);
    if (clocks_.Knows(access_.agent, then)) continue;
    Report(clocks_.is_warp(then.agent()) ? ViolationKind::kWriteAfterRead : ViolationKind::kOverwriteInFlight, address,
           then, reader.what);
    return;
  }
}

/// With the reader of now, and without those whose reads it knows of: who comes after it comes after them. Sorted by
/// agent, so that the same readers have the same number.
std::uint32_t SharedShadow::WithReader(std::uint32_t readers) {
  const Reader mine{now_.bits() | (access_.atomic ? kReadAtomically : 0), access_.what, 0};
  Reader kept[kMostReaders + 1];
  int count = 0;
  bool placed = false;
  for (std::uint32_t number = readers; number != 0 && count < kMostReaders; number = readers_[number].rest) {
    const Reader& reader = readers_[number];
    if (reader.epoch_and_atomic == mine.epoch_and_atomic && reader.what == mine.what) return readers;
    const Epoch then = EpochOf(reader.epoch_and_atomic);
    // An atomic read does not stand for a plain one, which races with more.
    const bool replaced = !access_.atomic || (reader.epoch_and_atomic & kReadAtomically) != 0;
    if (replaced && clocks_.Knows(access_.agent, then)) continue;
    if (!placed && then.agent() > access_.agent) {
      kept[count++] = mine;
      placed = true;
    }
    kept[count++] = reader;
  }
  if (!placed) kept[count++] = mine;
  std::uint32_t number = 0;
  while (count > 0) number = Prepend(kept[--count], number);
  return number;
}

std::uint32_t SharedShadow::Prepend(const Reader& reader, std::uint32_t rest) {
  return readers_.Number({reader.epoch_and_atomic, reader.what, rest});
}

void SharedShadow::Report(ViolationKind kind, std::uint32_t address, Epoch other, std::uint32_t other_what) {
  if (!violation_) violation_ = Violation{kind, address, other ? other.agent() : -1, other_what};
}

void SharedShadow::MarkInitialised(std::uint32_t address, std::uint32_t bytes) {
  const std::uint32_t history = histories_.Number({0, 0, 0, kInitialised});
  for (std::uint32_t at = address; at < address + bytes; ++at) {
    std::uint32_t& word = words_[at / 4];
    Mixed mixed{{word, word, word, word}};
    if ((word & kMixed) != 0) mixed = mixed_[word & ~kMixed];
    mixed.bytes[at % 4] = history;
    const bool same = std::all_of(mixed.bytes, mixed.bytes + 4, [&](std::uint32_t b) { return b == history; });
    word = same ? history : kMixed | mixed_.Number(mixed);
  }
}

void SharedShadow::Forget(std::uint32_t address, std::uint32_t bytes) {
  std::fill_n(words_.begin() + address / 4, bytes / 4, 0);
}
void SharedShadow::Clear() { std::fill(words_.begin(), words_.end(), 0); }

/// Old numbers to new ones, for what is still in use.
struct SharedShadow::Compaction {
  static constexpr std::uint32_t kUnseen = ~0u;

  const SharedShadow& old;
  Interner<History> histories;
  Interner<Reader> readers;
  Interner<Mixed> mixed;
  std::vector<std::uint32_t> new_history = std::vector<std::uint32_t>(old.histories_.size(), kUnseen);
  std::vector<std::uint32_t> new_readers = std::vector<std::uint32_t>(old.readers_.size(), kUnseen);

  std::uint32_t Readers(std::uint32_t number) {
    if (number == 0) return 0;
    std::uint32_t& to = new_readers[number];
    if (to == kUnseen) {
      Reader reader = old.readers_[number];
      reader.rest = Readers(reader.rest);  // as deep as there are agents
      to = readers.Number(reader);
    }
    return to;
  }
  std::uint32_t Byte(std::uint32_t number) {
    std::uint32_t& to = new_history[number];
    if (to == kUnseen) {
      History history = old.histories_[number];
      history.readers = Readers(history.readers);
      to = histories.Number(history);
    }
    return to;
  }
  std::uint32_t Word(std::uint32_t number) {
    if ((number & kMixed) == 0) return Byte(number);
    Mixed value = old.mixed_[number & ~kMixed];
    for (std::uint32_t& byte : value.bytes) byte = Byte(byte);
    return kMixed | mixed.Number(value);
  }
};

void SharedShadow::Compact() {
  Compaction compaction{*this, {}, {}, {}};
  for (std::uint32_t& word : words_) word = compaction.Word(word);
  histories_ = std::move(compaction.histories);
  readers_ = std::move(compaction.readers);
  mixed_ = std::move(compaction.mixed);
  compact_at_ = std::max(kFewHistories, 4 * histories());
}

}  // namespace gemmsmith::emulator
