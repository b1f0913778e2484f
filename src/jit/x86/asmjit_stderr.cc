#include <cstdio>

// Stands for `stderr` in our copy of Debian's libasmjit.a (cmake/dependencies.cmake says why). AsmJit prints to it only
// when one of its own assertions fails.
extern "C" {
__attribute__((visibility("hidden"))) FILE* gemmsmith_asmjit_stderr = nullptr;
}

namespace {
__attribute__((constructor)) void SetAsmjitStderr() { gemmsmith_asmjit_stderr = stderr; }
}  // namespace
