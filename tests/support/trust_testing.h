#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache_testing.h"

namespace gemmsmith::testing {

/// A user who is neither root nor this one: "nobody" of most systems.
inline constexpr uid_t kStranger = 65534;

/// Only root can give files away.
inline bool CanGiveAway() { return geteuid() == 0; }
inline constexpr const char* kCannotGiveAway = "only root can give files to another user";

inline void GiveAway(const fs::path& path) { ASSERT_EQ(lchown(path.c_str(), kStranger, kStranger), 0) << path; }
inline void SetMode(const fs::path& path, mode_t mode) { ASSERT_EQ(chmod(path.c_str(), mode), 0) << path; }

}  // namespace gemmsmith::testing
