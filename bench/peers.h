#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace gemmsmith::bench {

/// D = A * B, all dense and row-major but for `b_transposed`: B is then stored (n, k).
template <class T>
struct PeerCall {
  std::int64_t m, n, k;
  const T *a, *b;
  T* d;
  bool b_transposed;
};

/// Another library. Its function for a dtype is null where it has none.
struct Peer {
  std::string name;
  void (*set_threads)(int threads);
  void (*f32)(const PeerCall<float>& call);
  void (*f64)(const PeerCall<double>& call);
};
/// The peers that were installed when this was configured.
std::span<const Peer> Peers();
/// "openblas 0.3.21 SkylakeX, eigen 3.4.0, ...".
std::string PeerVersions();

}  // namespace gemmsmith::bench
