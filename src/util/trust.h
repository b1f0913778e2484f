#pragma once

#include <sys/stat.h>

#include <string>

namespace gemmsmith {

/// Who can put code into this process: its user and root, and nobody else. docs/security.md says what that is worth.

/// Why code is not to be taken from the file or folder of `info`, as seen by fstat: "it belongs to user 1000", "other
/// users may write to it". Empty: it may be.
std::string WhyUntrusted(const struct stat& info);

/// What is known of a path before anything there is used.
struct PathVerdict {
  std::string path;     ///< Absolute; where it is trusted, also free of links, "." and "..", as CanonicalPath makes it.
  bool exists = false;  ///< False: a part of it is missing, and `reason` speaks of what is there.
  std::string reason;   ///< Empty: nobody but this user and root can change what the path leads to.
  std::string remedy;   ///< What to do about the reason.
};
/// Follows the path as it is spelled, part by part: what lies there, every folder on the way, and every symbolic link.
/// Throws kIo for what cannot be looked at.
PathVerdict InspectPath(const std::string& path);

/// A variable of the environment; empty where it is not set, and always in a process that has more rights than whoever
/// started it (setuid, setgid, file capabilities), whose environment is that user's.
std::string TrustedVariable(const char* name);
/// Whether this is such a process.
bool HasForeignEnvironment();

}  // namespace gemmsmith
