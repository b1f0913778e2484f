#pragma once

// Global stores of fixed width: left to itself the compiler splits some of them. A test that runs a template on the
// host brings its own.
#ifdef __CUDACC__

namespace gemmsmith::ptx {

/// Stores `value` (2, 4, 8 or 16 bytes) with one instruction; `to` is a multiple of its size.
template <class T>
__device__ __forceinline__ void StoreGlobal(void* to, const T& value) {
  constexpr int kBytes = sizeof(T);
  const unsigned long long address = __cvta_generic_to_global(to);
  if constexpr (kBytes == 1) {
    unsigned char byte;
    memcpy(&byte, &value, 1);
    asm volatile("st.global.b8 [%0], %1;" ::"l"(address), "h"(static_cast<unsigned short>(byte)) : "memory");
  } else if constexpr (kBytes == 2) {
    unsigned short bits;
    memcpy(&bits, &value, 2);
    asm volatile("st.global.b16 [%0], %1;" ::"l"(address), "h"(bits) : "memory");
  } else {
    unsigned words[kBytes / 4];
    memcpy(words, &value, kBytes);
    if constexpr (kBytes == 4) {
      asm volatile("st.global.b32 [%0], %1;" ::"l"(address), "r"(words[0]) : "memory");
    } else if constexpr (kBytes == 8) {
      asm volatile("st.global.v2.b32 [%0], {%1, %2};" ::"l"(address), "r"(words[0]), "r"(words[1]) : "memory");
    } else {
      static_assert(kBytes == 16, "1, 2, 4, 8 or 16");
      asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(address), "r"(words[0]), "r"(words[1]),
                   "r"(words[2]), "r"(words[3])
                   : "memory");
    }
  }
}

/// Two values with one instruction; `to` is a multiple of 8. (A pair in a structure takes the compiler longer.)
__device__ __forceinline__ void StoreGlobalPair(void* to, float first, float second) {
  const unsigned long long address = __cvta_generic_to_global(to);
  asm volatile("st.global.v2.f32 [%0], {%1, %2};" ::"l"(address), "f"(first), "f"(second) : "memory");
}
__device__ __forceinline__ void StoreGlobalPair(void* to, int first, int second) {
  const unsigned long long address = __cvta_generic_to_global(to);
  asm volatile("st.global.v2.b32 [%0], {%1, %2};" ::"l"(address), "r"(first), "r"(second) : "memory");
}

}  // namespace gemmsmith::ptx

#endif
