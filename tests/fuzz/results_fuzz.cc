// Any bytes are a document or a journal of results, or are not; none may do harm. Each input is read as both, as a
// document that is compressed, and once more as the lines of a journal under right checksums, without which hardly any
// would get past them.
#include <cstdlib>
#include <sstream>
#include <string>

#include "results/compression.h"
#include "results/document.h"
#include "util/digest.h"

namespace {

using namespace gemmsmith;
using namespace gemmsmith::results;

const std::string& ArchitectureText() {
  static const std::string text = R"({"chip_type":"x"})";
  return text;
}

/// What was read can be written, and reads the same again.
void CheckRoundTrip(const Contents& contents) {
  const Architecture architecture = ParseArchitecture(ArchitectureText());
  const Document again = ReadDocument(WriteDocument(contents, architecture, "id"), architecture.text);
  const bool same = again.verdict.refused.empty() && again.verdict.damage.empty() &&
                    again.contents.entries.size() == contents.entries.size() &&
                    again.contents.tunings == contents.tunings;
  if (!same) std::abort();
}

void CheckSame(const Document& document, const Document& other, bool comparable) {
  const bool same = document.verdict.refused.empty() == other.verdict.refused.empty() &&
                    document.verdict.damage == other.verdict.damage &&
                    document.contents.entries.size() == other.contents.entries.size() &&
                    document.contents.tunings == other.contents.tunings;
  if (comparable && !same) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  const Document document = ReadDocument(input, "");
  if (document.verdict.refused.empty()) CheckRoundTrip(document.contents);
  // Neither compression nor where its entries begin changes what a document is.
  CheckSame(document, ReadDocument(Compress(input), ""), !IsCompressed(input));
  CheckSame(document, ReadDocument(std::string(40'000, ' ') + input, ""), !IsCompressed(input));
  Contents contents;
  ReadJournal(input, "", &contents);
  const Architecture architecture = ParseArchitecture(ArchitectureText());
  std::string journal = JournalHeader(architecture, "id");
  std::istringstream lines(input);
  for (std::string line; std::getline(lines, line);) journal += FramedLine(line);
  ReadJournal(journal, architecture.text, &contents);
  CheckRoundTrip(contents);
  return 0;
}
