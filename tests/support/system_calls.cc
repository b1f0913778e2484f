#include "system_calls.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace gemmsmith::testing {
namespace {

std::atomic<SystemCalls*> current = nullptr;
/// Of each descriptor: whether it was opened below the folder.
std::array<std::atomic<bool>, 4096> watched{};

using Kind = SystemCalls::Kind;

bool IsWatched(int fd) { return fd >= 0 && static_cast<std::size_t>(fd) < watched.size() && watched[fd]; }
void Watch(int fd, bool watch) {
  if (fd >= 0 && static_cast<std::size_t>(fd) < watched.size()) watched[fd] = watch;
}

/// True: the call fails, with errno set.
bool Fails(const char* call, Kind kind, bool is_below) {
  SystemCalls* const calls = current;
  if (calls == nullptr || !is_below || !calls->Strikes(call, kind)) return false;
  errno = calls->fault().error;
  return true;
}
bool PathFails(const char* call, Kind kind, const char* path) {
  const SystemCalls* const calls = current;
  return calls != nullptr && Fails(call, kind, calls->IsBelow(path));
}
bool IsBelow(const char* path) {
  const SystemCalls* const calls = current;
  return calls != nullptr && calls->IsBelow(path);
}

/// `transfer` of as many bytes as the fault leaves.
template <class Transfer>
ssize_t Transferred(const char* call, int fd, std::size_t size, const Transfer& transfer) {
  SystemCalls* const calls = current;
  if (calls == nullptr || !IsWatched(fd) || !calls->Strikes(call, Kind::kTransfer)) return transfer(size);
  if (calls->fault().error == 0) return transfer(size > 1 ? size / 2 : size);
  errno = calls->fault().error;
  return -1;
}

}  // namespace

SystemCalls::SystemCalls(std::string folder, SystemFault fault, int nth)
    : folder_(std::move(folder)), fault_(fault), nth_(nth) {
  current = this;
}

SystemCalls::~SystemCalls() { current = nullptr; }

bool SystemCalls::Strikes(const char* call, Kind kind) {
  if (nth_ == 0) return ++count_, false;
  if ((fault_.error == 0 && kind != Kind::kTransfer) || (fault_.error == EINTR && kind == Kind::kPlain)) return false;
  if (!fault_.only.empty() && fault_.only != call) return false;
  const int now = ++count_;
  if (now < nth_ || (now > nth_ && !fault_.lasting)) return false;
  const char* none = nullptr;
  struck_.compare_exchange_strong(none, call);
  return true;
}

bool SystemCalls::IsBelow(const char* path) const {
  const std::string_view view(path);
  return view.starts_with(folder_) && (view.size() == folder_.size() || view[folder_.size()] == '/');
}

}  // namespace gemmsmith::testing

// The functions of libc. Each is looked up once, in whatever comes after the program: libc, or a sanitizer before it.
#define GEMMSMITH_NEXT(name) static const auto next = reinterpret_cast<decltype(&::name)>(dlsym(RTLD_NEXT, #name))

using gemmsmith::testing::Fails;
using gemmsmith::testing::IsBelow;
using gemmsmith::testing::IsWatched;
using gemmsmith::testing::Kind;
using gemmsmith::testing::PathFails;
using gemmsmith::testing::Transferred;
using gemmsmith::testing::Watch;

namespace {

int Opened(int fd, const char* path) {
  if (IsBelow(path)) Watch(fd, true);
  return fd;
}

}  // namespace

