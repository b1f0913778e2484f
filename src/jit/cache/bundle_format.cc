#include "jit/cache/bundle_format.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "util/log.h"

namespace gemmsmith {
namespace {

static_assert(std::endian::native == std::endian::little, "bundles are little-endian");

constexpr std::string_view kMagic = "GSBUNDLE";
constexpr std::size_t kHeaderBytes = kMagic.size() + sizeof kBundleFormatVersion;
constexpr std::uint64_t kBlock = 1 << 20;

struct StoredDigest {
  std::uint64_t low, high;

  static StoredDigest From(const Digest& digest) { return {digest.low, digest.high}; }
  Digest digest() const { return {high, low}; }
};
struct StoredRow {
  StoredDigest key, recipe;
  std::uint64_t size;
};
/// All but the checksum of the whole.
struct Tail {
  std::uint64_t count;
  StoredDigest index;
};
static_assert(sizeof(StoredRow) == 40 && sizeof(Tail) == 24, "the format has no padding");
constexpr std::size_t kTrailerBytes = sizeof(Tail) + sizeof(StoredDigest);

template <class T>
std::string_view BytesOf(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
template <class T>
T Load(std::string_view bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

std::string Header() { return std::string(kMagic).append(BytesOf(kBundleFormatVersion)); }

Digest IndexDigest(std::string_view header, std::string_view index, std::uint64_t count) {
  DigestStream digest;
  digest.Update(header);
  digest.Update(index);
  digest.Update(BytesOf(count));
  return digest.Finish();
}

std::string FolderOf(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  return folder.empty() ? "." : folder.string();
}

UniqueFd OpenBundle(const std::string& path) {
  // A FIFO in the way must not block.
  UniqueFd fd = OpenFile(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (!fd) throw IoError("open", path, errno);
  return fd;
}

}  // namespace

BundleWriter::BundleWriter(std::string path, int level)
    : path_(std::move(path)), level_(level), file_(FolderOf(path_)) {
  Write(Header());
}

void BundleWriter::Write(std::string_view bytes) {
  file_.Write(bytes);
  digest_.Update(bytes);
  size_ += bytes.size();
}

bool BundleWriter::Add(const CacheKey& key, Artifact artifact) {
  if (!rows_.empty() && key.digest <= rows_.back().key)
    throw Fail(Code::kInternal, "please report this", "bundle {}: key {} is out of order", path_, key.digest.Hex());
  // Of the compile, not of what it made: these differ each time.
  artifact.compile_ms = 0;
  artifact.created_unix = 0;
  artifact.log.clear();
  const std::optional<std::string> entry = EncodeEntry(key, artifact, Codec::kZstd, level_);
  if (!entry || rows_.size() == kMaxBundleEntries) return false;
  rows_.push_back({key.digest, RecipeDigest(key), size_, entry->size()});
  Write(*entry);
  return true;
}

std::uint64_t BundleWriter::Finish() {
  std::string index;
  for (const BundleRow& row : rows_)
    index += BytesOf(StoredRow{StoredDigest::From(row.key), StoredDigest::From(row.recipe), row.size});
  const std::uint64_t count = rows_.size();
  Write(index);
  Write(BytesOf(Tail{count, StoredDigest::From(IndexDigest(Header(), index, count))}));
  Write(BytesOf(StoredDigest::From(digest_.Finish())));
  // It is made to be shared, unlike the entries of a cache.
  if (chmod(file_.temp_path().c_str(), 0644) != 0) throw IoError("chmod", file_.temp_path(), errno);
  file_.Commit(path_);
  return size_;
}

BundleReader::BundleReader(const std::string& path) : BundleReader(OpenBundle(path), path) {}
BundleReader::BundleReader(UniqueFd fd, std::string path) : path_(std::move(path)), fd_(std::move(fd)) { ReadIndex(); }

void BundleReader::Refuse(std::string_view reason) const {
  throw Fail(Code::kInvalidArgument, "make it anew with `gemmsmith cache export` or `gemmsmith bundle build`",
             "bundle {}: {}", path_, reason);
}

/// Shorter than `size` where the file ends before.
std::string BundleReader::ReadAt(std::uint64_t offset, std::uint64_t size) const {
  std::string bytes(size, 0);
  std::size_t done = 0;
  while (done < size) {
    const ssize_t count = pread(fd_.get(), bytes.data() + done, size - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw IoError("read", path_, errno);
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  bytes.resize(done);
  return bytes;
}

void BundleReader::ReadIndex() {
  struct stat info {};
  if (fstat(fd_.get(), &info) != 0) throw IoError("stat", path_, errno);
  size_ = static_cast<std::uint64_t>(info.st_size);
  if (!S_ISREG(info.st_mode) || size_ < kHeaderBytes + kTrailerBytes) Refuse("it is no bundle, or a part of one");
  const std::string header = ReadAt(0, kHeaderBytes), trailer = ReadAt(size_ - kTrailerBytes, kTrailerBytes);
  if (!header.starts_with(kMagic) || trailer.size() != kTrailerBytes) Refuse("it is no bundle, or a part of one");
  if (header != Header()) Refuse("it has another format version");

  const Tail tail = Load<Tail>(trailer);
  checksum_ = Load<StoredDigest>(std::string_view(trailer).substr(sizeof tail)).digest();
  const std::uint64_t room = size_ - kHeaderBytes - kTrailerBytes;
  if (tail.count > kMaxBundleEntries || tail.count * sizeof(StoredRow) > room) Refuse("its lengths are impossible");
  const std::uint64_t entries_end = size_ - kTrailerBytes - tail.count * sizeof(StoredRow);
  const std::string index = ReadAt(entries_end, tail.count * sizeof(StoredRow));
  if (index.size() != tail.count * sizeof(StoredRow) || IndexDigest(header, index, tail.count) != tail.index.digest())
    Refuse("the checksum of its index is wrong");

  rows_.reserve(tail.count);
  std::uint64_t offset = kHeaderBytes;
  for (std::uint64_t i = 0; i < tail.count; ++i) {
    const auto row = Load<StoredRow>(std::string_view(index).substr(i * sizeof(StoredRow)));
    if (row.size > kMaxEntryBytes || row.size > entries_end - offset) Refuse("its lengths are impossible");
    if (i > 0 && row.key.digest() <= rows_.back().key) Refuse("its index is not sorted");
    rows_.push_back({row.key.digest(), row.recipe.digest(), offset, row.size});
    offset += row.size;
  }
  if (offset != entries_end) Refuse("its lengths do not add up");
}

const BundleRow* BundleReader::Find(const Digest& key) const {
  const auto row = std::ranges::lower_bound(rows_, key, {}, &BundleRow::key);
  return row != rows_.end() && row->key == key ? &*row : nullptr;
}

Entry BundleReader::Read(const BundleRow& row) const {
  Entry entry = DecodeEntry(ReadAt(row.offset, row.size));
  if (entry.state == EntryState::kGood && DigestOf(entry.key_text) != row.key)
    return {EntryState::kBroken, "it belongs to another key", {}, {}};
  return entry;
}

void BundleReader::Verify() const {
  DigestStream digest;
  for (std::uint64_t offset = 0, end = size_ - sizeof(StoredDigest); offset < end; offset += kBlock)
    digest.Update(ReadAt(offset, std::min(kBlock, end - offset)));
  if (digest.Finish() != checksum_) Refuse("its checksum is wrong");
}

}  // namespace gemmsmith
