// A user's program: builds against the installed headers and library alone, computes, and catches the library's error.
#include <gemmsmith/gemmsmith.h>
#include <jit/jit_wrapper.hpp>

#include <cstdio>

int main() {
  using namespace gemmsmith;
  HostTensor<float> input(2, 3), weight(2, 3), output(2, 2);
  for (int i = 0; i < 6; ++i) input.begin()[i] = weight.begin()[i] = static_cast<float>(i + 1);

  Gemm<float> gemm(/*trans_a=*/false, /*trans_b=*/true);
  gemm.SetWeight(weight);
  JITWrapper<Gemm<float>> jit_gemm(gemm);
  jit_gemm.Forward(input, output);
  const bool right = output(0, 0) == 14 && output(0, 1) == 32 && output(1, 0) == 32 && output(1, 1) == 77;

  bool refused = false;
  try {
    jit_gemm.Forward(input, HostTensor<float>(3, 3));
  } catch (const Error& error) {
    refused = error.code() == Code::kInvalidArgument;
  }
  // What the results are kept in comes with the library, too.
  ResultsDatabase results("{\"chip_type\":\"outside\"}", {.storage = ResultsStorage::kSqlite});
  results.Put({{1, 2, 3, 4}, {}}, GEMMResult{});
  const bool kept = results.Entries().size() == 1;
  std::printf("gemmsmith %s outside: product %s, wrong shape %s\n", GEMMSMITH_VERSION, right ? "right" : "WRONG",
              refused ? "refused" : "ACCEPTED");
  return right && refused && kept ? 0 : 1;
}
