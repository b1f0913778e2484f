// Any bytes are a document or a journal of results, or are not; none may do harm. Each input is read as both, and once
// more as the lines of a journal under right checksums, without which hardly any would get past them.
#include <cstdlib>
#include <sstream>
#include <string>

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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  const Document document = ReadDocument(input, "");
  if (document.verdict.refused.empty()) CheckRoundTrip(document.contents);
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
