#include "jit/cache/entry_format.h"

#include <zstd.h>

#include <bit>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <vector>

#include "util/digest.h"

namespace gemmsmith {
namespace {

static_assert(std::endian::native == std::endian::little, "entries are little-endian");

constexpr std::string_view kMagic = "GSKERNEL";
constexpr std::size_t kVersionOffset = kMagic.size();
static_assert(kVersionEnd == kVersionOffset + sizeof kEntryFormatVersion);
constexpr std::size_t kTrailerBytes = 16;

template <class T>
concept Number = std::is_arithmetic_v<T> || std::is_enum_v<T>;

void Append(std::string& out, Number auto value) { out.append(reinterpret_cast<const char*>(&value), sizeof value); }
void Append(std::string& out, std::string_view text) {
  Append(out, static_cast<std::uint32_t>(text.size()));
  out += text;
}

/// Takes values off the front of bytes. Past the end everything is zero or empty, and ok() is false for good.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  template <Number T>
  T Take() {
    T value{};
    if (const std::string_view bytes = Bytes(sizeof value); ok_) std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  template <Number T>
  void Take(T& value) {
    value = Take<T>();
  }
  void Take(std::string& text) { text = Bytes(Take<std::uint32_t>()); }

  std::string_view Bytes(std::uint64_t count) {
    ok_ = ok_ && count <= rest_.size();
    if (!ok_) return {};
    const std::string_view bytes = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return bytes;
  }

  bool ok() const { return ok_; }
  bool empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

/// The fields between header and parts, in the order of the file: both directions follow it.
template <class Artifact, class Visit>
void VisitMetadata(Artifact& artifact, const Visit& visit) {
  visit(artifact.kernel_name);
  visit(artifact.lowered_name);
  visit(artifact.target.isa);
  visit(artifact.target.version);
  visit(artifact.target.suffix);
  visit(artifact.problem);
  visit(artifact.config);
  visit(artifact.compiler);
  visit(artifact.log);
  visit(artifact.compile_ms);
  visit(artifact.created_unix);
  visit(artifact.resources.registers);
  visit(artifact.resources.spill_bytes);
  visit(artifact.resources.static_shared_bytes);
  visit(artifact.resources.max_threads);
  visit(artifact.resources.code_bytes);
}

struct Deleter {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

/// Empty if it cannot be made smaller. (No frame is empty.)
std::string Compress(std::string_view raw, int level) {
  // Contexts are a tenth of a megabyte: making one costs more than a kernel does.
  thread_local const std::unique_ptr<ZSTD_CCtx, Deleter> context(ZSTD_createCCtx());
  if (context == nullptr) throw std::bad_alloc();
  std::string frame(raw.size(), 0);
  const std::size_t size = ZSTD_compressCCtx(context.get(), frame.data(), frame.size(), raw.data(), raw.size(), level);
  frame.resize(ZSTD_isError(size) ? 0 : size);
  return frame;
}

/// Of exactly `size` bytes, and the frame says so itself: before that, no memory is taken for them.
bool Decompress(std::string_view frame, std::uint64_t size, std::string& raw) {
  if (ZSTD_getFrameContentSize(frame.data(), frame.size()) != size) return false;
  raw.resize(size);
  thread_local const std::unique_ptr<ZSTD_DCtx, Deleter> context(ZSTD_createDCtx());
  if (context == nullptr) throw std::bad_alloc();
  return ZSTD_decompressDCtx(context.get(), raw.data(), raw.size(), frame.data(), frame.size()) == raw.size();
}

struct PartRow {
  std::string kind;
  Codec codec = Codec::kRaw;
  std::uint64_t raw_size = 0, stored_size = 0;
};

/// The table of the parts; false if it promises more than `kMaxEntryBytes`.
bool TakeTable(Reader& reader, std::vector<PartRow>& rows) {
  std::uint64_t total = 0;
  for (auto count = reader.Take<std::uint32_t>(); count > 0 && reader.ok(); --count) {
    PartRow& row = rows.emplace_back();
    reader.Take(row.kind);
    reader.Take(row.codec);
    reader.Take(row.raw_size);
    reader.Take(row.stored_size);
    if (row.raw_size > kMaxEntryBytes - total) return false;
    total += row.raw_size;
  }
  return reader.ok();
}

bool TakePart(Reader& reader, const PartRow& row, std::string& part) {
  const std::string_view stored = reader.Bytes(row.stored_size);
  if (!reader.ok()) return false;
  if (row.codec == Codec::kRaw) {
    part = stored;
    return stored.size() == row.raw_size;
  }
  if (row.codec != Codec::kZstd) return false;
  return Decompress(stored, row.raw_size, part);
}

}  // namespace

std::optional<std::string> EncodeEntry(const CacheKey& key, const Artifact& artifact, Codec codec, int level) {
  if (artifact.size() > kMaxEntryBytes) return std::nullopt;
  std::string out(kMagic);
  Append(out, kEntryFormatVersion);
  Append(out, std::string_view(key.text));
  VisitMetadata(artifact, [&out]<class T>(const T& field) {
    if constexpr (std::is_same_v<T, std::string>)
      Append(out, std::string_view(field));
    else
      Append(out, field);
  });
  Append(out, static_cast<std::uint32_t>(artifact.parts.size()));
  std::string payload;
  for (const auto& [kind, data] : artifact.parts) {
    const std::string frame = codec == Codec::kZstd ? Compress(data, level) : "";
    const std::string& stored = frame.empty() ? data : frame;
    Append(out, std::string_view(kind));
    Append(out, frame.empty() ? Codec::kRaw : Codec::kZstd);
    Append(out, static_cast<std::uint64_t>(data.size()));
    Append(out, static_cast<std::uint64_t>(stored.size()));
    payload += stored;
  }
  out += payload;
  const Digest digest = DigestOf(out);
  Append(out, digest.low);
  Append(out, digest.high);
  return out.size() > kMaxEntryBytes ? std::nullopt : std::optional(std::move(out));
}

namespace {

Entry Broken(std::string_view reason) { return {EntryState::kBroken, reason, {}, {}}; }

bool ChecksumHolds(std::string_view bytes) {
  Reader trailer(bytes.substr(bytes.size() - kTrailerBytes));
  const auto low = trailer.Take<std::uint64_t>();
  const auto high = trailer.Take<std::uint64_t>();
  return DigestOf(bytes.substr(0, bytes.size() - kTrailerBytes)) == Digest{high, low};
}

}  // namespace

Entry DecodeEntry(std::string_view bytes, bool verify_checksum) {
  if (!bytes.starts_with(kMagic) || bytes.size() < kVersionOffset + sizeof(std::uint32_t) + kTrailerBytes)
    return Broken("it is no cache entry, or only the start of one");
  Reader reader(bytes.substr(kVersionOffset, bytes.size() - kVersionOffset - kTrailerBytes));
  // Of another version nothing is known, not even where its checksum is.
  if (reader.Take<std::uint32_t>() != kEntryFormatVersion)
    return {EntryState::kOtherVersion, "it has another format version", {}, {}};
  if (verify_checksum && !ChecksumHolds(bytes)) return Broken("its checksum is wrong");

  Entry entry;
  Artifact& artifact = entry.artifact;
  reader.Take(entry.key_text);
  VisitMetadata(artifact, [&reader](auto& field) { reader.Take(field); });
  if (artifact.target.isa > Isa::kCuda) return Broken("it is for an unknown kind of processor");
  std::vector<PartRow> rows;
  if (!TakeTable(reader, rows)) return Broken("its lengths are impossible");
  for (const PartRow& row : rows)
    if (!TakePart(reader, row, artifact.parts[row.kind])) return Broken("a part does not unpack");
  if (!reader.empty() || artifact.parts.size() != rows.size()) return Broken("its lengths do not add up");
  entry.state = EntryState::kGood;
  return entry;
}

EntrySummary SummarizeEntry(std::string_view bytes) {
  EntrySummary summary;
  if (!bytes.starts_with(kMagic) || bytes.size() < kVersionOffset + sizeof(std::uint32_t)) return summary;
  Reader reader(bytes.substr(kVersionOffset));
  if (reader.Take<std::uint32_t>() != kEntryFormatVersion) {
    summary.state = EntryState::kOtherVersion;
    return summary;
  }
  reader.Take(summary.key_text);
  VisitMetadata(summary.artifact, [&reader](auto& field) { reader.Take(field); });
  std::vector<PartRow> rows;
  if (!TakeTable(reader, rows) || summary.artifact.target.isa > Isa::kCuda) return summary;
  for (const PartRow& row : rows) summary.part_sizes[row.kind] = row.raw_size;
  summary.state = EntryState::kGood;
  return summary;
}

bool IsOfOlderFormat(std::string_view start) {
  if (!start.starts_with(kMagic)) return false;
  Reader reader(start.substr(kVersionOffset));
  const auto version = reader.Take<std::uint32_t>();
  return reader.ok() && version < kEntryFormatVersion;
}

std::string_view PeekKey(std::string_view start) {
  if (!start.starts_with(kMagic)) return {};
  Reader reader(start.substr(kVersionOffset));
  if (reader.Take<std::uint32_t>() != kEntryFormatVersion) return {};
  return reader.Bytes(reader.Take<std::uint32_t>());
}

}  // namespace gemmsmith