#pragma GCC visibility push(default)  // Seen by the standard library too.
extern "C" {

int open(const char* path, int flags, ...) {
  GEMMSMITH_NEXT(open);
  va_list arguments;
  va_start(arguments, flags);
  // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): the analyzer of LLVM 14 does not know its own va_start.
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return PathFails("open", Kind::kInterruptible, path) ? -1 : Opened(next(path, flags, mode), path);
}

int openat(int folder, const char* path, int flags, ...) {
  GEMMSMITH_NEXT(openat);
  va_list arguments;
  va_start(arguments, flags);
  // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): the analyzer of LLVM 14 does not know its own va_start.
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  const bool is_below = IsWatched(folder) || IsBelow(path);
  // A folder that is not there is left alone: a cache lacks most of its 256.
  struct stat info {};
  if ((flags & O_DIRECTORY) != 0 && fstatat(folder, path, &info, 0) != 0) return -1;
  if (Fails("openat", Kind::kInterruptible, is_below)) return -1;
  const int fd = next(folder, path, flags, mode);
  if (is_below) Watch(fd, true);
  return fd;
}

FILE* fopen(const char* path, const char* mode) {
  GEMMSMITH_NEXT(fopen);
  if (PathFails("fopen", Kind::kInterruptible, path)) return nullptr;
  FILE* const file = next(path, mode);
  if (file != nullptr) Opened(fileno(file), path);
  return file;
}

FILE* fopen64(const char* path, const char* mode) {
  GEMMSMITH_NEXT(fopen64);
  if (PathFails("fopen64", Kind::kInterruptible, path)) return nullptr;
  FILE* const file = next(path, mode);
  if (file != nullptr) Opened(fileno(file), path);
  return file;
}

int fclose(FILE* file) {
  GEMMSMITH_NEXT(fclose);
  Watch(fileno(file), false);
  return next(file);
}

ssize_t read(int fd, void* buffer, size_t size) {
  GEMMSMITH_NEXT(read);
  return Transferred("read", fd, size, [&](size_t allowed) { return next(fd, buffer, allowed); });
}

ssize_t pread(int fd, void* buffer, size_t size, off_t offset) {
  GEMMSMITH_NEXT(pread);
  return Transferred("pread", fd, size, [&](size_t allowed) { return next(fd, buffer, allowed, offset); });
}

ssize_t write(int fd, const void* buffer, size_t size) {
  GEMMSMITH_NEXT(write);
  return Transferred("write", fd, size, [&](size_t allowed) { return next(fd, buffer, allowed); });
}

int close(int fd) {
  GEMMSMITH_NEXT(close);
  const bool is_below = IsWatched(fd);
  Watch(fd, false);
  const int result = next(fd);
  return Fails("close", Kind::kInterruptible, is_below) ? -1 : result;
}

int flock(int fd, int operation) noexcept {
  GEMMSMITH_NEXT(flock);
  return Fails("flock", Kind::kInterruptible, IsWatched(fd)) ? -1 : next(fd, operation);
}

int fsync(int fd) {
  GEMMSMITH_NEXT(fsync);
  return Fails("fsync", Kind::kInterruptible, IsWatched(fd)) ? -1 : next(fd);
}

int fdatasync(int fd) {
  GEMMSMITH_NEXT(fdatasync);
  return Fails("fdatasync", Kind::kInterruptible, IsWatched(fd)) ? -1 : next(fd);
}

int futimens(int fd, const struct timespec times[2]) noexcept {
  GEMMSMITH_NEXT(futimens);
  return Fails("futimens", Kind::kPlain, IsWatched(fd)) ? -1 : next(fd, times);
}

int fstat(int fd, struct stat* info) noexcept {
  GEMMSMITH_NEXT(fstat);
  return Fails("fstat", Kind::kPlain, IsWatched(fd)) ? -1 : next(fd, info);
}

int stat(const char* path, struct stat* info) noexcept {
  GEMMSMITH_NEXT(stat);
  return PathFails("stat", Kind::kPlain, path) ? -1 : next(path, info);
}

int lstat(const char* path, struct stat* info) noexcept {
  GEMMSMITH_NEXT(lstat);
  return PathFails("lstat", Kind::kPlain, path) ? -1 : next(path, info);
}

int access(const char* path, int mode) noexcept {
  GEMMSMITH_NEXT(access);
  return PathFails("access", Kind::kPlain, path) ? -1 : next(path, mode);
}

char* realpath(const char* path, char* resolved) noexcept {
  GEMMSMITH_NEXT(realpath);
  return PathFails("realpath", Kind::kPlain, path) ? nullptr : next(path, resolved);
}

int mkdir(const char* path, mode_t mode) noexcept {
  GEMMSMITH_NEXT(mkdir);
  return PathFails("mkdir", Kind::kPlain, path) ? -1 : next(path, mode);
}

int chmod(const char* path, mode_t mode) noexcept {
  GEMMSMITH_NEXT(chmod);
  return PathFails("chmod", Kind::kPlain, path) ? -1 : next(path, mode);
}

int rename(const char* from, const char* to) noexcept {
  GEMMSMITH_NEXT(rename);
  return PathFails("rename", Kind::kPlain, from) ? -1 : next(from, to);
}

int unlink(const char* path) noexcept {
  GEMMSMITH_NEXT(unlink);
  return PathFails("unlink", Kind::kPlain, path) ? -1 : next(path);
}

struct dirent* readdir(DIR* folder) {
  GEMMSMITH_NEXT(readdir);
  return Fails("readdir", Kind::kPlain, IsWatched(dirfd(folder))) ? nullptr : next(folder);
}

int closedir(DIR* folder) {
  GEMMSMITH_NEXT(closedir);
  Watch(dirfd(folder), false);
  return next(folder);
}

// Of no folder: the name of a private file is drawn by it.
ssize_t getrandom(void* buffer, size_t size, unsigned flags) {
  GEMMSMITH_NEXT(getrandom);
  return Fails("getrandom", Kind::kInterruptible, true) ? -1 : next(buffer, size, flags);
}

}  // extern "C"
#pragma GCC visibility pop
