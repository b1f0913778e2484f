#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "contest.h"

namespace gemmsmith::bench {

/// Another library, opened at run time where that can be. Its threads are set by the environment (see main.cc).
class Peer {
 public:
  virtual ~Peer() = default;
  virtual std::string name() const = 0;
  virtual std::string about() const = 0;  ///< Version and chosen kernels, as far as the name does not say them.
  /// The case made ready, its epilogue fused; what the call returns lives as long as the function. Empty: it cannot.
  virtual std::function<void()> Prepare(const Case& c, const Operands& operands) = 0;
  /// The same with the epilogue in calls of its own.
  virtual std::function<void()> PrepareUnfused(const Case&, const Operands&) { return {}; }
};

/// All that are here; `missing` gets a line for each of the others.
std::vector<std::unique_ptr<Peer>> OpenPeers(std::vector<std::string>& missing);

// One function for each kind; null, with a line in `missing`, where the library is not here.
/// `prefix`: of the names of its functions.
std::unique_ptr<Peer> OpenOpenBlas(const std::string& soname, const std::string& prefix,
                                   std::vector<std::string>& missing);
std::unique_ptr<Peer> OpenBlis(std::vector<std::string>& missing);
std::unique_ptr<Peer> OpenMkl(std::vector<std::string>& missing);
std::unique_ptr<Peer> OpenOneDnn(const std::string& soname, std::vector<std::string>& missing);
std::unique_ptr<Peer> OpenEigen(std::vector<std::string>& missing);
std::unique_ptr<Peer> OpenLibxsmm(std::vector<std::string>& missing);

/// A library that sees its own symbols before those of others, of which several are the same; never closed, because
/// its threads may outlive the last call.
class PeerLibrary {
 public:
  /// Null where it cannot be opened, with a line in `missing`.
  static std::unique_ptr<PeerLibrary> Open(const std::string& soname, std::vector<std::string>& missing);
  /// Throws where there is none.
  template <class Function>
  void Bind(Function*& function, const std::string& symbol) const {
    function = reinterpret_cast<Function*>(Find(symbol));
    if (function == nullptr) throw std::runtime_error(soname_ + " has no " + symbol);
  }

 private:
  PeerLibrary(std::string soname, void* handle) : soname_(std::move(soname)), handle_(handle) {}
  void* Find(const std::string& symbol) const;
  std::string soname_;
  void* handle_;
};

}  // namespace gemmsmith::bench
