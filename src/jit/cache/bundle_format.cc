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
struct Tail {
  PublicKey signer;  // Zeros, which are no key: nobody.
  std::uint64_t count;

  bool is_signed() const { return signer != PublicKey(); }
  std::size_t RowBytes() const { return sizeof(StoredRow) + (is_signed() ? sizeof(Signature) : 0); }
};
struct Checksums {
  StoredDigest index, whole;
};
static_assert(sizeof(StoredRow) == 40 && sizeof(Tail) == 40 && sizeof(Checksums) == 32, "the format has no padding");
constexpr std::size_t kTrailerBytes = sizeof(Tail) + sizeof(Checksums);

/// A key may sign other things, too: a signature of those is none of an entry.
std::string SignedMessage(std::string_view entry) { return std::string("gemmsmith bundle entry\n").append(entry); }

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

Digest IndexDigest(std::string_view header, std::string_view index, const Tail& tail) {
  DigestStream digest;
  digest.Update(header);
  digest.Update(index);
  digest.Update(BytesOf(tail));
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

BundleWriter::BundleWriter(std::string path, const BundleOptions& options)
    : path_(std::move(path)), level_(options.level), file_(FolderOf(path_)) {
  if (!options.signing_key_file.empty()) key_.emplace(options.signing_key_file);
  Write(Header());
}

void BundleWriter::Write(std::string_view bytes) {
  file_.Write(bytes);
  digest_.Update(bytes);
  size_ += bytes.size();
}

std::optional<std::string> BundleWriter::Encode(const CacheKey& key, Artifact artifact, int level) {
  // Of the compile, not of what it made: these differ each time.
  artifact.compile_ms = 0;
  artifact.created_unix = 0;
  artifact.log.clear();
  return EncodeEntry(key, artifact, Codec::kZstd, level);
}

bool BundleWriter::Append(const CacheKey& key, const std::optional<std::string>& entry) {
  if (!rows_.empty() && key.digest <= rows_.back().key)
    throw Fail(Code::kInternal, "please report this", "bundle {}: key {} is out of order", path_, key.digest.Hex());
  if (!entry || rows_.size() == kMaxBundleEntries) return false;
  rows_.push_back(
      {key.digest, RecipeDigest(key), size_, entry->size(), key_ ? key_->Sign(SignedMessage(*entry)) : Signature()});
  Write(*entry);
  return true;
}

std::uint64_t BundleWriter::Finish() {
  const Tail tail{key_ ? key_->public_key() : PublicKey(), rows_.size()};
  std::string index;
  for (const BundleRow& row : rows_) {
    index += BytesOf(StoredRow{StoredDigest::From(row.key), StoredDigest::From(row.recipe), row.size});
    if (tail.is_signed()) index += BytesOf(row.signature);
  }
  Write(index);
  Write(BytesOf(tail));
  Write(BytesOf(StoredDigest::From(IndexDigest(Header(), index, tail))));
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
  const Checksums checksums = Load<Checksums>(std::string_view(trailer).substr(sizeof tail));
  checksum_ = checksums.whole.digest();
  const std::uint64_t room = size_ - kHeaderBytes - kTrailerBytes;
  if (tail.count > kMaxBundleEntries || tail.count * tail.RowBytes() > room) Refuse("its lengths are impossible");
  const std::uint64_t entries_end = size_ - kTrailerBytes - tail.count * tail.RowBytes();
  const std::string index = ReadAt(entries_end, tail.count * tail.RowBytes());
  if (index.size() != tail.count * tail.RowBytes() || IndexDigest(header, index, tail) != checksums.index.digest())
    Refuse("the checksum of its index is wrong");
  if (tail.is_signed()) signer_ = tail.signer;
  ReadRows(index, tail.RowBytes(), entries_end);
}

void BundleReader::ReadRows(std::string_view index, std::size_t row_bytes, std::uint64_t entries_end) {
  rows_.reserve(index.size() / row_bytes);
  std::uint64_t offset = kHeaderBytes;
  for (; !index.empty(); index.remove_prefix(row_bytes)) {
    const auto row = Load<StoredRow>(index);
    if (row.size > kMaxEntryBytes || row.size > entries_end - offset) Refuse("its lengths are impossible");
    if (!rows_.empty() && row.key.digest() <= rows_.back().key) Refuse("its index is not sorted");
    rows_.push_back({row.key.digest(), row.recipe.digest(), offset, row.size});
    if (signer_) rows_.back().signature = Load<Signature>(index.substr(sizeof row));
    offset += row.size;
  }
  if (offset != entries_end) Refuse("its lengths do not add up");
}

void BundleReader::RequireSigner(const std::vector<PublicKey>& trusted) {
  constexpr const char* kRemedy = "sign it with a key that is trusted, or trust this one: see docs/security.md";
  if (!signer_) throw Fail(Code::kInvalidArgument, kRemedy, "bundle {}: it is not signed", path_);
  if (std::ranges::find(trusted, *signer_) == trusted.end())
    throw Fail(Code::kInvalidArgument, kRemedy, "bundle {}: it is signed by {}, whom nobody here trusts", path_,
               signer_->Hex());
  require_signatures_ = true;
}

bool BundleReader::IsSigned(const BundleRow& row, std::string_view entry) const {
  return signer_ && IsSignedBy(*signer_, SignedMessage(entry), row.signature);
}

const BundleRow* BundleReader::Find(const Digest& key) const {
  const auto row = std::ranges::lower_bound(rows_, key, {}, &BundleRow::key);
  return row != rows_.end() && row->key == key ? &*row : nullptr;
}

Entry BundleReader::Read(const BundleRow& row) const {
  const std::string bytes = ReadAt(row.offset, row.size);
  if (require_signatures_ && !IsSigned(row, bytes)) return {EntryState::kBroken, "its signature is wrong", {}, {}};
  Entry entry = DecodeEntry(bytes);
  if (entry.state == EntryState::kGood && DigestOf(entry.key_text) != row.key)
    return {EntryState::kBroken, "it belongs to another key", {}, {}};
  return entry;
}

void BundleReader::Verify() const {
  DigestStream digest;
  for (std::uint64_t offset = 0, end = size_ - sizeof(StoredDigest); offset < end; offset += kBlock)
    digest.Update(ReadAt(offset, std::min(kBlock, end - offset)));
  if (digest.Finish() != checksum_) Refuse("its checksum is wrong");
  if (!signer_) return;
  for (const BundleRow& row : rows_)
    if (!IsSigned(row, ReadAt(row.offset, row.size))) Refuse("the signature of " + row.key.Hex() + " is wrong");
}

}  // namespace gemmsmith
