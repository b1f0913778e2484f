#include "../support/golden_source.h"

namespace gemmsmith {

const KernelFamily& Sm80Family();

namespace {

constexpr GoldenRow kRows[] = {
    {"f16_nt", "f16", "nt", 512},
    {"tf32_tn_c", "f32", "tn", 512, BetaClass::kGeneral},
    {"bf16_nn_bias_gelu", "bf16", "nn", 512, BetaClass::kZero, "bias+gelu"},
    {"s8_nt_split", "s8,s8,f16", "nt", 65536, BetaClass::kZero, "scale_column"},
};

TEST(Sm80Source, IsWhatTheGoldenFilesSay) { ExpectGolden(Sm80Family(), FindDeviceSpec("a100"), kRows); }

}  // namespace
}  // namespace gemmsmith
