#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "results/contents.h"

namespace gemmsmith::results {

/// What a parser may read, not use, behind the end of a text.
inline constexpr std::size_t kPadding = 64;
/// A text of JSON, quoted and escaped; what is no UTF-8 is replaced.
std::string Quoted(std::string_view text);

/// The architecture that a database is of.
struct Architecture {
  std::string text;         ///< One line of JSON.
  std::string fingerprint;  ///< Short, for names of files.
};
/// Throws kInvalidArgument for what is no object of numbers and texts.
Architecture ParseArchitecture(const std::string& text);
/// Whether two such texts say the same.
bool IsSameArchitecture(std::string_view text, std::string_view other);

enum class VersionVerdict { kSame, kVerify, kOther };
/// Of a file that `version` wrote; kOther for what is no version.
VersionVerdict JudgeVersion(std::string_view version);

/// What became of a file that was read.
struct Verdict {
  std::string refused;    ///< Not empty: why nothing of it is used.
  std::string damage;     ///< Not empty: what was wrong with parts of it; the others are used.
  bool outdated = false;  ///< It says another version than this one's, and is to be written anew.
};

struct Document {
  Verdict verdict;
  std::string architecture;
  std::string merged_journal;  ///< The journal that is in here already.
  Contents contents;
};

/// Any bytes, a text or one that is compressed. An empty `architecture` takes whatever it is of.
Document ReadDocument(const std::string& bytes, std::string_view architecture);
std::string WriteDocument(const Contents& contents, const Architecture& architecture, std::string_view merged_journal);

/// The changes since the last document, each a line under a checksum; the first line says what the journal is of.
struct Journal {
  Verdict verdict;
  std::string id;
  std::string architecture;
  std::size_t good_bytes = 0;  ///< Up to the end of the last whole line. What follows was being written.
};
std::string JournalHeader(const Architecture& architecture, std::string_view id);
std::string JournalLine(const Change& change);
/// Any JSON under its checksum.
std::string FramedLine(std::string_view json);
/// Reads lines without their ends. Its parser is worth keeping.
class LineReader {
 public:
  LineReader();
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;
  /// `padded`: at least kPadding bytes of memory follow.
  std::optional<Change> Read(std::string_view line, bool padded, std::string& why);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};
/// Any bytes, from the beginning of a journal, or (`continued`) of a later line of it. Applies its changes to
/// `contents`; null: only reads the header.
Journal ReadJournal(const std::string& bytes, std::string_view architecture, Contents* contents,
                    bool continued = false);

}  // namespace gemmsmith::results
