#pragma once

#include <string>

namespace gemmsmith {

/// A shared library opened at run time; closed at the end of its life. Move-only.
class DynamicLibrary {
 public:
  DynamicLibrary() = default;
  /// Opens `path` (a file, or a soname that the loader looks up). Throws kNotFound with the loader's words.
  explicit DynamicLibrary(const std::string& path);
  DynamicLibrary(DynamicLibrary&& other) noexcept;
  DynamicLibrary& operator=(DynamicLibrary&& other) noexcept;
  ~DynamicLibrary();

  explicit operator bool() const { return handle_ != nullptr; }
  /// The file that was loaded, absolute.
  std::string path() const;
  /// The linker's id of the file's contents (GNU build id), hexadecimal; empty if it has none.
  std::string BuildId() const;
  /// Null if there is none.
  void* Find(const char* symbol) const;
  /// Throws kNotFound, naming the library.
  void* Require(const char* symbol) const;
  template <class Function>
  void Bind(Function*& function, const char* symbol) const {
    function = reinterpret_cast<Function*>(Require(symbol));
  }

 private:
  void* handle_ = nullptr;
  std::string name_;
};

}  // namespace gemmsmith
