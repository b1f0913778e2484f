// NVRTC is not instrumented: ThreadSanitizer sees its mutexes, but not the atomics by which they are published.
extern "C" const char* __tsan_default_suppressions() {
  return "called_from_lib:libnvrtc.so\n"
         "race:libnvrtc.so\n";
}
