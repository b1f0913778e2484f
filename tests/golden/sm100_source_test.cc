#include "../support/golden_source.h"

namespace gemmsmith {

const KernelFamily& Sm100Family();

namespace {

constexpr GoldenRow kRows[] = {
    {"bf16_nt", "bf16", "nt", 512},
    {"e4m3_nt_bias_gelu", "e4m3,e4m3,bf16", "nt", 512, BetaClass::kZero, "bias+gelu"},
    {"f16_tn_split", "f16", "tn", 65536, BetaClass::kGeneral},
};

TEST(Sm100Source, IsWhatTheGoldenFilesSay) { ExpectGolden(Sm100Family(), FindDeviceSpec("b200"), kRows); }

}  // namespace
}  // namespace gemmsmith
