#include "util/digest.h"

#include <fmt/format.h>

// The vector code of XXH3 inline: hashing a problem is on the path of every call.
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace gemmsmith {

std::string Digest::Hex() const { return fmt::format("{:016x}{:016x}", high, low); }

Digest DigestOf(std::string_view bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.high64, hash.low64};
}

struct DigestStream::State {
  XXH3_state_t hash;
};
DigestStream::DigestStream() : state_(std::make_unique<State>()) { XXH3_128bits_reset(&state_->hash); }
DigestStream::~DigestStream() = default;
void DigestStream::Update(std::string_view bytes) { XXH3_128bits_update(&state_->hash, bytes.data(), bytes.size()); }
Digest DigestStream::Finish() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(&state_->hash);
  return {hash.high64, hash.low64};
}

std::uint64_t Hash64(const void* data, std::size_t bytes) { return XXH3_64bits(data, bytes); }

}  // namespace gemmsmith
