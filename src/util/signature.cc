#include "util/signature.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "util/file.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

static_assert(sizeof(PublicKey) == crypto_sign_PUBLICKEYBYTES && sizeof(Signature) == crypto_sign_BYTES);

// A public key where a secret one is wanted, or the other way round, must be an error: both are 64 digits.
constexpr std::string_view kSecretPrefix = "gemmsmith-secret-key:";
constexpr std::size_t kDigits = 2 * crypto_sign_SEEDBYTES;

void RequireSodium() {
  static const bool ready = sodium_init() >= 0;
  if (!ready) throw Fail(Code::kInternal, "", "signatures: libsodium cannot be initialised");
}

/// Bytes that are wiped.
template <class T>
struct Secret : T {
  Secret() = default;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() { sodium_memzero(this->data(), this->size()); }
  std::string_view view() const { return {reinterpret_cast<const char*>(this->data()), this->size()}; }
};
using Seed = Secret<std::array<unsigned char, crypto_sign_SEEDBYTES>>;
using KeyText = Secret<std::array<char, kSecretPrefix.size() + kDigits + 1>>;  // With the end of the line.

const unsigned char* Bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

UniqueFd OpenSecret(const std::string& file) {
  UniqueFd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) throw IoError("open", file, errno);
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) throw IoError("stat", file, errno);
  if (!S_ISREG(info.st_mode)) throw Fail(Code::kInvalidArgument, "", "signing key {}: it is no file", file);
  if ((info.st_uid != geteuid() && info.st_uid != 0) || (info.st_mode & (S_IRWXG | S_IRWXO)) != 0)
    throw Fail(Code::kInvalidArgument, "make a new key, and keep it with mode 0600",
               "signing key {}: other users can read it, or it is theirs", file);
  return fd;
}

/// A file that was not there before, or none.
void WriteNew(const std::string& file, mode_t mode, std::string_view text) {
  UniqueFd fd(open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!fd) throw IoError("create", file, errno);
  if (WriteFully(fd.get(), text) && close(fd.release()) == 0) return;
  const int error = errno;
  unlink(file.c_str());
  throw IoError("write", file, error);
}

}  // namespace

std::string PublicKey::Hex() const {
  char digits[2 * sizeof(PublicKey) + 1];
  return sodium_bin2hex(digits, sizeof digits, bytes.data(), bytes.size());
}

std::optional<PublicKey> ParsePublicKey(std::string_view hex) {
  PublicKey key;
  std::size_t size = 0;
  if (hex.size() != 2 * key.bytes.size() ||
      sodium_hex2bin(key.bytes.data(), key.bytes.size(), hex.data(), hex.size(), nullptr, &size, nullptr) != 0)
    return std::nullopt;
  return size == key.bytes.size() ? std::optional(key) : std::nullopt;
}

PublicKey ReadPublicKey(const std::string& file) {
  const UniqueFd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) throw IoError("open", file, errno);
  std::array<char, kDigits + 2> text{};
  const std::ptrdiff_t count = ReadFully(fd.get(), text.data(), text.size());
  if (count < 0) throw IoError("read", file, errno);
  std::string_view hex(text.data(), static_cast<std::size_t>(count));
  if (hex.ends_with('\n')) hex.remove_suffix(1);
  if (const std::optional<PublicKey> key = ParsePublicKey(hex)) return *key;
  throw Fail(Code::kInvalidArgument, "name the .pub file that `gemmsmith bundle keygen` made",
             "{} is no public key: 64 hexadecimal digits in one line", file);
}

bool IsSignedBy(const PublicKey& signer, std::string_view message, const Signature& signature) {
  RequireSodium();
  return crypto_sign_verify_detached(signature.bytes.data(), Bytes(message), message.size(), signer.bytes.data()) == 0;
}

SigningKey::SigningKey(const std::string& file) {
  RequireSodium();
  const UniqueFd fd = OpenSecret(file);
  KeyText text;
  Seed seed;
  const std::ptrdiff_t count = ReadFully(fd.get(), text.data(), text.size());
  if (count < 0) throw IoError("read", file, errno);
  std::size_t size = 0;
  if (static_cast<std::size_t>(count) + 1 < text.size() || !text.view().starts_with(kSecretPrefix) ||
      sodium_hex2bin(seed.data(), seed.size(), text.data() + kSecretPrefix.size(), kDigits, nullptr, &size, nullptr) !=
          0 ||
      size != seed.size())
    throw Fail(Code::kInvalidArgument, "name the .key file that `gemmsmith bundle keygen` made", "{} is no signing key",
               file);
  crypto_sign_seed_keypair(public_key_.bytes.data(), secret_.data(), seed.data());
}

SigningKey::~SigningKey() { sodium_memzero(secret_.data(), secret_.size()); }

Signature SigningKey::Sign(std::string_view message) const {
  Signature signature;
  crypto_sign_detached(signature.bytes.data(), nullptr, Bytes(message), message.size(), secret_.data());
  return signature;
}

PublicKey MakeSigningKeyFiles(const std::string& name) {
  RequireSodium();
  Seed seed;
  randombytes_buf(seed.data(), seed.size());
  PublicKey key;
  Secret<std::array<unsigned char, crypto_sign_SECRETKEYBYTES>> unused;
  crypto_sign_seed_keypair(key.bytes.data(), unused.data(), seed.data());
  KeyText text;
  std::memcpy(text.data(), kSecretPrefix.data(), kSecretPrefix.size());
  sodium_bin2hex(text.data() + kSecretPrefix.size(), kDigits + 1, seed.data(), seed.size());
  text.back() = '\n';
  const std::string secret_file = name + ".key";
  WriteNew(secret_file, 0600, text.view());
  try {
    WriteNew(name + ".pub", 0644, key.Hex() + "\n");
  } catch (const Error&) {
    unlink(secret_file.c_str());
    throw;
  }
  return key;
}

}  // namespace gemmsmith
