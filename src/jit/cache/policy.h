#pragma once

#include <string>

#include "gemmsmith/cache.h"
#include "util/signature.h"
#include "util/trust.h"

namespace gemmsmith {

/// What a program asks for, and what the environment adds to it.
CachePolicy WithEnvironment(CachePolicy policy);

/// Throws kInvalidArgument where somebody else could put code at `path`, unless the policy allows that.
PathVerdict RequireTrusted(const std::string& path, const CachePolicy& policy);
/// The same, of what was opened there.
std::string WhyUntrusted(const struct stat& info, const CachePolicy& policy);

/// One of CachePolicy::trusted_signers. No policy allows others to write to a file with a key: it says whom to trust.
/// Throws kIo, kInvalidArgument.
PublicKey ReadSigner(const std::string& signer);

}  // namespace gemmsmith
