#pragma once

namespace gemmsmith::cli {

/// The command line, with its exit code: 0 done, 1 failed, 2 wrong usage.
int Main(int argc, char** argv);

}  // namespace gemmsmith::cli
