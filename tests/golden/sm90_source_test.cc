#include "../support/golden_source.h"

namespace gemmsmith {

const KernelFamily& Sm90Family();

namespace {

constexpr GoldenRow kRows[] = {
    {"bf16_nt", "bf16", "nt", 512},
    {"f16_tn_c", "f16", "tn", 512, BetaClass::kGeneral},
    {"e4m3_nt_bias_gelu", "e4m3,e4m3,bf16", "nt", 512, BetaClass::kZero, "bias+gelu"},
    {"s8_nt_split", "s8,s8,f16", "nt", 65536, BetaClass::kZero, "scale_column"},
    {"f16_nt_masked", "f16", "nt", 512, BetaClass::kZero, nullptr, "masked:8"},
};

TEST(Sm90Source, IsWhatTheGoldenFilesSay) { ExpectGolden(Sm90Family(), FindDeviceSpec("h200"), kRows); }

}  // namespace
}  // namespace gemmsmith
